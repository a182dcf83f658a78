package config

import (
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"
)

// FuzzLoad: whatever a repository contains, Load returns a configuration or problems
// with places, and what it accepts can be evaluated.
func FuzzLoad(f *testing.F) {
	for _, name := range []string{"unknown-names", "wrong-types", "unknown-roots", "ansible", "functions", "windows"} {
		f.Add(archived(f, name), "variable \"a\" {\n  type = list(string)\n}\n", "a = []\n")
	}
	f.Add(shop()["terrace.hcl"], shop()["stacks/web/main.tf"], shop()["environments/dev.tfvars"])
	f.Add("project \"p\" {}\nenvironment \"d\" {}\nstack \"web\" {\n  inputs = { a = [for x in stack.db : x...] }\n}", "variable \"a\" { type = object({ a = optional(string, \"x\") }) }", "")
	f.Fuzz(func(t *testing.T, src, module, vars string) {
		tree := files{"terrace.hcl": src, "stacks/web/main.tf": module, "stacks/web/more.tf.json": vars, "stacks/db/main.tofu": "output \"id\" {}\n",
			"stacks/web/terraform.tfvars": vars, "environments/common.tfvars": vars, "environments/dev.tfvars": vars, "ansible/web.yml": "", "files/motd.txt": "hi"}
		cfg, diags := Load(tree, ".")
		if (cfg == nil) != diags.HasErrors() {
			t.Fatalf("configuration %v with %v", cfg, diags)
		}
		for _, d := range diags {
			if d.Subject == nil || d.Subject.Filename == "" || d.Summary == "" {
				t.Errorf("a problem without a place: %v", d)
			}
		}
		if out := Render(diags, tree, false); strings.ContainsAny(out, "\x1b\x07\x00") {
			t.Errorf("control characters: %q", out)
		}
		if again := Format(Format([]byte(src))); string(again) != string(Format([]byte(src))) {
			t.Errorf("formatting is not stable")
		}
		if cfg == nil {
			return
		}
		outputs := map[string]cty.Value{"id": cty.StringVal("x").Mark(SensitiveMark), "url": cty.NullVal(cty.String)}
		s := Scope{Commit: "abc", Number: 1, Outputs: func(string) (map[string]cty.Value, bool) { return outputs, true }}
		for _, e := range cfg.Environments {
			for _, i := range cfg.Instances(e.Name) {
				if cfg.InstanceDigest(i.Stack, e.Name) == "" {
					t.Errorf("%s has no digest", i.Stack)
				}
				_, _ = cfg.Inputs(i.Stack, e.Name, s)
				_, _ = cfg.After(i.Stack, e.Name, s, Own{Outputs: outputs})
			}
		}
	})
}

func archived(f *testing.F, name string) string {
	f.Helper()
	archive, err := parseArchive(name)
	if err != nil {
		f.Fatal(err)
	}
	return archive["terrace.hcl"]
}
