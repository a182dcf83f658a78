package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const sound = "project \"p\" {\n  stacks = [\"stacks/*\"]\n}\n\n"

// Ten ways to get a configuration wrong, each with what validate has to say: where it
// is, and words that help.
func TestValidateAnswersTenMistakes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, hcl string
		want      []string
		variable  string // of the variable's block; with a default, the mistake is alone
	}{
		{"syntax", sound + "environment \"dev\" {\n", []string{"terrace.hcl:5"}, "  default = \"\"\n"},
		{"unknown attribute", sound + "environment \"dev\" {\n  bakes = \"1m\"\n}\n", []string{"terrace.hcl:6", "bakes", "bake"}, "  default = \"\"\n"},
		{"unknown environment", sound + "environment \"dev\" {}\n\nenvironment \"prod\" {\n  after = [\"deb\"]\n}\n", []string{"terrace.hcl:8", "deb", "dev"}, "  default = \"\"\n"},
		{"cycle of environments", sound + "environment \"a\" {\n  after = [\"b\"]\n}\n\nenvironment \"b\" {\n  after = [\"a\"]\n}\n", []string{"terrace.hcl:10", "a waits for b waits for a"}, "  default = \"\"\n"},
		{"cycle of stacks", sound + "environment \"dev\" {}\n\nstack \"one\" {\n  inputs = { x = stack.two.y }\n}\n\nstack \"two\" {\n  inputs = { x = stack.one.y }\n}\n", []string{"terrace.hcl:", "one", "two"}, "  default = \"\"\n"},
		{"two stacks on one path", sound + "environment \"dev\" {}\n\nstack \"uno\" {\n  path = \"stacks/one\"\n}\n\nstack \"due\" {\n  path = \"stacks/one\"\n}\n", []string{"terrace.hcl:", "stacks/one", "uno", "due"}, "  default = \"\"\n"},
		{"a playbook that is not there", sound + "environment \"dev\" {}\n\nstack \"one\" {\n  ansible {\n    playbook  = \"ansible/web.yml\"\n    inventory = { web = output.y }\n  }\n}\n", []string{"terrace.hcl:9", "ansible/web.yml"}, "  default = \"\"\n"},
		{"a var file that is not there", sound + "environment \"dev\" {}\n\nstack \"one\" {\n  var_files = [\"${environment.name}.tfvars\"]\n}\n", []string{"terrace.hcl:8", "dev.tfvars"}, "  default = \"\"\n"},
		{"a duration", sound + "environment \"dev\" {\n  bake = \"ten minutes\"\n}\n", []string{"terrace.hcl:6", "ten minutes"}, "  default = \"\"\n"},
		{"a missing variable", sound + "environment \"dev\" {}\n\nstack \"one\" {}\n", []string{"main.tf:1", "x", "one"}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for name, content := range map[string]string{
				"terrace.hcl":        tc.hcl,
				"stacks/one/main.tf": "variable \"x\" {\n  type = string\n" + tc.variable + "}\n\noutput \"y\" {\n  value = var.x\n}\n",
				"stacks/two/main.tf": "variable \"x\" {\n  type = string\n  default = \"\"\n}\n\noutput \"y\" {\n  value = var.x\n}\n",
			} {
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.CommandContext(t.Context(), terrace, "validate", dir)
			cmd.Env = []string{"HOME=" + dir, "GORACE=atexit_sleep_ms=0"}
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != 1 {
				t.Errorf("exit %d, want 1", code)
			}
			for _, want := range tc.want {
				if !strings.Contains(string(out), want) {
					t.Errorf("it does not say %q", want)
				}
			}
			if t.Failed() {
				t.Logf("it said:\n%s", out)
			}
		})
	}
}
