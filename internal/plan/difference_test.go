package plan

import (
	"fmt"
	"testing"

	"github.com/terrace-cd/terrace/internal/wire"
)

func TestDifference(t *testing.T) {
	t.Parallel()
	change := func(action, address string, attrs ...wire.AttrChange) wire.ResourceChange {
		return wire.ResourceChange{Action: action, Address: address, Attrs: attrs}
	}
	of := func(changes ...wire.ResourceChange) wire.Plan { return wire.Plan{Resources: changes} }
	size := func(after string) wire.AttrChange { return wire.AttrChange{Path: "size", Before: "1", After: after} }
	var many []wire.ResourceChange
	for i := range 9 {
		many = append(many, change("create", fmt.Sprintf("a.b[%d]", i)))
	}
	first := change("replace", "a.b")
	first.Order = "create_first"
	for _, c := range []struct {
		was, is wire.Plan
		want    string
	}{
		{of(), of(change("delete", "a.b")), "it would also destroy a.b"},
		{of(change("update", "a.b")), of(change("replace", "a.b")), "it would replace a.b, not update it"},
		{of(change("update", "a.b", size("2"))), of(change("update", "a.b", size("3"))), "it would change a.b otherwise (size)"},
		{of(change("create", "a.b"), change("create", "a.c")), of(change("create", "a.c")), "it would no longer create a.b"},
		{of(first), of(change("replace", "a.b")), "it would replace a.b in another order"},
		{of(change("no-op", "a.b"), change("read", "data.a.c")), of(change("update", "a.b")), "it would also update a.b"},
		{of(), wire.Plan{Outputs: []wire.AttrChange{size("2")}}, "it would leave the output size otherwise"},
		{of(), of(many...), "it would also create a.b[0], it would also create a.b[1], it would also create a.b[2], it would also create a.b[3], it would also create a.b[4], and 4 more"},
		{of(change("update", "a.b", size("2"))), of(change("update", "a.b", size("2"))), "values that are not shown differ"},
	} {
		if got := Difference(c.was, c.is); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
