package guard_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files")

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, address, kind string
		want                   bool
	}{
		{"democloud_database.*", "democloud_database.main", "democloud_database", true},
		{"democloud_database.main", "democloud_database.main[0]", "democloud_database", true},
		{"democloud_database.main[0]", "democloud_database.main[1]", "democloud_database", false},
		{"democloud_database.main", "democloud_database.mainly", "democloud_database", false},
		{"democloud_database", "module.a.democloud_database.x", "democloud_database", true},
		{"democloud_database.*", `module.shop["a.b"].module.db[0].democloud_database.x["k"]`, "democloud_database", true},
		{"module.db.*", "module.db.democloud_server.a", "democloud_server", true},
		{"module.db.*", `module.db["x.y"].democloud_server.a`, "democloud_server", true},
		{"module.db.*", "module.dbs.democloud_server.a", "democloud_server", false},
		{"*", "anything.at_all", "anything", true},
		{"*.main", "democloud_database.main", "democloud_database", true},
		{"a*b*c.x", "a1b2c.x", "a1b2c", true},
		{"a*b*c.x", "a1c2b.x", "a1c2b", false},
		{"aa*aa", "aaa", "aaa", false},
		{"t.main", `t.other["t.main"]`, "t", false},
		{"t.a", `t.a["]"]`, "t", true},
		{"t.a", `t.a["\"]"]`, "t", true},
		{"t.a", "t.a (deposed 1234abcd)", "t", true},
		{"", "t.a", "t", false},
		{"module.x", "module.x", "", true},
	} {
		if got := guard.Matches(c.pattern, c.address, c.kind); got != c.want {
			t.Errorf("Matches(%q, %q, %q) is %v", c.pattern, c.address, c.kind, got)
		}
	}
}

func TestTypeOf(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"a.b": "a", `module.m["x.y"].a.b[0]`: "a", "module.m.module.n.a_c.b (deposed 12ab)": "a_c"} {
		if got := guard.TypeOf(address); got != want {
			t.Errorf("TypeOf(%q) is %q", address, got)
		}
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("a.*", `module.x["]"].a.b[0]`, "a")
	f.Fuzz(func(t *testing.T, pattern, address, kind string) {
		guard.Matches(pattern, address, kind)
		if !guard.Matches("*", address, kind) {
			t.Errorf("* does not mean %q", address)
		}
	})
}

func plan(changes ...wire.ResourceChange) wire.Plan {
	for i := range changes {
		changes[i].Type, _, _ = strings.Cut(changes[i].Address, ".")
	}
	return wire.Plan{Resources: changes}
}

var (
	now    = guard.Rules{From: "terrace.hcl of release 12", Stateful: []string{"democloud_database.*"}, Immutable: []string{"democloud_server.*"}}
	before = guard.Rules{From: "terrace.hcl of release 11, which is there now", Stateful: []string{"democloud_network.*"}, ZeroDowntime: true}
	gone   = wire.ResourceChange{Address: "democloud_database.main", Action: "delete", Reason: "delete_because_no_resource_config"}
	inward = wire.ResourceChange{Address: "democloud_server.web[0]", Action: "update"}
)

// server is replaced without a gap of its own.
func server() wire.ResourceChange {
	return wire.ResourceChange{Address: "democloud_server.web[0]", Action: "replace", Order: "create_first", Reason: "replace_by_request"}
}

// balancer depends on it.
func balancer(action, order string) wire.ResourceChange {
	r := wire.ResourceChange{Address: "democloud_load_balancer.web", Action: action, Order: order, DependsOn: []string{"democloud_server.web"}}
	switch action {
	case "replace":
		r.Reason, r.Attrs = "replace_because_cannot_update", []wire.AttrChange{{Path: "server", Forces: true}}
	case "delete":
		r.Reason = "delete_because_no_resource_config"
	}
	return r
}

// TestMessages keeps what each rule says as a golden file: what, where, why, and what to do.
func TestMessages(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]guard.Input{
		"13-block-removed":             {Plan: plan(gone), Rules: []guard.Rules{now}},
		"13-module-removed":            {Plan: plan(wire.ResourceChange{Address: "democloud_database.main", Action: "delete", Reason: "delete_because_no_module"}), Rules: []guard.Rules{now}},
		"13-count-lowered":             {Plan: plan(wire.ResourceChange{Address: "democloud_database.main[1]", Action: "delete", Reason: "delete_because_count_index"}), Rules: []guard.Rules{now}},
		"13-stack-removed":             {Plan: plan(wire.ResourceChange{Address: "democloud_database.main", Action: "delete"}), Rules: []guard.Rules{now}},
		"13-forgotten":                 {Plan: plan(wire.ResourceChange{Address: "democloud_database.main", Action: "forget"}), Rules: []guard.Rules{now}},
		"13-replaced":                  {Plan: plan(wire.ResourceChange{Address: "democloud_database.main", Action: "replace", Order: "create_first", Reason: "replace_because_cannot_update", Attrs: []wire.AttrChange{{Path: "size", Forces: true}}}), Rules: []guard.Rules{now}},
		"13-tainted":                   {Plan: plan(wire.ResourceChange{Address: "democloud_database.main", Action: "replace", Order: "create_first", Reason: "replace_because_tainted"}), Rules: []guard.Rules{now}},
		"13-exception":                 {Plan: plan(gone), Rules: []guard.Rules{now}, Exceptions: []guard.Exception{{ID: "x-0", Address: "democloud_database.other"}, {ID: "x-1", Address: "democloud_database.main"}}},
		"13-exception-pending":         {Plan: plan(gone), Rules: []guard.Rules{now}, Exceptions: []guard.Exception{{ID: "x-1", Address: "democloud_database.main", Pending: true, By: "user:ana"}}},
		"13-exception-confirmed":       {Plan: plan(gone), Rules: []guard.Rules{now}, Exceptions: []guard.Exception{{ID: "x-1", Address: "democloud_database.main", Pending: true, By: "user:ana"}, {ID: "x-2", Address: "democloud_database.main"}}},
		"28-guardrails":                {Plan: plan(gone), Rules: []guard.Rules{{From: "the guardrails (stack \"*\")", Stateful: []string{"*_database.*"}}}},
		"13-nothing-protected":         {Plan: plan(wire.ResourceChange{Address: "democloud_server.a", Action: "delete"}, wire.ResourceChange{Address: "democloud_database.main", Action: "update"}), Rules: []guard.Rules{now}},
		"13-moved-and-replaced":        {Plan: plan(wire.ResourceChange{Address: "democloud_store.main", Previous: "democloud_database.main", Action: "replace", Order: "create_first", Reason: "replace_by_triggers"}), Rules: []guard.Rules{now}},
		"14-replaced-instead":          {Plan: plan(wire.ResourceChange{Address: "democloud_server.web[0]", Action: "replace", Order: "create_first", Reason: "replace_by_request"}), Replaced: []string{"democloud_server.web[0]"}, Rules: []guard.Rules{now}},
		"14-not-replaced":              {Plan: plan(inward), Replaced: []string{"democloud_server.web[0]"}, Rules: []guard.Rules{now}},
		"14-gap":                       {Plan: plan(wire.ResourceChange{Address: "democloud_server.web[0]", Action: "replace", Order: "destroy_first", Reason: "replace_by_request"}), Replaced: []string{"democloud_server.web[0]"}, Rules: []guard.Rules{now}},
		"14-zero-downtime":             {Plan: plan(wire.ResourceChange{Address: "democloud_load_balancer.web", Action: "replace", Order: "destroy_first", Reason: "replace_because_cannot_update", Attrs: []wire.AttrChange{{Path: "name", Forces: true}}}), Rules: []guard.Rules{now, before}},
		"14-dependent-destroyed-first": {Plan: plan(server(), balancer("replace", "destroy_first")), Replaced: []string{"democloud_server.web[0]"}, Rules: []guard.Rules{now}},
		"14-dependent-updated":         {Plan: plan(server(), balancer("update", "")), Replaced: []string{"democloud_server.web[0]"}, Rules: []guard.Rules{now, before}},
		"14-dependent-gone":            {Plan: plan(server(), balancer("delete", "")), Replaced: []string{"democloud_server.web[0]"}, Rules: []guard.Rules{now}},
		"14-dependent-gone-strict":     {Plan: plan(server(), balancer("delete", "")), Rules: []guard.Rules{now, before}},
		"14-dependent-scaled-in": {Plan: plan(server(), wire.ResourceChange{Address: "democloud_dns_record.web[2]", Action: "delete", Reason: "delete_because_count_index", DependsOn: []string{"democloud_server.web"}}),
			Rules: []guard.Rules{now, before}},
		"14-dependent-key-renamed": {Plan: plan(server(), wire.ResourceChange{Address: `democloud_dns_record.web["a"]`, Action: "delete", Reason: "delete_because_each_key", DependsOn: []string{"democloud_server.web"}},
			wire.ResourceChange{Address: `democloud_dns_record.web["b"]`, Action: "create", DependsOn: []string{"democloud_server.web"}}), Rules: []guard.Rules{before}},
		"14-dependency-destroyed-first": {Plan: plan(wire.ResourceChange{Address: "democloud_network.main", Action: "replace", Order: "destroy_first", Reason: "replace_because_tainted"},
			wire.ResourceChange{Address: "democloud_server.web[0]", Action: "replace", Order: "create_first", DependsOn: []string{"democloud_network.main"}}), Rules: []guard.Rules{now}},
		"14-chain-strict": {Plan: plan(server(), balancer("replace", "destroy_first"),
			wire.ResourceChange{Address: "democloud_dns_record.web", Action: "update", DependsOn: []string{"democloud_load_balancer.web", "democloud_server.web"}},
			wire.ResourceChange{Address: "democloud_dns_record.api", Action: "update", DependsOn: []string{"democloud_load_balancer.web"}}), Rules: []guard.Rules{before}},
		"27-moved":                 {MovedFrom: "app@production", Plan: plan(wire.ResourceChange{Address: "democloud_server.a", Action: "move", Previous: "democloud_server.b"})},
		"27-moved-and-added":       {MovedFrom: "app@production", Plan: plan(wire.ResourceChange{Address: "democloud_server.a", Action: "create"}, wire.ResourceChange{Address: "democloud_server.b[0]", Action: "create"})},
		"27-moved-and-changed":     {MovedFrom: "app@production", Plan: plan(inward, gone), Rules: []guard.Rules{now}},
		"27-moved-with-exceptions": {MovedFrom: "app@production", Plan: plan(wire.ResourceChange{Address: "democloud_server.api", Action: "replace", Order: "create_first", Reason: "replace_by_request"}, gone), Replaced: []string{"democloud_server.api"}, Rules: []guard.Rules{now}, Exceptions: []guard.Exception{{ID: "x-1", Address: "democloud_server.api"}, {ID: "x-2", Address: "democloud_database.main"}}},
		"28-unprotected":           {Plan: plan(wire.ResourceChange{Address: "democloud_network.main", Action: "delete", Reason: "delete_because_no_resource_config"}), Rules: []guard.Rules{now, before}},
	} {
		in.Instance = "web@production"
		v := guard.Judge(in)
		if v.Replace != nil {
			t.Errorf("%s: to be replaced: %q", name, v.Replace)
		}
		var got strings.Builder
		for _, c := range v.Checks {
			_, _ = fmt.Fprintf(&got, "%s: %s: %s\n", c.Verdict, c.Name, c.Message)
		}
		_, _ = fmt.Fprintf(&got, "uses: %q\n", v.Used)
		golden(t, name, got.String())
	}
}

// golden compares a text with the file that keeps it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

func TestTouched(t *testing.T) {
	t.Parallel()
	change := func(action, previous string) wire.ResourceChange {
		return wire.ResourceChange{Address: "democloud_" + action + ".x", Action: action, Previous: previous}
	}
	p := plan(change("create", ""), change("update", ""), change("replace", ""), change("delete", ""), change("forget", ""), change("read", ""), change("move", ""),
		wire.ResourceChange{Address: "other.x", Action: "update", Previous: "democloud_update.y"}, wire.ResourceChange{Address: "other.y", Action: "update"})
	rules := []guard.Rules{{Stateful: []string{"democloud_update.*"}}, {Stateful: []string{"democloud_create.*", "democloud_replace", "democloud_delete.*", "democloud_forget.x", "democloud_read.*", "democloud_move.*"}}}
	want := []string{"democloud_update.x", "democloud_replace.x", "democloud_delete.x", "democloud_forget.x", "other.x"}
	if diff := cmp.Diff(want, guard.Touched(rules, p)); diff != "" {
		t.Error(diff)
	}
	if got := guard.Touched(nil, p); got != nil {
		t.Errorf("without rules: %q", got)
	}
}

func TestReplaceInsteadOfChange(t *testing.T) {
	t.Parallel()
	in := guard.Input{Instance: "web@dev", Rules: []guard.Rules{{}, now}, Plan: plan(inward,
		wire.ResourceChange{Address: "democloud_server.web[1]", Action: "create"},
		wire.ResourceChange{Address: "democloud_dns_record.web", Action: "update"},
		wire.ResourceChange{Address: "democloud_server.api", Action: "update"})}
	if diff := cmp.Diff(guard.Verdict{Replace: []string{"democloud_server.web[0]", "democloud_server.api"}}, guard.Judge(in)); diff != "" {
		t.Error(diff)
	}
	in.Replaced = []string{"democloud_server.web[0]", "democloud_server.api"}
	if v := guard.Judge(in); v.Replace != nil || v.Denied() == "" {
		t.Errorf("asked for twice: %+v", v)
	}
	if v := guard.Judge(guard.Input{Plan: plan(gone, inward)}); len(v.Checks) != 0 || v.Replace != nil || v.Denied() != "" {
		t.Errorf("without rules: %+v", v)
	}
}
