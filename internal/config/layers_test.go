package config

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// layered has a variable for each layer to win with.
func layered() files {
	return files{
		FileName: `project "shop" {
  variables = { a = "project", b = "project ${environment.name}", c = "project", zones = ["x"] }
}
environment "dev" {
  variables = { b = "environment", c = "environment", d = "environment" }
}
environment "production" {
  after     = ["dev"]
  variables = { servers = 4 }
}
stack "web" {
  var_files = ["common.tfvars"]
  inputs    = { d = "inputs", e = environment.variables.a }
}
`,
		"common.tfvars": "\nc = \"file\"\nd = \"file\"\n",
		"stacks/web/main.tf": `variable "a" {}
variable "b" {}
variable "c" {}
variable "d" {}
variable "e" {}
variable "zones" {
  type = list(string)
}
variable "servers" {
  type    = number
  default = 1
}
variable "owner" {
  type    = string
  default = "nobody"
}
`,
	}
}

// written are the variables of an instance, each as NAME VALUE WHERE AT.
func written(t *testing.T, c *Config, environment string) []string {
	t.Helper()
	all, err := c.VariablesOf("web", environment, Scope{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, v := range all {
		out = append(out, fmt.Sprintf("%s %s | %s | %s", v.Name, v.Value, v.Where, v.At))
	}
	return out
}

func guards(t *testing.T, text string) *Guardrails {
	t.Helper()
	tree := files{GuardrailsFile: text}
	g, diags := LoadGuardrails(tree)
	if diags.HasErrors() {
		t.Fatal(Render(diags, tree, false))
	}
	g.Version = 7
	return g
}

// Each layer wins over those below it, and every value says where it is written.
func TestLayersOfVariables(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, layered())
	if diff := cmp.Diff([]string{
		`a "project" | variables of project shop | terrace.hcl:2`,
		`b "environment" | variables of environment dev | terrace.hcl:5`,
		`c "file" | common.tfvars | common.tfvars:2`,
		`d "inputs" | inputs of stack web | terrace.hcl:13`,
		`e "project" | inputs of stack web | terrace.hcl:13`,
		`owner  | default in stacks/web | stacks/web/main.tf:13`,
		`servers  | default in stacks/web | stacks/web/main.tf:9`,
		`zones ["x"] | variables of project shop | terrace.hcl:2`,
	}, written(t, cfg, "dev")); diff != "" {
		t.Error(diff)
	}
	rails := guards(t, `environment "*" {
  variables = { c = "everywhere", d = "everywhere" }
}
environment "prod*" {
  variables = { d = "guarded", owner = "platform", other = 1 }
}
environment "prod*" {
  projects  = ["blog"]
  variables = { d = "of the blog" }
}
`)
	under := cfg.Under(rails, "shop")
	if diff := cmp.Diff([]string{
		`a "project" | variables of project shop | terrace.hcl:2`,
		`b "project production" | variables of project shop | terrace.hcl:2`,
		`c "everywhere" | guardrails version 7 (environment "*") | guardrails.hcl of version 7:2`,
		`d "guarded" | guardrails version 7 (environment "prod*") | guardrails.hcl of version 7:5`,
		`e "project" | inputs of stack web | terrace.hcl:13`,
		`owner "platform" | guardrails version 7 (environment "prod*") | guardrails.hcl of version 7:5`,
		`servers 4 | variables of environment production | terrace.hcl:9`,
		`zones ["x"] | variables of project shop | terrace.hcl:2`,
	}, written(t, under, "production")); diff != "" {
		t.Error(diff)
	}
	in, err := under.Inputs("web", "production", Scope{})
	if err != nil || string(in.Variables["d"]) != `"guarded"` || string(in.Variables["c"]) != `"everywhere"` || in.Variables["other"] != nil {
		t.Errorf("what the engine gets: %s, %v", in.Variables, err)
	}
	if got := under.GuardedVariables("web", "dev"); len(got) != 2 || string(got["d"]) != `"everywhere"` {
		t.Errorf("guarded in dev: %s", got)
	}
	if in, err := cfg.Inputs("web", "production", Scope{}); err != nil || string(in.Variables["d"]) != `"inputs"` {
		t.Errorf("the configuration without guardrails was changed: %s, %v", in.Variables, err)
	}
	if cfg.Under(&Guardrails{}, "shop") != cfg {
		t.Error("guardrails that give nothing make another configuration")
	}
}

// A sandbox has its own values over the base's, below var files and inputs, and the
// guardrails' of its base.
func TestVariablesOfASandbox(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, layered())
	box := core.Sandbox{Of: "shop", Name: "try", Base: "production", Owner: "user:ana",
		Variables: map[string]string{"b": "true", "c": "sandbox", "d": "sandbox", "servers": "9", "zones": `["y", "z"]`, "owner": "007"}}
	in, err := cfg.InSandbox(box)
	if err != nil {
		t.Fatal(err)
	}
	if err := in.SandboxProblems(); err != nil {
		t.Error(err)
	}
	in = in.Under(guards(t, "environment \"production\" {\n  variables = { owner = \"platform\" }\n}\nenvironment \"try\" {\n  variables = { a = \"no\" }\n}\n"), "shop~try")
	if diff := cmp.Diff([]string{
		`a "project" | variables of project shop | terrace.hcl:2`,
		`b true | variables of sandbox try | `,
		`c "file" | common.tfvars | common.tfvars:2`,
		`d "inputs" | inputs of stack web | terrace.hcl:13`,
		`e "project" | inputs of stack web | terrace.hcl:13`,
		`owner "platform" | guardrails version 7 (environment "production") | guardrails.hcl of version 7:2`,
		`servers 9 | variables of sandbox try | `,
		`zones ["y","z"] | variables of sandbox try | `,
	}, written(t, in, "try")); diff != "" {
		t.Error(diff)
	}
	if err := cfg.CheckSandboxVariables(core.Sandbox{Name: "try", Base: "dev", Variables: map[string]string{"serverz": "1"}}); core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), `Did you mean "servers"?`) {
		t.Errorf("a variable of nobody: %v", err)
	}
	box.Variables = map[string]string{"servers": "many"}
	if in, err = cfg.InSandbox(box); err != nil {
		t.Fatal(err)
	}
	if err := in.SandboxProblems(); core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), `The wrong type for variable "servers"`) || !strings.Contains(core.MessageOf(err), "--var servers") {
		t.Errorf("the wrong type: %v", err)
	}
}

// What the guardrails give is checked for all environments at once, and an instance that
// cannot take it is not evaluated.
func TestGuardedTypes(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, layered()).Under(guards(t, "environment \"*\" {\n  variables = { servers = \"many\", zones = \"z\" }\n}\n"), "shop")
	err := cfg.GuardProblems()
	for _, want := range []string{"guardrails.hcl of version 7:2:27", `The wrong type for variable "servers"`, "stacks/web/main.tf:9 declares it as number", `"zones"`, "web@dev and web@production"} {
		if core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	if _, err := cfg.Inputs("web", "dev", Scope{}); core.CodeOf(err) != core.Invalid {
		t.Errorf("it is evaluated: %v", err)
	}
	if err := cfg.Under(guards(t, "environment \"*\" {\n  variables = { servers = \"3\" }\n}\n"), "shop").GuardProblems(); err != nil {
		t.Errorf("a number in a text: %v", err)
	}
}

// A root module that is not understood is no way around the guardrails.
func TestGuardedBrokenModules(t *testing.T) {
	t.Parallel()
	tree := layered()
	tree["stacks/web/main.tf"] += "variable \"x\" {\n  type = nonsense(\n}\n"
	cfg, diags := Load(tree, ".")
	if diags.HasErrors() {
		t.Fatal(Render(diags, tree, false))
	}
	cfg = cfg.Under(guards(t, "environment \"*\" {\n  variables = { owner = \"platform\" }\n}\n"), "shop")
	in, err := cfg.Inputs("web", "dev", Scope{})
	if err != nil || string(in.Variables["owner"]) != `"platform"` || len(cfg.GuardedVariables("web", "dev")) != 1 {
		t.Errorf("%s, %v", in.Variables, err)
	}
}

func TestVariablesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ block, says string }{
		{"variables = 3", "An object is needed"},
		{"variables = { a = environment.variables.b }", "A variable cannot refer to variables"},
		{"variables = { a = stack.web.id }", "variables cannot refer to stack"},
		{"variables = { a = 1, a = 2 }", `"a" is set twice`},
		{"variables = { a = upper(1, 2) }", "Concerns environment dev and environment production"},
		{"variables = { nobodys = 1 }", `Variable "nobodys" reaches no stack`},
	} {
		tree := layered()
		tree[FileName] = "project \"shop\" {\n  " + c.block + "\n}\nenvironment \"dev\" {}\nenvironment \"production\" {}\n"
		tree["stacks/web/main.tf"] = ""
		_, diags := Load(tree, ".")
		if got := strings.Join(strings.Fields(Render(diags, tree, false)), " "); strings.Count(got, c.says) != 1 {
			t.Errorf("%s: want %q once, got\n%s", c.block, c.says, got)
		}
	}
	for _, c := range []struct{ block, says string }{
		{"variables = []", "An object is needed"},
		{"variables = { a = null }", `"a" is null`},
		{"variables = { count = 1 }", "No stack can declare one of this name"},
		{"variables = { \"a b\" = 1 }", "No stack can declare one of this name"},
		{"variables = { a = environment.name }", "has to be a plain value"},
	} {
		tree := files{GuardrailsFile: "environment \"*\" {\n  " + c.block + "\n}\n"}
		_, diags := LoadGuardrails(tree)
		if got := Render(diags, tree, false); strings.Count(got, c.says) != 1 {
			t.Errorf("%s: want %q once, got\n%s", c.block, c.says, got)
		}
	}
}
