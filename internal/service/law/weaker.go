package law

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/policy"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Weaker says what one configuration asks of an environment that another one no longer does.
// Rule 28: all of it still holds for the release that takes it away.
func Weaker(was, is Source) []string {
	var out []string
	say := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	a, b := was.Environment, is.Environment
	switch {
	case a.Approval == nil:
	case b.Approval == nil:
		say("the approval is gone")
	case b.Approval.Count < a.Approval.Count:
		say("the approval takes %d instead of %d", b.Approval.Count, a.Approval.Count)
	case a.Approval.Others && !b.Approval.Others:
		say("the approval may come from the author")
	case !reflect.DeepEqual(a.Approval.From, b.Approval.From):
		say("the approval is asked of %s instead of %s", anyone(b.Approval.From), anyone(a.Approval.From))
	case b.Approval.Expires > a.Approval.Expires:
		say("the approval counts for %s instead of %s", b.Approval.Expires, a.Approval.Expires)
	}
	if lost := missing(a.After, b.After); len(lost) > 0 {
		say("it no longer comes after %s", strings.Join(lost, ", "))
	}
	if b.Bake < a.Bake {
		say("the bake takes %s instead of %s", short(b.Bake), short(a.Bake))
	}
	if len(a.Windows) > 0 && !reflect.DeepEqual(a.Windows, b.Windows) {
		say("its windows are others, or gone")
	}
	for _, f := range a.Freezes {
		if !slices.ContainsFunc(b.Freezes, func(o config.Freeze) bool { return !o.From.After(f.From) && !o.To.Before(f.To) }) {
			say("the freeze from %s to %s is gone", f.From.Format(time.DateOnly), f.To.Format(time.DateOnly))
		}
	}
	limit := func(name string, was, is *int) {
		switch {
		case was != nil && is == nil:
			say("%s = %d is gone", name, *was)
		case was != nil && *is > *was:
			say("%s is %d instead of %d", name, *is, *was)
		}
	}
	limit("max_destroy", a.MaxDestroy, b.MaxDestroy)
	limit("max_replace", a.MaxReplace, b.MaxReplace)
	switch {
	case a.Parity == nil:
	case b.Parity == nil:
		say("it no longer has to be like %s", a.Parity.With)
	case b.Parity.AtLeast < a.Parity.AtLeast || b.Parity.With != a.Parity.With:
		say("it has to be like %s by %g instead of like %s by %g", b.Parity.With, b.Parity.AtLeast, a.Parity.With, a.Parity.AtLeast)
	}
	for _, name := range slices.Sorted(maps.Keys(was.Stacks)) {
		old, now := was.Stacks[name], is.Stacks[name]
		if lost := missing(old.Stateful, now.Stateful); len(lost) > 0 {
			say("of %s, %s is no longer stateful", name, strings.Join(lost, ", "))
		}
		if lost := missing(old.Immutable, now.Immutable); len(lost) > 0 {
			say("of %s, %s is no longer immutable", name, strings.Join(lost, ", "))
		}
		if old.ZeroDowntime && !now.ZeroDowntime {
			say("%s no longer has zero_downtime", name)
		}
		if _, stays := is.Stacks[name]; stays && old.BeforeChange && !now.BeforeChange {
			say("%s has no before_change any more", name)
		}
	}
	for _, p := range was.Policies {
		if !slices.ContainsFunc(is.Policies, func(o wire.Policy) bool { return policy.Same(o, p) }) {
			say("the policies are others, or gone")
		}
	}
	return out
}

// missing are those of a list that another does not have.
func missing(was, is []string) []string {
	return slices.DeleteFunc(slices.Clone(was), func(s string) bool { return slices.Contains(is, s) })
}

func anyone(from []string) string {
	if len(from) == 0 {
		return "any operator"
	}
	return strings.Join(from, ", ")
}

// short writes a span without the units that are zero.
func short(d time.Duration) string {
	if d == 0 {
		return "no time"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
