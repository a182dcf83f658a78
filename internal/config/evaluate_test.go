package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
)

// shop is a whole configuration, as people write it.
func shop() files {
	return files{
		"terrace.hcl": `
project "shop" {
  engine_version = "~> 1.12"
}
environment "production" {
  after     = ["staging"]
  bake      = "30m"
  rollback  = "auto"
  drift     = "6h"
  queue     = "every"
  variables = { servers = 4, size = "large", region = "eu" }
  secrets   = ["CLOUD_TOKEN"]
  approval {
    count  = 2
    from   = ["group:platform", "user:ana"]
    others = true
  }
  window {
    days = ["mon", "fri"]
    from = "09:00"
    to   = "16:30"
    zone = "Europe/London"
  }
  max_destroy = 5
  max_replace = 0
}
environment "dev" {
  variables = { servers = 1, size = "small", region = "eu" }
}
environment "staging" {
  after     = ["dev"]
  variables = { servers = 2, size = "small", region = "eu" }
}
stack "web" {
  var_files = ["environments/common.tfvars", "environments/${environment.name}.tfvars"]
  inputs = {
    network_id = stack.network.id
    password   = stack.database.password
    everything = stack.network
    name       = "web-${environment.name}"
    commit     = "${release.number}-${release.commit}"
    motd       = trimspace(file("files/motd.txt"))
    owner      = sandbox.name == null ? "nobody" : "${sandbox.name}/${sandbox.owner}"
  }
  reads         = ["shared/**"]
  immutable     = ["democloud_server.*"]
  zero_downtime = true
  before_change {
    command = ["files/backup.sh", output.url]
  }
  ansible {
    playbook  = "ansible/web.yml"
    inventory = {
      web    = output.addresses
      lb     = output.lb
      canary = { for s in output.servers : s.name => { ansible_host = s.ip, port = s.port } }
      old    = [{ name = "old1", host = "10.0.0.9", ansible_user = "root", vars = { a = [1] } }]
    }
    variables = { version = release.commit, db = stack.database.password }
    secrets   = ["SSH_KEY"]
    check     = true
  }
  verify "http" {
    url    = "${output.url}/healthz"
    status = 204
    within = "30s"
  }
  verify "command" {
    command = ["files/smoke.sh", output.url, tostring(length(output.addresses))]
  }
}
`,
		"environments/common.tfvars":     "size = \"medium\"\ncount_of_files = 1\n",
		"environments/dev.tfvars":        "extra = [1]\n",
		"environments/staging.tfvars":    "extra = [2]\n",
		"environments/production.tfvars": "extra = [3]\n",
		"files/motd.txt":                 "hello\n", "files/backup.sh": "", "files/smoke.sh": "", "ansible/web.yml": "",
		"stacks/network/main.tf":  "variable \"region\" {}\noutput \"id\" {}\noutput \"cidr\" {}\n",
		"stacks/database/main.tf": "variable \"region\" {}\noutput \"password\" {}\noutput \"replica\" {}\n",
		"stacks/web/main.tf": `
variable "servers" { type = number }
variable "size" {}
variable "extra" { type = list(number) }
variable "count_of_files" {}
variable "network_id" { type = string }
variable "password" {}
variable "everything" {}
variable "name" {}
variable "commit" {}
variable "motd" {}
variable "owner" {}
output "url" {}
output "addresses" {}
output "servers" {}
output "lb" {}
`,
	}
}

func mustLoad(t *testing.T, tree Tree) *Config {
	t.Helper()
	cfg, diags := Load(tree, ".")
	if len(diags) > 0 {
		t.Fatalf("unexpected problems:\n%s", Render(diags, tree, false))
	}
	return cfg
}

func shopOutputs(stack string) (map[string]cty.Value, bool) {
	switch stack {
	case "network":
		return map[string]cty.Value{"id": cty.StringVal("net-1"), "cidr": cty.StringVal("10.0.0.0/8")}, true
	case "database":
		return map[string]cty.Value{"password": cty.StringVal("hunter22").Mark(SensitiveMark)}, true
	}
	return nil, false
}

func TestConfigKeepsWhatIsWritten(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, shop())
	var names []string
	for _, e := range cfg.Environments {
		names = append(names, e.Name)
	}
	if want := []string{"dev", "staging", "production"}; !reflect.DeepEqual(names, want) {
		t.Errorf("promotion order %v, want %v", names, want)
	}
	p := cfg.Environments[2]
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	five, zero := 5, 0
	want := Environment{Name: "production", After: []string{"staging"}, Bake: 30 * time.Minute, Queue: "every", Rollback: "auto", Secrets: []string{"CLOUD_TOKEN"},
		Variables: p.Variables, Approval: &Approval{Count: 2, From: []string{"group:platform", "user:ana"}, Others: true, Expires: DefaultExpiry},
		Windows:    []Window{{Days: []time.Weekday{time.Monday, time.Friday}, From: 9 * time.Hour, To: 16*time.Hour + 30*time.Minute, Zone: london}},
		MaxDestroy: &five, MaxReplace: &zero, Drift: 6 * time.Hour}
	if !reflect.DeepEqual(p, want) {
		t.Errorf("got  %+v\nwant %+v", p, want)
	}
	if !reflect.DeepEqual(cfg.Project, Project{Name: "shop", Engine: "tofu", EngineVersion: "~> 1.12", Stacks: []string{"stacks/*"}, State: "terrace", Parallel: 10}) {
		t.Errorf("project %+v", cfg.Project)
	}
}

func TestInstances(t *testing.T) {
	t.Parallel()
	got := mustLoad(t, shop()).Instances("staging")
	want := []Instance{
		{Stack: "database", Path: "stacks/database"},
		{Stack: "network", Path: "stacks/network"},
		{Stack: "web", Path: "stacks/web", DependsOn: []string{"database", "network"}, Reads: []string{"shared/**"},
			VarFiles:  []string{"environments/common.tfvars", "environments/staging.tfvars"},
			HasVerify: true, HasAnsible: true, Playbook: "ansible/web.yml", ChecksHosts: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := mustLoad(t, shop()).Instances("nowhere"); got != nil {
		t.Errorf("instances of an unknown environment: %v", got)
	}
}

func TestInputs(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, shop())
	got, err := cfg.Inputs("web", "dev", Scope{Commit: "9f3c", Number: 7, Outputs: shopOutputs})
	if err != nil {
		t.Fatal(err)
	}
	want := Inputs{
		Path: "stacks/web",
		Variables: map[string]json.RawMessage{
			"servers":    json.RawMessage(`1`), // size comes from a var file, region is not declared
			"network_id": json.RawMessage(`"net-1"`), "password": json.RawMessage(`"hunter22"`),
			"everything": json.RawMessage(`{"cidr":"10.0.0.0/8","id":"net-1"}`),
			"name":       json.RawMessage(`"web-dev"`), "commit": json.RawMessage(`"7-9f3c"`), "motd": json.RawMessage(`"hello"`), "owner": json.RawMessage(`"nobody"`),
		},
		VarFiles:  []string{"environments/common.tfvars", "environments/dev.tfvars"},
		Upstream:  map[string][]string{"network": {"cidr", "id"}, "database": {"password"}},
		Sensitive: []string{"password"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", asJSON(t, got), asJSON(t, want))
	}
	boxed, err := cfg.Inputs("web", "dev", Scope{Sandbox: &Sandbox{Name: "try", Owner: "ana"}, Outputs: shopOutputs})
	if err != nil || string(boxed.Variables["owner"]) != `"try/ana"` {
		t.Errorf("in a sandbox: %s, %v", boxed.Variables["owner"], err)
	}
	plain, err := cfg.Inputs("network", "production", Scope{})
	if err != nil || string(plain.Variables["region"]) != `"eu"` || len(plain.Variables) != 1 {
		t.Errorf("a discovered stack: %s, %v", asJSON(t, plain), err)
	}
}

func TestAfter(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, shop())
	own := map[string]cty.Value{
		"url":       cty.StringVal("http://127.0.0.1:80"),
		"addresses": cty.TupleVal([]cty.Value{cty.StringVal("10.0.0.1"), cty.StringVal("fe80::1")}),
		"lb":        cty.StringVal("lb.internal"),
		"servers": cty.TupleVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{
			"name": cty.StringVal("c1"), "ip": cty.StringVal("10.1.0.1"), "port": cty.NumberIntVal(22)})}),
	}
	got, err := cfg.After("web", "dev", Scope{Commit: "9f3c", Number: 7, Outputs: shopOutputs}, Own{Outputs: own})
	if err != nil {
		t.Fatal(err)
	}
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	want := After{
		Ansible: &Ansible{
			Playbook: "ansible/web.yml", Secrets: []string{"SSH_KEY"}, Check: true, Within: 5 * time.Minute,
			Variables: map[string]json.RawMessage{"version": raw(`"9f3c"`), "db": raw(`"hunter22"`)},
			Inventory: map[string][]Host{
				"web":    {{Name: "10.0.0.1"}, {Name: "fe80::1"}},
				"lb":     {{Name: "lb.internal"}},
				"canary": {{Name: "c1", Vars: map[string]json.RawMessage{"ansible_host": raw(`"10.1.0.1"`), "port": raw(`22`)}}},
				"old":    {{Name: "old1", Vars: map[string]json.RawMessage{"ansible_host": raw(`"10.0.0.9"`), "ansible_user": raw(`"root"`), "a": raw(`[1]`)}}},
			},
		},
		Verify: []Verify{
			{Kind: "http", URL: "http://127.0.0.1:80/healthz", Status: 204, Within: 30 * time.Second},
			{Kind: "command", Command: []string{"files/smoke.sh", "http://127.0.0.1:80", "2"}, Within: 2 * time.Minute},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %s\nwant %s", asJSON(t, got), asJSON(t, want))
	}
	if got, err := cfg.After("network", "dev", Scope{}, Own{}); err != nil || got.Ansible != nil || got.Verify != nil {
		t.Errorf("a stack without blocks: %+v, %v", got, err)
	}
}

func TestBeforeChange(t *testing.T) {
	t.Parallel()
	tree := shop()
	tree["terrace.hcl"] = strings.Replace(tree["terrace.hcl"], "\"files/backup.sh\", output.url]", "\"files/backup.sh\", output.url, stack.database.password]\n    within = \"2h\"", 1)
	cfg := mustLoad(t, tree)
	scope := Scope{Commit: "9f3c", Number: 7, Outputs: shopOutputs}
	got, err := cfg.BeforeChange("web", "dev", scope, map[string]cty.Value{"url": cty.StringVal("http://x")})
	if want := (&Hook{Command: []string{"files/backup.sh", "http://x", "hunter22"}, Within: 2 * time.Hour}); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := mustLoad(t, shop()).BeforeChange("web", "dev", scope, map[string]cty.Value{"url": cty.StringVal("http://x")}); err != nil || got.Within != 30*time.Minute {
		t.Errorf("without a limit: %+v, %v", got, err)
	}
	if got, err := cfg.BeforeChange("network", "dev", scope, nil); got != nil || err != nil {
		t.Errorf("a stack without: %+v, %v", got, err)
	}
	if _, err := cfg.BeforeChange("web", "dev", scope, nil); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "web@dev: its before_change cannot be evaluated") || strings.Contains(err.Error(), "hunter22") {
		t.Errorf("without the output: %v", err)
	}
	if _, err := cfg.BeforeChange("web", "nowhere", scope, nil); core.CodeOf(err) != core.NotFound {
		t.Errorf("nowhere: %v", err)
	}
}

// TestEvaluationErrors: what evaluation refuses, with which code, and what it says.
func TestEvaluationErrors(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, shop())
	tests := []struct {
		name        string
		stack, env  string
		after       bool
		outputs     map[string]map[string]cty.Value
		own         map[string]cty.Value
		code        core.Code
		says, never string
	}{
		{name: "unknown stack", stack: "nope", env: "dev", code: core.NotFound, says: `no stack "nope"`},
		{name: "unknown environment", stack: "web", env: "nope", code: core.NotFound, says: "dev, staging and production"},
		{name: "upstream never applied", stack: "web", env: "dev", outputs: nil, code: core.Conflict, says: "web@dev needs outputs of network@dev"},
		{name: "wrong own output", stack: "web", env: "dev", after: true, own: map[string]cty.Value{
			"url": cty.StringVal("nowhere-hunter22").Mark(SensitiveMark), "addresses": cty.StringVal("10.0.0.1"), "lb": cty.StringVal("lb"), "servers": cty.EmptyTupleVal},
			outputs: map[string]map[string]cty.Value{"network": {}, "database": {}}, code: core.Invalid, says: "terrace.hcl:6", never: "hunter22"},
		{name: "null own output", stack: "web", env: "dev", after: true, own: nil,
			outputs: map[string]map[string]cty.Value{"network": {}, "database": {}}, code: core.Invalid, says: "terrace.hcl:64"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := Scope{Outputs: func(stack string) (map[string]cty.Value, bool) { v, ok := tt.outputs[stack]; return v, ok }}
			var err error
			if tt.after {
				_, err = cfg.After(tt.stack, tt.env, s, Own{Outputs: tt.own})
			} else {
				_, err = cfg.Inputs(tt.stack, tt.env, s)
			}
			if core.CodeOf(err) != tt.code || !strings.Contains(fmt.Sprint(err), tt.says) {
				t.Errorf("got %s: %v; want %s saying %q", core.CodeOf(err), err, tt.code, tt.says)
			}
			if tt.never != "" && strings.Contains(err.Error(), tt.never) {
				t.Errorf("the message shows %q: %v", tt.never, err)
			}
		})
	}
}

// TestUpstreamWithoutOutput: an output that the code does not declare any more, so
// that only evaluation can tell.
func TestUpstreamWithoutOutput(t *testing.T) {
	t.Parallel()
	tree := files{
		"terrace.hcl":        "project \"p\" {}\nenvironment \"dev\" {}\nstack \"b\" {\n  inputs = { x = parseint(stack.a.secret, 10) }\n}\n",
		"stacks/a/main.tf":   "this does not parse {",
		"stacks/b/main.tofu": "variable \"x\" {}\n",
	}
	cfg, diags := Load(tree, ".")
	if cfg == nil {
		t.Fatal(Render(diags, tree, false))
	}
	_, err := cfg.Inputs("b", "dev", Scope{Outputs: func(string) (map[string]cty.Value, bool) {
		return map[string]cty.Value{"other": cty.True}, true
	}})
	if core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "terrace.hcl:4:") || !strings.Contains(err.Error(), `Stack "a" has no output "secret"`) || !strings.Contains(err.Error(), "other") {
		t.Errorf("got %v", err)
	}
	_, err = cfg.Inputs("b", "dev", Scope{Outputs: func(string) (map[string]cty.Value, bool) {
		return map[string]cty.Value{"secret": cty.StringVal("swordfish").Mark(SensitiveMark)}, true
	}})
	if core.CodeOf(err) != core.Invalid || strings.Contains(err.Error(), "swordfish") {
		t.Errorf("got %v", err)
	}
}

// TestOutputsFromState reads states that the engines wrote. A null output is in neither.
func TestOutputsFromState(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tofu", "terraform"} {
		state, err := os.ReadFile(filepath.Join("testdata", "state", name+".tfstate"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := OutputsFromState(state)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]cty.Value{
			"text": cty.StringVal("hello"), "secret": cty.StringVal("s3cret-value").Mark(SensitiveMark), "number": cty.NumberIntVal(3),
			"list":   cty.TupleVal([]cty.Value{cty.StringVal("a"), cty.StringVal("b")}),
			"object": cty.ObjectVal(map[string]cty.Value{"a": cty.NumberIntVal(1), "b": cty.TupleVal([]cty.Value{cty.True, cty.NullVal(cty.DynamicPseudoType)})}),
			"set":    cty.SetVal([]cty.Value{cty.StringVal("x"), cty.StringVal("y")}), "map": cty.MapVal(map[string]cty.Value{"k": cty.StringVal("v")}),
		}
		if len(got) != len(want) {
			t.Errorf("%s: got %d outputs, want %d", name, len(got), len(want))
		}
		for k, w := range want {
			if g, ok := got[k]; !ok || !g.RawEquals(w) {
				t.Errorf("%s: output %s is %#v, want %#v", name, k, g, w)
			}
		}
	}
	for _, bad := range []string{"", "[]", `{"version":3}`, `{"version":4,"outputs":{"a":{"value":1,"type":"strin"}}}`, `{"version":4,"outputs":{"a":{"value":"x","type":"number"}}}`} {
		if _, err := OutputsFromState([]byte(bad)); core.CodeOf(err) != core.Invalid {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

// TestInstanceDigest: what has to make an instance run again does, and nothing else.
func TestInstanceDigest(t *testing.T) {
	t.Parallel()
	digest := func(change func(files)) string {
		tree := shop()
		if change != nil {
			change(tree)
		}
		return mustLoad(t, tree).InstanceDigest("web", "dev")
	}
	replace := func(from, to string) func(files) {
		return func(f files) {
			if !strings.Contains(f["terrace.hcl"], from) {
				t.Fatalf("%q is not in the file", from)
			}
			f["terrace.hcl"] = strings.Replace(f["terrace.hcl"], from, to, 1)
		}
	}
	ownBackends := func(more string) func(files) {
		return func(f files) {
			replace("engine_version = \"~> 1.12\"", "state = \"stack\"\n  backend = { key = \"${environment.name}/${stack.name}\""+more+" }")(f)
			for name := range f {
				if strings.HasSuffix(name, "/main.tf") {
					f[strings.TrimSuffix(name, "main.tf")+"backend.tf"] = "terraform {\n  backend \"s3\" {}\n}\n"
				}
			}
		}
	}
	base := digest(nil)
	if digest(ownBackends("")) == digest(ownBackends(", bucket = \"b\"")) {
		t.Error("the settings of the backend do not change the digest")
	}
	same := map[string]func(files){
		"comment":   replace("  verify \"http\" {", "  # about this\n  verify \"http\" {"),
		"layout":    replace("url    = \"${output.url}/healthz\"", "url=\"${output.url}/healthz\" # why"),
		"immutable": replace("democloud_server.*", "other.*"),
		"approval":  replace("count  = 2", "count  = 1"),
		"input":     replace("\"web-${environment.name}\"", "\"www-${environment.name}\""),
		"new stack": func(f files) { f["stacks/new/main.tf"] = "" },
	}
	other := map[string]func(files){
		"status":    replace("status = 204", "status = 200"),
		"url":       replace("/healthz", "/health"),
		"group":     replace("lb     = output.lb", "lb2    = output.lb"),
		"no check":  replace("check     = true", "check     = false"),
		"secret":    replace("environment \"dev\" {", "environment \"dev\" {\n  secrets = [\"A\"]"),
		"var files": replace("\"environments/common.tfvars\", ", ""),
		"state":     ownBackends(""),
		"file":      replace("\"${output.url}/healthz\"", "\"${output.url}/${file(\"files/motd.txt\")}\""),
		"variable":  replace("\"${output.url}/healthz\"", "\"${output.url}/${environment.variables.region}\""),
	}
	for name, change := range same {
		if got := digest(change); got != base {
			t.Errorf("%s changes the digest", name)
		}
	}
	for name, change := range other {
		if name == "var files" {
			// count_of_files comes from the file that is dropped.
			inner := change
			change = func(f files) { inner(f); f["stacks/web/terraform.tfvars"] = "count_of_files = 1\n" }
		}
		if got := digest(change); got == base || got == "" {
			t.Errorf("%s does not change the digest", name)
		}
	}
	// What the blocks read is part of it: the content of a file, the value of a variable.
	for name, pair := range map[string][2]func(files){
		"file": {other["file"], func(f files) { other["file"](f); f["files/motd.txt"] = "bye\n" }},
		"variable": {other["variable"], func(f files) {
			other["variable"](f)
			replace("size = \"small\", region = \"eu\"", "size = \"small\", region = \"us\"")(f)
		}},
	} {
		if digest(pair[0]) == digest(pair[1]) {
			t.Errorf("the %s that is read does not change the digest", name)
		}
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Every variable says where its value is written, and what it is made of.
func TestResolved(t *testing.T) {
	t.Parallel()
	cfg, diags := Load(files{
		"terrace.hcl": `
project "x" {
  parity {
    ignore = ["a_b.*.x"]
    names  = { dev = ["develop"] }
  }
}
environment "dev" {
  variables = { region = "eu", size = "small", unused = 1 }
  secrets   = ["TF_VAR_token", "OTHER"]
  parity {
    with     = "prod"
    at_least = 0.98
    derived  = ["a_b.*.y"]
  }
}
environment "prod" {}
stack "net" {}
stack "web" {
  environments = ["dev"]
  var_files    = ["web.tfvars"]
  inputs = {
    net  = "${stack.net.id}!"
    name = environment.name
  }
}`,
		"web.tfvars":                  "size = \"large\"\n",
		"stacks/web/terraform.tfvars": "zone = \"a\"\nregion = \"us\"\n",
		"stacks/net/main.tf":          "output \"id\" { value = 1 }\n",
		"stacks/web/main.tf":          "variable \"net\" {}\nvariable \"name\" {}\nvariable \"region\" {}\nvariable \"size\" {}\nvariable \"zone\" {}\nvariable \"token\" { default = 1 }\nvariable \"rest\" { default = 2 }\n",
	}, ".")
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	scope := Scope{Outputs: func(string) (map[string]cty.Value, bool) {
		return map[string]cty.Value{"id": cty.StringVal("n1").Mark(SensitiveMark)}, true
	}}
	got, err := cfg.Resolved("web", "dev", scope)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, name := range sortedKeys(got) {
		r := got[name]
		plain, marks := r.Value.UnmarkDeep()
		lines = append(lines, fmt.Sprintf("%s %#v %d %s %v %v", name, plain, len(marks), r.Where, r.From, r.Secret))
	}
	want := []string{
		`name cty.StringVal("dev") 0 inputs of stack web [] false`,
		`net cty.StringVal("n1!") 1 inputs of stack web [{net id}] false`,
		`region cty.StringVal("eu") 0 variables of environment dev [] false`,
		`size cty.StringVal("large") 0 web.tfvars [] false`,
		`token cty.DynamicVal 0 secrets of environment dev [] true`,
		`zone cty.StringVal("a") 0 stacks/web/terraform.tfvars [] false`,
	}
	if !reflect.DeepEqual(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if _, err := cfg.Resolved("web", "dev", Scope{}); core.CodeOf(err) != core.Conflict {
		t.Errorf("without outputs: %v", err)
	}
	gate := cfg.Environments[1].Parity
	if gate == nil {
		gate = cfg.Environments[0].Parity
	}
	rules := cfg.Project.Parity.With(gate.ParityRules)
	if gate.With != "prod" || gate.AtLeast != 0.98 || !reflect.DeepEqual(rules, ParityRules{Ignore: []string{"a_b.*.x"}, Derived: []string{"a_b.*.y"}, Names: map[string][]string{"dev": {"develop"}}}) {
		t.Errorf("%+v %+v", gate, rules)
	}
}

func TestVariablesOf(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, shop())
	list, err := cfg.VariablesOf("web", "dev", Scope{Commit: "9f3c", Number: 7, Outputs: shopOutputs})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]Variable{}
	for _, v := range list {
		got[v.Name] = v
	}
	for name, want := range map[string]Variable{
		"servers":    {Value: json.RawMessage("1"), Where: "variables of environment dev", At: "terrace.hcl:28"},
		"network_id": {Value: json.RawMessage(`"net-1"`), Where: "inputs of stack web", At: "terrace.hcl:37", From: []OutputOf{{"network", "id"}}},
		"password":   {Sensitive: true, Where: "inputs of stack web", At: "terrace.hcl:38", From: []OutputOf{{"database", "password"}}},
	} {
		want.Name, want.Type = name, got[name].Type
		if !reflect.DeepEqual(got[name], want) || want.Type == "" {
			t.Errorf("%s: got %+v, want %+v", name, got[name], want)
		}
	}
	if got["size"].Where == "" || got["size"].Default || !strings.HasSuffix(got["size"].Where, ".tfvars") {
		t.Errorf("size: %+v", got["size"])
	}
	hidden := files{FileName: "project \"p\" {}\nenvironment \"dev\" {\n  variables = { key = \"hush\" }\n}\n",
		"stacks/a/main.tf": "variable \"key\" {\n  sensitive = true\n}\nvariable \"n\" {\n  type = number\n  default = 3\n}\n"}
	list, err = mustLoad(t, hidden).VariablesOf("a", "dev", Scope{})
	if err != nil || len(list) != 2 || !list[0].Sensitive || list[0].Value != nil || !list[1].Default || list[1].Type != "number" {
		t.Errorf("declared sensitive: %+v, %v", list, err)
	}
}
