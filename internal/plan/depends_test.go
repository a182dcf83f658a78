package plan_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/plan"
	"github.com/terrace-cd/terrace/internal/statefile"
	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

// tofu is a folder with code that an engine plans.
type tofu struct {
	*testing.T
	dir, program string
	env          []string
}

func newTofu(t *testing.T, files map[string]string) tofu {
	t.Helper()
	w := tofu{t, t.TempDir(), testkit.Tofu(t), testkit.EngineEnv(t)}
	w.write(files)
	w.run("init", "-input=false")
	return w
}

func (w tofu) write(files map[string]string) {
	w.Helper()
	for name, content := range files {
		file := filepath.Join(w.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			w.Fatal(err)
		}
	}
}

func (w tofu) run(args ...string) []byte {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), w.program, args...)
	cmd.Dir, cmd.Env = w.dir, w.env
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		w.Fatalf("tofu %s: %v\n%s%s", args, err, out, problem.String())
	}
	return out
}

func (w tofu) apply() { w.Helper(); w.run("apply", "-auto-approve", "-input=false", "-no-color") }

// plans returns the changes of a plan by address.
func (w tofu) plans(args ...string) map[string]wire.ResourceChange {
	w.Helper()
	return w.parse(w.json(args...))
}

func (w tofu) json(args ...string) []byte {
	w.Helper()
	w.run(append([]string{"plan", "-input=false", "-no-color", "-out=plan"}, args...)...)
	return w.run("show", "-json", "plan")
}

func (w tofu) parse(shown []byte) map[string]wire.ResourceChange {
	w.Helper()
	p, err := plan.Parse(shown)
	if err != nil {
		w.Fatal(err)
	}
	out := map[string]wire.ResourceChange{}
	for _, r := range p.Plan.Resources {
		out[r.Address] = r
	}
	return out
}

// Dependencies of real plans: through locals, modules, outputs, for_each and depends_on.
func TestDependencies(t *testing.T) {
	t.Parallel()
	w := newTofu(t, map[string]string{
		"main.tf": `
variable "v" { default = "1" }
locals { id = terraform_data.base.id }
resource "terraform_data" "base" {
  triggers_replace = [var.v]
  lifecycle { create_before_destroy = true }
}
resource "terraform_data" "direct" { triggers_replace = [terraform_data.base.id] }
resource "terraform_data" "local" { input = local.id }
module "m" {
  source   = "./m"
  for_each = toset(["x.y"])
  id       = local.id
  other    = var.v
}
resource "terraform_data" "after" {
  count = 2
  input = module.m["x.y"].out
}
resource "terraform_data" "beside" { input = [module.m["x.y"].beside, var.v] }
resource "terraform_data" "whole" {
  input      = var.v
  depends_on = [module.m]
}
resource "terraform_data" "alone" { input = var.v }
`,
		"m/main.tf": `
variable "id" {}
variable "other" {}
resource "terraform_data" "in" { input = var.id }
resource "terraform_data" "beside" { input = var.other }
output "out" { value = terraform_data.in.output }
output "beside" { value = terraform_data.beside.output }
`,
	})
	w.apply()
	got := map[string]string{}
	for address, r := range w.plans("-var=v=2") {
		got[address] = strings.TrimSpace(r.Action + " " + r.Order + " " + strings.Join(r.DependsOn, ","))
	}
	want := map[string]string{
		"terraform_data.base":                   "replace create_first",
		"terraform_data.direct":                 "replace destroy_first terraform_data.base",
		"terraform_data.local":                  "update  terraform_data.base",
		"terraform_data.after[0]":               "update  terraform_data.base",
		"terraform_data.after[1]":               "update  terraform_data.base",
		"terraform_data.whole":                  "update  terraform_data.base",
		"terraform_data.beside":                 "update",
		"terraform_data.alone":                  "update",
		`module.m["x.y"].terraform_data.in`:     "update  terraform_data.base",
		`module.m["x.y"].terraform_data.beside`: "update",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// What left the code depends on what it depended on; what is new on what its code says.
	w.write(map[string]string{"main.tf": `
variable "v" { default = "1" }
resource "terraform_data" "base" {
  triggers_replace = [var.v]
  lifecycle { create_before_destroy = true }
}
module "n" {
  source     = "./n"
  depends_on = [terraform_data.base]
}
module "o" {
  source = "./o"
  id     = { nested = [terraform_data.base.id] }
}
`,
		"n/main.tf": `resource "terraform_data" "in" {}`,
		"o/main.tf": `variable "id" {}
resource "terraform_data" "in" { 
  count = length(var.id.nested)
}`,
	})
	w.run("get")
	changes := w.plans("-var=v=2")
	for address, action := range map[string]string{
		"terraform_data.local": "delete", "terraform_data.after[1]": "delete", `module.m["x.y"].terraform_data.in`: "delete", "terraform_data.whole": "delete",
		"module.n.terraform_data.in": "create", "module.o.terraform_data.in[0]": "create",
	} {
		want := []string{"terraform_data.base"}
		switch address { // what it depends on goes as well
		case "terraform_data.whole":
			want = []string{"module.m.terraform_data.beside", "module.m.terraform_data.in", "terraform_data.base"}
		case "terraform_data.after[1]":
			want = []string{"module.m.terraform_data.in", "terraform_data.base"}
		}
		if r := changes[address]; r.Action != action || !slices.Equal(r.DependsOn, want) {
			t.Errorf("%s: %+v", address, r)
		}
	}
	if r := changes["terraform_data.alone"]; r.Action != "delete" || len(r.DependsOn) != 0 {
		t.Errorf("alone: %+v", r)
	}
}

// A random acyclic network of resources in modules, every one of them replaced: each
// depends on exactly what can be reached from it. Without local values, the code alone
// tells it too.
func TestDependenciesOfRandomCode(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			locals := seed%2 == 0
			files, reach := network(rand.New(rand.NewPCG(seed, 14)), locals)
			w := newTofu(t, files)
			w.apply()
			shown := w.json("-var=v=2")
			compare(t, reach, w.parse(shown))
			if !locals {
				compare(t, reach, w.parse(withoutState(t, shown)))
			}
			if t.Failed() {
				t.Log(files["main.tf"])
			}
		})
	}
}

func compare(t *testing.T, reach map[string][]string, changes map[string]wire.ResourceChange) {
	t.Helper()
	if len(changes) != len(reach) {
		t.Errorf("%d changes of %d resources", len(changes), len(reach))
	}
	for address, r := range changes {
		if diff := cmp.Diff(reach[statefile.WithoutKeys(address)], r.DependsOn); diff != "" || r.Action != "replace" {
			t.Errorf("%s is to %s, and depends on (-want +got):\n%s", address, r.Action, diff)
		}
	}
}

func withoutState(t *testing.T, shown []byte) []byte {
	t.Helper()
	var doc map[string]json.RawMessage
	if err := json.Unmarshal(shown, &doc); err != nil {
		t.Fatal(err)
	}
	delete(doc, "prior_state")
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// network writes code: resource n is in the root module, or in a module of its own that
// wraps another, and uses some of those before it in one of several ways.
func network(r *rand.Rand, locals bool) (files map[string]string, reach map[string][]string) {
	const size = 14
	files = map[string]string{
		"wrapped/main.tf":       "variable \"uses\" {}\nvariable \"v\" {}\nmodule \"inner\" {\n  source = \"./inner\"\n  given  = [var.uses, var.v]\n}\noutput \"id\" { value = module.inner.id }\n",
		"wrapped/inner/main.tf": "variable \"given\" {}\nresource \"terraform_data\" \"it\" { triggers_replace = var.given }\noutput \"id\" { value = terraform_data.it.id }\n",
	}
	reach = map[string][]string{}
	var b strings.Builder
	b.WriteString("variable \"v\" { default = \"1\" }\n")
	var address, id, module []string
	sets := make([]map[string]bool, size)
	for n := range size {
		sets[n] = map[string]bool{}
		var uses, after []string
		for before := range n {
			if r.IntN(4) != 0 {
				continue
			}
			sets[n][address[before]] = true
			maps.Copy(sets[n], sets[before])
			if r.IntN(4) == 0 {
				after = append(after, module[before])
			} else {
				uses = append(uses, id[before])
			}
		}
		list, depends := "["+strings.Join(uses, ", ")+"]", ""
		if len(after) > 0 {
			depends = "\n  depends_on = [" + strings.Join(after, ", ") + "]"
		}
		name := fmt.Sprintf("n%d", n)
		if locals && r.IntN(3) == 0 { // through a local value
			_, _ = fmt.Fprintf(&b, "locals { %s = %s }\n", name, list)
			list = "local." + name
		}
		if r.IntN(2) == 0 {
			_, _ = fmt.Fprintf(&b, "module %q {\n  source = \"./wrapped\"\n  uses = %s\n  v = var.v%s\n}\n", name, list, depends)
			address, id, module = append(address, "module."+name+".module.inner.terraform_data.it"), append(id, "module."+name+".id"), append(module, "module."+name)
		} else {
			_, _ = fmt.Fprintf(&b, "resource \"terraform_data\" %q {\n  triggers_replace = [%s, var.v]%s\n}\n", name, list, depends)
			address, id, module = append(address, "terraform_data."+name), append(id, "terraform_data."+name+".id"), append(module, "terraform_data."+name)
		}
	}
	files["main.tf"] = b.String()
	for n := range size {
		if reach[address[n]] = nil; len(sets[n]) > 0 {
			reach[address[n]] = slices.Sorted(maps.Keys(sets[n]))
		}
	}
	return files, reach
}

// An address before and after may depend on each other, one by the state and one by the
// code: the graph goes in a circle, and is read all the same.
func TestDependenciesInACircle(t *testing.T) {
	p, err := plan.Parse([]byte(`{"format_version":"1.2","resource_changes":[
 {"address":"a.x","mode":"managed","type":"a","change":{"actions":["create","delete"]}},
 {"address":"a.y","mode":"managed","type":"a","change":{"actions":["delete","create"]}},
 {"address":"a.z[0]","mode":"managed","type":"a","change":{"actions":["update"]}}],
 "prior_state":{"values":{"root_module":{"resources":[{"address":"a.x","depends_on":["a.y"]},{"address":"a.z[0]","depends_on":["a.x"]}]}}},
 "configuration":{"root_module":{"resources":[{"address":"a.y","expressions":{"block":[{"references":{"references":["a.x.id","a.x"]}}]}},{"address":"a.x"}]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][]string{{"a.y"}, {"a.x"}, {"a.x", "a.y"}} {
		if got := p.Plan.Resources[i].DependsOn; !slices.Equal(got, want) {
			t.Errorf("%s depends on %q, want %q", p.Plan.Resources[i].Address, got, want)
		}
	}
}

func BenchmarkDependencies(b *testing.B) {
	var changes, state []string
	for i := range 2000 {
		changes = append(changes, fmt.Sprintf(`{"address":"a.r%d","mode":"managed","type":"a","change":{"actions":["create","delete"]}}`, i))
		var on []string
		for before := max(0, i-100); before < i; before++ {
			on = append(on, fmt.Sprintf(`"a.r%d"`, before))
		}
		state = append(state, fmt.Sprintf(`{"address":"a.r%d","depends_on":[%s]}`, i, strings.Join(on, ",")))
	}
	doc := []byte(`{"format_version":"1.2","resource_changes":[` + strings.Join(changes, ",") + `],"prior_state":{"values":{"root_module":{"resources":[` + strings.Join(state, ",") + `]}}}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := plan.Parse(doc); err != nil {
			b.Fatal(err)
		}
	}
}
