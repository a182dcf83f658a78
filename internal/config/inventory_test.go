package config

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
)

// fleet is a configuration whose hosts are resources; block is what its inventory block has
// beside the defaults, in place of them.
func fleet(ansible string, block map[string]string) files {
	lines := map[string]string{"host": "self.ip", "name": "self.name", "groups": `["web", try(self.tags.role, "none")]`}
	for name, value := range block {
		lines[name] = value
	}
	var b strings.Builder
	for _, name := range sortedKeys(lines) {
		if lines[name] != "" {
			fmt.Fprintf(&b, "      %s = %s\n", name, lines[name])
		}
	}
	return files{
		"terrace.hcl": "project \"p\" {}\nenvironment \"dev\" {}\nstack \"web\" {\n  ansible {\n    playbook = \"web.yml\"\n    " + ansible +
			"\n    inventory \"cloud_server\" {\n" + b.String() + "    }\n  }\n}\n",
		"web.yml": "", "stacks/web/main.tf": "output \"lb\" {}\noutput \"bastion\" {}\noutput \"port\" {}\n",
	}
}

const hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8dIlJ7sTeoBvUaKBEDAEr0e0PbFo6RY/ZyBBnsqHqV"

// fleetState has three servers: one by itself, one of a module with count, one that is deposed.
const fleetState = `{"version": 4, "outputs": {}, "resources": [
  {"mode": "managed", "type": "cloud_server", "name": "a", "instances": [
    {"attributes": {"id": "i-1", "name": "one", "ip": "10.0.0.1", "port": 22, "tags": {"role": "db"}, "password": "swordfish", "keys": ["` + hostKey + ` root@one"]},
     "sensitive_attributes": [[{"type": "get_attr", "value": "password"}]]}]},
  {"module": "module.m[0]", "mode": "managed", "type": "cloud_server", "name": "b", "instances": [
    {"index_key": "x\"y", "attributes": {"id": "i-2", "name": "two", "ip": "10.0.0.2", "port": 2222, "tags": null, "keys": null, "password": null}},
    {"index_key": "x\"y", "deposed": "abcd", "attributes": {"id": "i-0", "name": "gone", "ip": "10.0.0.9", "tags": null}}]},
  {"mode": "data", "type": "cloud_server", "name": "c", "instances": [{"attributes": {"id": "i-3", "name": "three", "ip": "10.0.0.3"}}]},
  {"mode": "managed", "type": "cloud_disk", "name": "d", "instances": [{"attributes": {"id": "d-1"}}]}]}`

func fleetOwn(t *testing.T) Own {
	t.Helper()
	resources, err := ResourcesFromState([]byte(fleetState), []string{"cloud_server"})
	if err != nil {
		t.Fatal(err)
	}
	return Own{Outputs: map[string]cty.Value{"lb": cty.StringVal("lb"), "bastion": cty.NullVal(cty.DynamicPseudoType), "port": cty.NumberIntVal(22)}, Resources: resources}
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestHostsFromResources(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, fleet(`inventory = { lb = [{ name = "one", id = "lb-1", ansible_user = "root" }], canary = [] }
    optional = ["canary", "later"]
    twice    = environment.name == "dev"
    mitogen  = true
    together = false
    bastion  = { host = "::1", port = output.port + 1, user = "jump", host_keys = "# a comment\n`+hostKey+` x\n" }`,
		map[string]string{"vars": `{ port = self.port, secret = try(self.password, null), at = "${resource.address}|${resource.type}|${resource.name}|${resource.module}|${resource.key == null ? "-" : resource.key}" }`, "host_keys": "self.keys"}))
	got, err := cfg.After("web", "dev", Scope{}, fleetOwn(t))
	if err != nil {
		t.Fatal(err)
	}
	no := false
	one := Host{Name: "one", ID: "lb-1", Keys: []string{hostKey}, From: "cloud_server.a", Vars: map[string]json.RawMessage{
		"ansible_host": raw(`"10.0.0.1"`), "ansible_user": raw(`"root"`), "port": raw(`22`), "secret": raw(`"swordfish"`), "at": raw(`"cloud_server.a|cloud_server|a||-"`)}}
	two := Host{Name: "two", ID: "i-2", From: `module.m[0].cloud_server.b["x\"y"]`, Vars: map[string]json.RawMessage{
		"ansible_host": raw(`"10.0.0.2"`), "port": raw(`2222`), "secret": raw(`null`), "at": raw(`"module.m[0].cloud_server.b[\"x\\\"y\"]|cloud_server|b|module.m[0]|x\"y"`)}}
	want := &Ansible{Playbook: "web.yml", Secrets: []string{}, Variables: map[string]json.RawMessage{}, Within: 300e9, Twice: true, Mitogen: true, Together: &no, Selects: []string{"cloud_server"},
		Bastion:   &Bastion{Host: "::1", Port: 23, User: "jump", Keys: []string{hostKey}},
		Inventory: map[string][]Host{"lb": {one}, "canary": {}, "later": {}, "web": {one, two}, "db": {one}, "none": {two}}}
	if !reflect.DeepEqual(got.Ansible, want) {
		t.Errorf("got  %s\nwant %s", asJSON(t, got.Ansible), asJSON(t, want))
	}
	if got := cfg.Selects("web", "dev"); !reflect.DeepEqual(got, []string{"cloud_server"}) {
		t.Errorf("it selects %v", got)
	}
	if _, err := cfg.Provision("web", "dev", Scope{}, fleetOwn(t)); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "Resources in the middle of an apply") || !strings.Contains(err.Error(), "terrace.hcl:") {
		t.Errorf("in the middle of an apply: %v", err)
	}
}

func TestBastions(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*Bastion{
		`"bastion"`: {Host: "bastion"}, `"jump@10.0.0.1:2222"`: {Host: "10.0.0.1", User: "jump", Port: 2222}, `"[fe80::1]:22"`: {Host: "fe80::1"},
		`"a@b.example@[::1]:23"`: {Host: "::1", User: "a@b.example", Port: 23}, `"::1"`: {Host: "::1"}, `null`: nil, `output.bastion`: nil, `{ host = "b", user = null }`: {Host: "b"},
	} {
		cfg := mustLoad(t, fleet("bastion = "+text, nil))
		if got, err := cfg.After("web", "dev", Scope{}, fleetOwn(t)); err != nil || !reflect.DeepEqual(got.Ansible.Bastion, want) {
			t.Errorf("%s: %+v, %v", text, got.Ansible, err)
		}
	}
	for _, text := range []string{`""`, `"@b"`, `"b:0"`, `"b:65536"`, `"b:x"`, `"-oProxyCommand=x"`, `"-x@b"`, `"a b"`, `7`, `["b"]`, `{ port = 22 }`, `{ host = ["b"] }`, `{ host = "b", key = "x" }`, `{ host = "b", host_keys = "x" }`} {
		if _, diags := Load(fleet("bastion = "+text, nil), "."); !diags.HasErrors() {
			t.Errorf("%s is a bastion", text)
		}
	}
}

// TestInventoryProblems: what an inventory refuses once there are resources, and what it says.
func TestInventoryProblems(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ansible string
		block   map[string]string
		says    []string
	}{
		"nothing selected":         {"", map[string]string{"where": `self.name == "nobody"`}, []string{"terrace.hcl:7:", `inventory "cloud_server" selects no host`, "Of 2 resources of this type, where is true for none", "optional = true"}},
		"an empty group":           {`inventory = { canary = output.lb == "x" ? ["a"] : [] }`, nil, []string{"terrace.hcl:6:", `Group "canary" has no hosts`, `optional = ["canary"]`}},
		"an unknown attribute":     {"", map[string]string{"host": "self.private_ip"}, []string{`self has no "private_ip"`, `cloud_server.a in web@dev and module.m[0].cloud_server.b["x\"y"] in web@dev`, "It has id, ip, keys, name, password, port and tags", "try(self.private_ip, null)"}},
		"an unknown tag":           {"", map[string]string{"groups": "[self.tags.rol]", "where": "self.tags != null"}, []string{`self.tags has no "rol"`, `Did you mean "role"?`}},
		"no host":                  {"", map[string]string{"host": "self.tags == null ? null : self.ip"}, []string{`"host" is null or empty`, "with where", `b["x\"y"] in web@dev`}},
		"no groups":                {"", map[string]string{"groups": "[for r in [try(self.tags.role, null)] : r if r != null]"}, []string{"A host without a group", `b["x\"y"] in web@dev`}},
		"a null group":             {"", map[string]string{"groups": "[try(self.tags.role, null)]"}, []string{`"" cannot name a group`}},
		"where is null":            {"", map[string]string{"where": "try(self.tags.role == \"db\", null)"}, []string{`"where" is null`}},
		"two ids":                  {"", map[string]string{"name": `"same"`, "host": `"10.0.0.1"`, "groups": `["web"]`}, []string{`Host "same" has two ids, from cloud_server.a and from module.m[0].cloud_server.b["x\"y"]`, "give each a name of its own"}},
		"two addresses":            {"", map[string]string{"name": `"same"`, "id": "null"}, []string{`Host "same" has two values of the variable ansible_host, from cloud_server.a and from`}},
		"the argument and a block": {`inventory = { lb = [{ name = "one", vars = { x = 1 } }] }`, map[string]string{"vars": "{ x = self.port }"}, []string{`Host "one" has two values of the variable x, from group "lb" and from cloud_server.a`}},
		"keys that are none":       {"", map[string]string{"host_keys": "self.password", "where": `self.name == "one"`}, []string{"no public host key"}},
		"a secret in a message":    {"", map[string]string{"name": "\"-${self.password}\"", "where": `self.name == "one"`}, []string{"cannot be a host", "(sensitive)"}},
	} {
		cfg := mustLoad(t, fleet(c.ansible, c.block))
		_, err := cfg.After("web", "dev", Scope{}, fleetOwn(t))
		if core.CodeOf(err) != core.Invalid {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, says := range c.says {
			if text := strings.Join(strings.Fields(err.Error()), " "); !strings.Contains(text, says) {
				t.Errorf("%s does not say %q: %v", name, says, err)
			}
		}
		if strings.Contains(err.Error(), "swordfish") {
			t.Errorf("%s shows a secret: %v", name, err)
		}
	}
	none := mustLoad(t, fleet("", map[string]string{"optional": "true"}))
	if got, err := none.After("web", "dev", Scope{}, Own{}); err != nil || len(got.Ansible.Inventory) != 0 {
		t.Errorf("without resources: %+v, %v", got, err)
	}
	if _, err := mustLoad(t, fleet("", nil)).After("web", "dev", Scope{}, Own{}); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "There is no resource of this type") {
		t.Errorf("without resources that have to be there: %v", err)
	}
	many := Own{}
	for i := range 500 {
		many.Resources = append(many.Resources, Resource{Address: fmt.Sprint("cloud_server.a", i), Type: "cloud_server", Key: cty.NullVal(cty.String), Value: cty.ObjectVal(map[string]cty.Value{"ip": cty.StringVal(fmt.Sprint("-", i)), "id": cty.StringVal("x")})})
	}
	if _, err := mustLoad(t, fleet("", map[string]string{"name": ""})).After("web", "dev", Scope{}, many); err == nil || len(err.Error()) > 20_000 {
		t.Errorf("%d bytes about 500 resources", len(fmt.Sprint(err)))
	}
}

// TestForesee: what a plan tells of hosts, and what it does not.
func TestForesee(t *testing.T) {
	t.Parallel()
	cfg := mustLoad(t, fleet(`inventory = { lb = output.lb, canary = [{ name = "c", host = output.port }] }
    variables = { port = output.port, lb = "x" }
    bastion   = output.bastion`, map[string]string{"vars": "{ port = self.port }", "where": `self.name != "nobody"`}))
	planned := func(address, values, unknown string) Resource {
		r, err := PlannedResource{Address: address, Type: "cloud_server", Name: "x", Key: raw("0"), Values: raw(values), Unknown: raw(unknown), Sensitive: raw(`{"password": true}`)}.Resource()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	own := Own{Outputs: map[string]cty.Value{"lb": cty.StringVal("lb"), "bastion": cty.DynamicVal, "port": cty.DynamicVal}, Resources: []Resource{
		planned("cloud_server.same", `{"id": "i-1", "name": "same", "ip": "10.0.0.1", "port": 22, "tags": {}}`, `{"tags": {}}`),
		planned("cloud_server.resized", `{"id": "i-2", "name": "resized", "ip": "10.0.0.2", "tags": {}}`, `{"port": true}`),
		planned("cloud_server.replaced", `{"name": "replaced", "ip": "10.0.0.3", "port": 22, "tags": {}, "password": "swordfish"}`, `{"id": true}`),
		planned("cloud_server.new", `{"ip": null, "tags": {}}`, `{"id": true, "name": true, "ip": true}`),
		planned("cloud_server.grouped", `{"id": "i-4", "name": "grouped", "ip": "10.0.0.4", "port": 1}`, `{"tags": true}`),
		planned("cloud_server.nothing", ``, `{"id": true, "name": true, "ip": true, "tags": true, "port": true}`),
		planned("cloud_server.nobody", `{"id": "i-5", "name": "nobody", "ip": "10.0.0.5", "tags": {}, "port": 1}`, `{}`),
	}}
	got, err := cfg.Foresee("web", "dev", Scope{}, own)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"c", "cloud_server.new", "cloud_server.nothing", "grouped", "replaced"}; !reflect.DeepEqual(got.New, want) {
		t.Errorf("new are %v, want %v", got.New, want)
	}
	if want := []string{"bastion", "port", "resized: port"}; !reflect.DeepEqual(got.UnknownVariables, want) {
		t.Errorf("unknown are %v, want %v", got.UnknownVariables, want)
	}
	hosts := map[string]string{}
	for group, all := range got.Inventory {
		for _, h := range all {
			hosts[h.Name] += fmt.Sprint(" ", group, h.Unknown)
		}
	}
	if want := map[string]string{"lb": " lbfalse", "same": hosts["same"], "resized": hosts["resized"]}; !reflect.DeepEqual(hosts, want) || !strings.Contains(hosts["resized"], "webtrue") || !strings.Contains(hosts["same"], "nonefalse") {
		t.Errorf("the inventory has %v", hosts)
	}
	if string(got.Variables["lb"]) != `"x"` || len(got.Variables) != 1 {
		t.Errorf("variables are %s", asJSON(t, got.Variables))
	}
	if v := own.Resources[2].Value.GetAttr("password"); !v.HasMark(SensitiveMark) {
		t.Error("a sensitive attribute of a plan is not marked")
	}
	// A group that surely loses its hosts is known before the apply.
	if _, err := cfg.Foresee("web", "dev", Scope{}, Own{Outputs: own.Outputs, Resources: own.Resources[6:]}); err == nil || !strings.Contains(err.Error(), "selects no host") {
		t.Errorf("nobody is left: %v", err)
	}
}

// TestResourcesFromState reads states that engines wrote, and refuses what is none.
func TestResourcesFromState(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"tofu", "terraform"} {
		state, err := os.ReadFile(filepath.Join("testdata", "state", name+".tfstate"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ResourcesFromState(state, []string{"terraform_data"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	all := fleetOwn(t).Resources
	if len(all) != 2 || all[0].Address != "cloud_server.a" || !all[0].Key.IsNull() || all[1].Module != "module.m[0]" || !all[1].Key.RawEquals(cty.StringVal(`x"y`)) {
		t.Errorf("%+v", all)
	}
	if v := all[0].Value.GetAttr("password"); !v.HasMark(SensitiveMark) || all[0].Value.GetAttr("name").IsMarked() {
		t.Error("other attributes are sensitive than the state says")
	}
	nested := `{"version": 4, "resources": [{"mode": "managed", "type": "t", "name": "n", "instances": [{"index_key": 3, "attributes": {"a": [{"b": "x", "c": "y"}], "m": {"k": "z", "l": "w"}, "n": 12345678901234567890, "s": ["p"],
    "d": {"value": {"x": [1]}, "type": ["object", {"x": ["tuple", ["number"]]}]}, "r": {"type": "A", "value": "1.2.3.4"}},
    "sensitive_attributes": [[{"type": "get_attr", "value": "a"}, {"type": "index", "value": {"value": 0, "type": "number"}}, {"type": "get_attr", "value": "b"}],
      [{"type": "get_attr", "value": "m"}, {"type": "index", "value": {"value": "k", "type": "string"}}], [{"type": "get_attr", "value": "s"}, {"type": "index", "value": {"value": {}, "type": "object"}}]]}]}]}`
	rs, err := ResourcesFromState([]byte(nested), []string{"t"})
	if err != nil || len(rs) != 1 {
		t.Fatal(rs, err)
	}
	secret := func(s string) cty.Value { return cty.StringVal(s).Mark(SensitiveMark) }
	want := cty.ObjectVal(map[string]cty.Value{
		"a": cty.TupleVal([]cty.Value{cty.ObjectVal(map[string]cty.Value{"b": secret("x"), "c": cty.StringVal("y")})}),
		"m": cty.ObjectVal(map[string]cty.Value{"k": secret("z"), "l": cty.StringVal("w")}), "n": cty.MustParseNumberVal("12345678901234567890"),
		"d": cty.ObjectVal(map[string]cty.Value{"x": cty.TupleVal([]cty.Value{cty.NumberIntVal(1)})}),
		"r": cty.ObjectVal(map[string]cty.Value{"type": cty.StringVal("A"), "value": cty.StringVal("1.2.3.4")}),
		"s": cty.TupleVal([]cty.Value{cty.StringVal("p")}).Mark(SensitiveMark)})
	if !rs[0].Value.RawEquals(want) || !rs[0].Key.RawEquals(cty.NumberIntVal(3)) || rs[0].Address != "t.n[3]" {
		t.Errorf("%s is %#v", rs[0].Address, rs[0].Value)
	}
	for _, bad := range []string{"", "[]", `{"version":3}`, `{"version":4,"resources":{}}`, `{"version":4,"resources":[{"mode":"managed","type":"t","instances":[{"attributes":[]}]}]}`, strings.Repeat("[", 100_000)} {
		if _, err := ResourcesFromState([]byte(bad), []string{"t"}); core.CodeOf(err) != core.Invalid {
			t.Errorf("%.30q: got %v", bad, err)
		}
	}
	for _, bad := range []PlannedResource{{Values: raw("[]")}, {Values: raw("{")}, {Values: raw("{}"), Unknown: raw("x")}} {
		if _, err := bad.Resource(); core.CodeOf(err) != core.Invalid {
			t.Errorf("%s: got %v", bad.Values, err)
		}
	}
}

// FuzzResources: whatever a state says, hosts are made of it or problems are told.
func FuzzResources(f *testing.F) {
	f.Add([]byte(fleetState))
	cfg, diags := Load(fleet("inventory = { lb = output.lb }", map[string]string{"host": "try(self.ip, self.id)", "name": "", "vars": "self", "host_keys": "try(self.keys, null)"}), ".")
	if cfg == nil {
		f.Fatal(diags)
	}
	f.Fuzz(func(t *testing.T, state []byte) {
		resources, err := ResourcesFromState(state, []string{"cloud_server"})
		if err != nil {
			return
		}
		got, err := cfg.After("web", "dev", Scope{}, Own{Outputs: map[string]cty.Value{"lb": cty.StringVal("lb")}, Resources: resources})
		if err != nil {
			return
		}
		for group, hosts := range got.Ansible.Inventory {
			for _, h := range hosts {
				if !hostRE.MatchString(h.Name) || !groupRE.MatchString(group) || h.Unknown {
					t.Errorf("%s has %+v", group, h)
				}
			}
		}
	})
}
