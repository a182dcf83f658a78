package plan

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/wire"
)

// differencesShown bounds how many differences are told.
const differencesShown = 5

// Difference says what one plan would do that an earlier one would not, for whoever agreed
// to the earlier one.
func Difference(was, is wire.Plan) string {
	before, now := effects(was), effects(is)
	var all []string
	for _, r := range is.Resources {
		old, both := before[r.Address]
		switch {
		case !acts(r):
		case !both:
			all = append(all, fmt.Sprintf("it would also %s %s", verb(r.Action), r.Address))
		case old.Action != r.Action:
			all = append(all, fmt.Sprintf("it would %s %s, not %s it", verb(r.Action), r.Address, verb(old.Action)))
		case old.Order != r.Order:
			all = append(all, fmt.Sprintf("it would replace %s in another order", r.Address))
		default:
			if paths := different(old.Attrs, r.Attrs); len(paths) > 0 {
				all = append(all, fmt.Sprintf("it would change %s otherwise (%s)", r.Address, strings.Join(paths, ", ")))
			}
		}
	}
	for _, r := range was.Resources {
		if _, both := now[r.Address]; acts(r) && !both {
			all = append(all, fmt.Sprintf("it would no longer %s %s", verb(r.Action), r.Address))
		}
	}
	for _, name := range different(was.Outputs, is.Outputs) {
		all = append(all, "it would leave the output "+name+" otherwise")
	}
	if more := len(all) - differencesShown; more > 0 {
		all = append(all[:differencesShown], fmt.Sprintf("and %d more", more))
	}
	return cmp.Or(strings.Join(all, ", "), "values that are not shown differ")
}

// acts reports whether applying does something to a resource.
func acts(r wire.ResourceChange) bool { return r.Action != "no-op" && r.Action != "read" }

func effects(p wire.Plan) map[string]wire.ResourceChange {
	out := map[string]wire.ResourceChange{}
	for _, r := range p.Resources {
		if acts(r) {
			out[r.Address] = r
		}
	}
	return out
}

func verb(action string) string {
	if action == "delete" {
		return "destroy"
	}
	return action
}

// different lists the paths whose changes are not the same, in order.
func different(was, is []wire.AttrChange) []string {
	var paths []string
	for _, a := range append(slices.Clone(was), is...) {
		if slices.Contains(was, a) != slices.Contains(is, a) && !slices.Contains(paths, a.Path) {
			paths = append(paths, a.Path)
		}
	}
	if more := len(paths) - differencesShown; more > 0 {
		paths = append(paths[:differencesShown], fmt.Sprintf("and %d more", more))
	}
	return paths
}
