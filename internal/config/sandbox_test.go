package config

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
)

const boxedHCL = `project "shop" {
  stacks = ["stacks/*"]
  state  = "stack"
}

environment "dev" {
  secrets   = ["TOKEN"]
  variables = { place = "in-${environment.name}" }
  bake      = "10m"
  approval {}
  max_destroy = 1
}

environment "production" {
  after     = ["dev"]
  variables = { place = "production" }
}

stack "network" {
  path    = "live/${environment.name}/network"
  backend = { schema_name = "${environment.name}_network" }
}

stack "web" {
  var_files = ["${environment.name}.tfvars"]
  inputs    = { network = stack.network.id, name = "web-${environment.name}", owner = sandbox.owner }
  backend   = { schema_name = "${environment.name}_web" }
  stateful  = ["a.b"]
  immutable = ["c.d"]
  before_change {
    command = ["true"]
  }
}
`

// Rule 26: a sandbox has the base's configuration under its own name, without what keeps
// hands off an environment, and reads of the repository what the base does.
func TestInSandbox(t *testing.T) {
	t.Parallel()
	tree := files{
		FileName: boxedHCL, "dev.tfvars": "size = \"small\"\n", "production.tfvars": "size = \"large\"\n",
		"live/dev/network/main.tf": "terraform {\n  backend \"pg\" {}\n}\noutput \"id\" {\n  value = 1\n}\n", "live/production/network/main.tf": "terraform {\n  backend \"pg\" {}\n}\noutput \"id\" {\n  value = 1\n}\n",
		"stacks/web/main.tf": "terraform {\n  backend \"pg\" {}\n}\nvariable \"network\" {}\nvariable \"name\" {}\nvariable \"place\" {}\nvariable \"size\" {}\nvariable \"owner\" {}\n",
	}
	cfg, diags := Load(tree, ".")
	if diags.HasErrors() {
		t.Fatal(Render(diags, tree, false))
	}
	box := core.Sandbox{Of: "shop", Name: "try", Base: "dev", Owner: "user:ana", Stacks: []string{"web"}}
	in, err := cfg.InSandbox(box)
	if err != nil {
		t.Fatal(err)
	}
	if len(in.Environments) != 1 || len(in.Stacks) != 1 || in.Project.State != "terrace" {
		t.Fatalf("environments %+v, stacks %+v", in.Environments, in.Stacks)
	}
	e, st := in.Environments[0], in.Stacks[0]
	if e.Name != "try" || e.Approval != nil || e.Bake != 0 || e.MaxDestroy != nil || !cmp.Equal(e.Secrets, []string{"TOKEN"}) {
		t.Errorf("the environment: %+v", e)
	}
	if len(st.Stateful) > 0 || st.BeforeChange || !cmp.Equal(st.Immutable, []string{"c.d"}) {
		t.Errorf("the stack: %+v", st)
	}
	got := in.Instances("try")
	if len(got) != 1 || got[0].Path != "stacks/web" || len(got[0].DependsOn) > 0 || !cmp.Equal(got[0].VarFiles, []string{"dev.tfvars"}) {
		t.Errorf("instances: %+v", got)
	}
	if others := in.Instances("dev"); others != nil {
		t.Errorf("it has instances in its base: %+v", others)
	}
	inputs, err := in.Inputs("web", "try", Scope{Sandbox: &Sandbox{Name: "try", Owner: "ana"}, Outputs: func(stack string) (map[string]cty.Value, bool) {
		return map[string]cty.Value{"id": cty.StringVal("of-dev")}, stack == "network"
	}})
	want := map[string]json.RawMessage{"network": json.RawMessage(`"of-dev"`), "name": json.RawMessage(`"web-try"`), "place": json.RawMessage(`"in-try"`), "owner": json.RawMessage(`"ana"`)}
	if err != nil || !cmp.Equal(inputs.Variables, want) || len(inputs.Backend) > 0 {
		t.Errorf("inputs: %s, %v", inputs.Variables, err)
	}
	// The configuration that it was made of is as it was.
	if len(cfg.Environments) != 2 || len(cfg.Instances("dev")) != 2 || cfg.Stacks[1].Stateful == nil || cfg.Project.State != "stack" {
		t.Errorf("the project's own configuration was changed: %+v", cfg)
	}
	box.Stacks = nil
	if all, err := cfg.InSandbox(box); err != nil || len(all.Instances("try")) != 2 || !cmp.Equal(all.Instances("try")[1].DependsOn, []string{"network"}) {
		t.Errorf("all stacks: %v", err)
	}
	for _, bad := range []struct {
		box  core.Sandbox
		says string
	}{
		{core.Sandbox{Name: "try", Base: "staging"}, `environment "staging", is not in this commit; it has dev and production`},
		{core.Sandbox{Name: "try", Base: "dev", Stacks: []string{"wbe"}}, `the stack "wbe", which is not in dev in this commit; there: network and web`},
	} {
		if _, err := cfg.InSandbox(bad.box); core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), bad.says) {
			t.Errorf("%+v: %v", bad.box, err)
		}
	}
}

func TestSandboxRules(t *testing.T) {
	t.Parallel()
	tree := files{GuardrailsFile: "sandboxes {\n  per_person = 8\n}\nsandboxes {\n  projects = [\"sh*\"]\n  per_project = 0\n  longest = \"1h\"\n}\n"}
	g, diags := LoadGuardrails(tree)
	if diags.HasErrors() {
		t.Fatal(Render(diags, tree, false))
	}
	blog := core.DefaultSandboxRule
	blog.PerPerson = 8
	if got := g.SandboxRule("blog"); got != blog {
		t.Errorf("blog: %+v", got)
	}
	if got := g.SandboxRule("shop"); got.PerPerson != 5 || got.PerProject != 0 || got.Longest.Hours() != 1 {
		t.Errorf("shop: %+v", got)
	}
	if got := (&Guardrails{}).SandboxRule("shop"); got != core.DefaultSandboxRule {
		t.Errorf("without guardrails: %+v", got)
	}
	if _, diags := LoadGuardrails(files{GuardrailsFile: "sandboxes {\n  longest = \"1s\"\n}\n"}); !diags.HasErrors() {
		t.Error("a second is long enough")
	}
}
