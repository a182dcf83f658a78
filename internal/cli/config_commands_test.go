package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// runConfig runs one of the commands that need no server.
func runConfig(t *testing.T, cmd *cobra.Command, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd.Flags().Bool("json", false, "")
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&errs)
	cmd.SetArgs(args)
	err := cmd.Execute()
	var e exitError
	switch {
	case errors.As(err, &e):
		code = e.code
	case err != nil:
		code = 1
		errs.WriteString(err.Error())
	}
	return out.String(), errs.String(), code
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestInitCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"stacks/web/main.tf": "", "stacks/db/main.tf": ""})
	out, errs, code := runConfig(t, newInitCommand(), dir)
	if code != 0 || !strings.Contains(out, "db, web") || !strings.Contains(out, "dev → staging → production") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if out, errs, code := runConfig(t, newValidateCommand(), dir); code != 0 || !strings.Contains(out, "2 stacks in 3 environments") {
		t.Errorf("what init wrote does not hold: %d %s%s", code, out, errs)
	}
	if out, _, code := runConfig(t, newFmtCommand(), "--check", dir); code != 0 || out != "" {
		t.Errorf("what init wrote is not formatted: %d %s", code, out)
	}
	name := filepath.Join(dir, "terrace.hcl")
	writeFiles(t, dir, map[string]string{"terrace.hcl": "mine"})
	if _, errs, code := runConfig(t, newInitCommand(), dir); code != 1 || !strings.Contains(errs, "--force") {
		t.Errorf("a second init: %d %s", code, errs)
	}
	if b, err := os.ReadFile(name); err != nil || string(b) != "mine" {
		t.Errorf("init touched a file that was there: %q %v", b, err)
	}
	out, errs, code = runConfig(t, newInitCommand(), "--force", "--json", dir)
	var found struct {
		File         string
		Stacks       []string
		Environments []string
	}
	if err := json.Unmarshal([]byte(out), &found); err != nil || code != 0 || found.File != name || len(found.Stacks) != 2 || len(found.Environments) != 3 {
		t.Errorf("%d %s%s %v", code, out, errs, err)
	}
}

func TestValidateCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		".git/HEAD": "", "modules/net/main.tf": "variable \"size\" {}\n",
		"shop/terrace.hcl": "project \"shop\" {}\nenvironment \"dev\" {\n  bake = \"soon\"\n}\nstack \"net\" {\n  path   = \"../modules/net\"\n  inputs = { size = 1 }\n}\nstack \"out\" {\n  path = \"../../x\"\n}\n",
	})
	// The file is in a folder of a repository: paths may lead to the rest of it, and
	// not out of it.
	for _, arg := range []string{filepath.Join(dir, "shop"), filepath.Join(dir, "shop", "terrace.hcl")} {
		out, errs, code := runConfig(t, newValidateCommand(), arg)
		if code != 1 || out != "" || strings.Count(errs, "Error:") != 2 || !strings.Contains(errs, "shop/terrace.hcl:3:10") || !strings.Contains(errs, "leads out of the repository") {
			t.Errorf("%d %s%s", code, out, errs)
		}
	}
	out, _, code := runConfig(t, newValidateCommand(), "--json", filepath.Join(dir, "shop"))
	var got struct {
		Valid    bool
		Problems []struct {
			Severity, File string
			Line           int
		}
	}
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 || got.Valid || len(got.Problems) != 2 || got.Problems[0].File != "shop/terrace.hcl" || got.Problems[0].Line != 3 {
		t.Errorf("%d %s %v", code, out, err)
	}
	if _, errs, code := runConfig(t, newValidateCommand(), t.TempDir()); code != 1 || !strings.Contains(errs, "terrace init") {
		t.Errorf("an empty folder: %d %s", code, errs)
	}
}

func TestFmtCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const ugly, pretty = "project \"p\" {\nengine=\"tofu\"\n}\n", "project \"p\" {\n  engine = \"tofu\"\n}\n"
	writeFiles(t, dir, map[string]string{"terrace.hcl": ugly, "broken/terrace.hcl": "project {{"})
	name := filepath.Join(dir, "terrace.hcl")
	read := func() string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if out, _, code := runConfig(t, newFmtCommand(), "--check", dir); code != 1 || out != name+"\n" || read() != ugly {
		t.Errorf("--check: %d %s %s", code, out, read())
	}
	if out, _, code := runConfig(t, newFmtCommand(), "--diff", name); code != 1 || !strings.Contains(out, "-engine=\"tofu\"\n+  engine = \"tofu\"\n") || read() != ugly {
		t.Errorf("--diff: %d %s", code, out)
	}
	if out, errs, code := runConfig(t, newFmtCommand(), dir); code != 0 || out != name+"\n" || read() != pretty {
		t.Errorf("fmt: %d %s%s %s", code, out, errs, read())
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("fmt changed the mode: %v %v", info.Mode(), err)
	}
	if _, errs, code := runConfig(t, newFmtCommand(), filepath.Join(dir, "broken")); code != 1 || !strings.Contains(errs, "terrace.hcl:1:") {
		t.Errorf("a broken file: %d %s", code, errs)
	}
	if _, errs, code := runConfig(t, newFmtCommand(), t.TempDir()); code != 1 || !strings.Contains(errs, "terrace init") {
		t.Errorf("an empty folder: %d %s", code, errs)
	}
}

func TestGuardrailsCheckCommand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{"guardrails.hcl": "skip {\n  second_person = true\n}\n", "bad.hcl": "skip {\n  second = true\n}\n"})
	type checked struct {
		Valid    bool
		Files    []string
		Problems []struct{ Summary string }
	}
	for _, name := range []string{dir, filepath.Join(dir, "guardrails.hcl")} {
		out, errs, code := runConfig(t, newGuardrailsCheck(), "--json", name)
		var c checked
		if err := json.Unmarshal([]byte(out), &c); err != nil || code != 0 || !c.Valid || len(c.Files) != 1 || c.Problems == nil {
			t.Errorf("%s: %d %v %s%s", name, code, err, out, errs)
		}
	}
	out, errs, code := runConfig(t, newGuardrailsCheck(), "--json", filepath.Join(dir, "bad.hcl"))
	var c checked
	if err := json.Unmarshal([]byte(out), &c); err != nil || code != 1 || c.Valid || len(c.Problems) == 0 || errs != "" {
		t.Errorf("%d %v %s%s", code, err, out, errs)
	}
	if out, errs, code := runConfig(t, newGuardrailsCheck(), filepath.Join(dir, "bad.hcl")); code != 1 || out != "" || !strings.Contains(errs, "bad.hcl:2") {
		t.Errorf("%d %s%s", code, out, errs)
	}
	if _, errs, code := runConfig(t, newGuardrailsCheck(), filepath.Join(dir, "none.hcl")); code != 1 || !strings.Contains(errs, "cannot be read") {
		t.Errorf("%d %s", code, errs)
	}
}
