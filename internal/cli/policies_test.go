package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree writes files into a folder of their own: name, text, name, text.
func tree(t *testing.T, files ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const (
	sizes     = "package main\n\ndeny contains msg if {\n\tsome r in input.resource_changes\n\tr.change.after.size == \"huge\"\n\tmsg := sprintf(\"%s is huge\", [r.address])\n}\n"
	sizesTest = "package main_test\n\nimport data.main\n\ntest_huge if main.deny == {\"a.b is huge\"} with input as {\"resource_changes\": [{\"address\": \"a.b\", \"change\": {\"after\": {\"size\": \"huge\"}}}]}\n"
	wrongTest = "package main_test\n\nimport data.main\n\ntest_wrong if {\n\tprint(\"denied:\", main.deny)\n\tcount(main.deny) == 1 with input as {}\n}\n"
	hugePlan  = `{"format_version":"1.2","resource_changes":[{"address":"a.b","type":"a","name":"b","mode":"managed","change":{"actions":["create"],"after":{"size":"huge"},"after_unknown":{}}}]}`
	policyHCL = "policy \"sizes\" {\n  files = [\"policies/sizes.rego\"]\n}\n"
)

// Rule 12: policies are tried before they judge.
func TestRule12_PoliciesAreTried(t *testing.T) {
	t.Parallel()
	project := "project \"shop\" {\n  policies = [\"policies/*.rego\"]\n}\n\nenvironment \"dev\" {\n}\n"
	for name, c := range map[string]struct {
		files []string
		args  []string
		code  int
		want  []string
	}{
		"tests pass":         {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", sizes, "policies/sizes_test.rego", sizesTest}, nil, 0, []string{"policy sizes", "1 passed"}},
		"a test fails":       {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", sizes, "policies/sizes_test.rego", sizesTest, "policies/more_test.rego", wrongTest}, nil, 1, []string{"1 passed, 1 failed", "failed policies/more_test.rego:5: main_test.test_wrong", "denied: set()"}},
		"tests of another":   {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", sizes, "policies/other.rego", sizes, "policies/other_test.rego", wrongTest}, nil, 0, []string{"has no tests"}},
		"of a project":       {[]string{"terrace.hcl", project, "policies/sizes.rego", sizes, "policies/sizes_test.rego", sizesTest}, nil, 0, []string{"policies (terrace.hcl): 1 passed"}},
		"for machines":       {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", sizes, "policies/sizes_test.rego", sizesTest}, []string{"--json"}, 0, []string{`"result": "passed"`, `"name": "main_test.test_huge"`}},
		"does not compile":   {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", "package main\n\ndeny contains x if true\n"}, nil, 1, []string{"policies/sizes.rego:3:"}},
		"test of nothing":    {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", sizes, "policies/sizes_test.rego", "package main_test\n\ntest_x if {\n"}, nil, 1, []string{"policies/sizes_test.rego:4:"}},
		"no policies":        {[]string{"guardrails.hcl", ""}, nil, 1, []string{"names no policies"}},
		"nothing here":       {nil, nil, 1, []string{"neither a guardrails.hcl nor a terrace.hcl"}},
		"input without plan": {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", sizes}, []string{"--show-input"}, 2, []string{"--plan"}},
		"a plan is denied":   {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", sizes, "plan.json", hugePlan}, []string{"--plan", "plan.json", "--instance", "web@dev"}, 1, []string{"policy sizes: deny: web@dev: a.b is huge"}},
		"a plan passes":      {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", sizes, "plan.json", strings.ReplaceAll(hugePlan, "huge", "small")}, []string{"--plan", "plan.json"}, 0, []string{"policy sizes: pass:"}},
		"not a plan":         {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", sizes, "plan.json", "{}"}, []string{"--plan", "plan.json"}, 1, []string{"plan.json", "tofu show -json"}},
		"no plan":            {[]string{"guardrails.hcl", policyHCL, "policies/sizes.rego", sizes}, []string{"--plan", "plan.json"}, 1, []string{"cannot be read"}},
		"what is seen":       {[]string{"plan.json", hugePlan}, []string{"--plan", "plan.json", "--instance", "web@dev", "--show-input"}, 0, []string{`"environment": "dev"`, `"create": 1`, `"forget": 0`, `"size": "huge"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := tree(t, c.files...)
			args := append([]string{"guardrails", "test"}, c.args...)
			for i, arg := range args {
				if arg == "plan.json" {
					args[i] = filepath.Join(dir, arg)
				}
			}
			code, out := called(t, append(args, dir)...)
			if code != c.code {
				t.Errorf("exit %d, want %d\n%s", code, c.code, out)
			}
			for _, want := range c.want {
				if !strings.Contains(out, want) {
					t.Errorf("it does not say %q:\n%s", want, out)
				}
			}
		})
	}
}

// What does not compile is said before it judges, with file and line.
func TestRule12_BrokenPoliciesAreRefused(t *testing.T) {
	t.Parallel()
	broken := "package main\n\ndeny contains \"no\" if {\n"
	project := tree(t, "terrace.hcl", "project \"shop\" {\n  policies = [\"p/*.rego\"]\n}\n\nenvironment \"dev\" {\n}\n", "p/a.rego", broken)
	rails := tree(t, "guardrails.hcl", "policy \"p\" {\n  files = [\"p/*.rego\"]\n}\n", "p/a.rego", broken)
	for _, args := range [][]string{{"validate", project}, {"validate", project, "--json"}, {"guardrails", "check", rails}, {"guardrails", "check", rails, "--json"}} {
		if code, out := called(t, args...); code != 1 || !strings.Contains(out, "p/a.rego:4: unexpected eof") {
			t.Errorf("%q: exit %d\n%s", args, code, out)
		}
	}
}

// called runs the program, and returns all that it wrote.
func called(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	var out bytes.Buffer
	code = Main("test", args, &out, &out)
	return code, out.String()
}
