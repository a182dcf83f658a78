package guard_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/wire"
)

func TestKeep(t *testing.T) {
	t.Parallel()
	plan := wire.Plan{Resources: []wire.ResourceChange{
		{Address: "aws_subnet.b", Type: "aws_subnet", Action: "delete", DependsOn: []string{"aws_vpc.a"}},
		{Address: "aws_vpc.a", Type: "aws_vpc", Action: "delete"},
		{Address: "aws_vpc.other", Type: "aws_vpc", Action: "delete"},
		{Address: "aws_db.orders", Type: "aws_db", Action: "delete", DependsOn: []string{"aws_subnet.b"}},
		{Address: "aws_db.log", Type: "aws_db", Action: "forget"},
		{Address: "aws_db.gone", Type: "aws_db", Action: "delete"},
		{Address: "aws_db.grown", Type: "aws_db", Action: "replace"},
		{Address: "aws_db.old (deposed 01234567)", Type: "aws_db", Action: "delete"},
		{Address: "aws_instance.web", Type: "aws_instance", Action: "update"},
	}}
	in := guard.Input{Instance: "shop@production", Plan: plan, Rules: []guard.Rules{{From: "release 9, which is there now", Stateful: []string{"aws_db.*"}}},
		Exceptions: []guard.Exception{{ID: "ex-1", Address: "aws_db.gone"}, {ID: "ex-2", Address: "aws_db.log", Pending: true}}}
	rule := `stateful = ["aws_db.*"] in release 9, which is there now`
	want := []guard.Kept{{"aws_db.orders", rule}, {"aws_db.log", rule}, {"aws_subnet.b", "aws_db.orders depends on it"}, {"aws_vpc.a", "aws_subnet.b depends on it"}}
	if diff := cmp.Diff(want, guard.Keep(in)); diff != "" {
		t.Error(diff)
	}
	in.Rules = nil
	if kept := guard.Keep(in); kept != nil {
		t.Errorf("nothing is protected, and yet: %v", kept)
	}
}

func TestHeldBack(t *testing.T) {
	t.Parallel()
	before := []string{"delete aws_db.orders", "update aws_instance.web[0]", "create aws_instance.new", "delete aws_vpc.a"}
	after := wire.Plan{Resources: []wire.ResourceChange{{Address: "aws_instance.web[0]", Action: "update"}, {Address: "aws_instance.new", Action: "read"}}}
	if held := guard.HeldBack(before, after, []string{"aws_db.orders", "aws_vpc.a"}); !slices.Equal(held, []string{"aws_instance.new"}) {
		t.Errorf("held back are %v", held)
	}
}
