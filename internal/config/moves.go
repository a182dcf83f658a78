package config

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
)

// moves checks who took whose name (rule 27). A stack becomes one stack, and is not
// there any more.
func (l *load) moves() {
	taken := map[string]string{} // old name → new name
	for _, name := range l.names {
		st := l.stacks[name]
		if !st.body.has("moved_from") {
			continue
		}
		v, ok := l.plain(st.body, "moved_from", cty.String, l.ctx)
		if !ok {
			continue
		}
		from := v.AsString()
		rng := st.body.rangeOf("moved_from")
		other := l.stacks[from]
		switch {
		case !core.ValidName(from):
			l.error(rng, fmt.Sprintf("%q cannot have been a stack", from), "moved_from is the name that the stack had before, for example moved_from = \"web\".")
		case from == name:
			l.error(rng, fmt.Sprintf("Stack %q is moved from itself", name), "moved_from is the name that the stack had before. Without another name nothing is moved: remove the argument.")
		case other != nil && l.movedFrom(other) == name:
			l.error(rng, fmt.Sprintf("Stacks %q and %q are moved from each other", from, name), "Two stacks cannot change names at once. Move one of them to a third name, let that release go everywhere, then move both.")
		case other != nil:
			l.error(rng, fmt.Sprintf("Stack %q is still there", from), fmt.Sprintf("Its state cannot become that of %q while it needs it itself. Remove %[2]q (%s), or remove moved_from.", name, from, l.origin(other)))
		case taken[from] != "":
			l.error(rng, fmt.Sprintf("Two stacks are moved from %q", from), fmt.Sprintf("%q is moved from it too, and its state can only become that of one. To split a stack, move it to one name and let the other take over resources (terraform state mv, or removed and import blocks).", taken[from]))
		default:
			taken[from], st.MovedFrom = name, from
		}
	}
}

// movedFrom is what a stack's moved_from says, before it was checked.
func (l *load) movedFrom(st *stack) string {
	e := st.body.expr("moved_from")
	if e == nil {
		return ""
	}
	v, diags := evaluate(e, l.ctx)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}

// origin says where a stack comes from, for people.
func (l *load) origin(st *stack) string {
	if st.Discovered {
		return "the folder " + st.found + ", which is discovered"
	}
	return fmt.Sprintf("the block at %s:%d", l.file, st.body.header.Start.Line)
}
