package guard_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/wire"
)

func TestRule15_BlastRadius(t *testing.T) {
	t.Parallel()
	limit := func(from string, destroy, replace int) guard.Limit {
		l := guard.Limit{From: from}
		if destroy >= 0 {
			l.MaxDestroy = &destroy
		}
		if replace >= 0 {
			l.MaxReplace = &replace
		}
		return l
	}
	limits := []guard.Limit{limit("new", 5, -1), limit("there", 3, 2), limit("guardrails", 4, -1)}
	destroys := func(n int) core.Changes { return core.Changes{Delete: n, Create: 100, Update: 100} }
	for _, c := range []struct {
		name          string
		limits        []guard.Limit
		applied, plan core.Changes
		want          []guard.Blast
	}{
		{"nobody set a limit", []guard.Limit{limit("new", -1, -1)}, destroys(9), destroys(9), nil},
		{"as many as allowed", limits, core.Changes{}, destroys(3), nil},
		{"one more, and the strictest is named", limits, core.Changes{}, destroys(4), []guard.Blast{{"delete", 4, 0, 3, "there"}}},
		{"together with what the stage did", limits, destroys(3), destroys(1), []guard.Blast{{"delete", 1, 3, 3, "there"}}},
		{"a plan that destroys nothing is not asked about what others did", limits, destroys(9), core.Changes{Create: 1}, nil},
		{"replacements are counted for themselves", limits, core.Changes{Replace: 1}, core.Changes{Replace: 2, Delete: 3}, []guard.Blast{{"replace", 2, 1, 2, "there"}}},
		{"both", limits, core.Changes{}, core.Changes{Replace: 3, Delete: 4}, []guard.Blast{{"delete", 4, 0, 3, "there"}, {"replace", 3, 0, 2, "there"}}},
		{"none at all", []guard.Limit{limit("new", 0, 0)}, core.Changes{}, destroys(1), []guard.Blast{{"delete", 1, 0, 0, "new"}}},
	} {
		if diff := cmp.Diff(c.want, guard.Exceeded(c.limits, c.applied, c.plan)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestRule15_Words(t *testing.T) {
	t.Parallel()
	var many []wire.ResourceChange
	for i := range 25 {
		many = append(many, wire.ResourceChange{Address: fmt.Sprintf("democloud_server.web[%d]", i), Action: "delete"})
	}
	few := plan(wire.ResourceChange{Address: "democloud_server.a", Action: "replace"}, wire.ResourceChange{Address: "democloud_server.b", Action: "delete"})
	const from = "terrace.hcl of release 11, which is there now"
	for name, text := range map[string]string{
		"15-destroy":    message(guard.Blast{Action: "delete", Plan: 25, Max: 5, From: from}, wire.Plan{Resources: many}),
		"15-replace":    message(guard.Blast{Action: "replace", Plan: 1, Max: 0, From: from}, few),
		"15-with-stage": message(guard.Blast{Action: "delete", Plan: 1, Before: 5, Max: 5, From: from}, few),
	} {
		golden(t, name, text)
	}
}

func message(b guard.Blast, p wire.Plan) string {
	c := b.Check("web@production", p)
	return c.Verdict + ": " + c.Name + ": " + c.Message + "\nsince " + b.Why() + "\n"
}
