package guard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/wire"
)

// shownDependents bounds how many addresses a message lists.
const shownDependents = 5

// zeroDowntime is the second half of rule 14: what is destroyed before its replacement is
// there is missing in between, and so is whatever hangs on it. A replacement that comes
// first does not help when something between it and those who use it goes before that: a
// dependent that is destroyed, or replaced the other way round. An update in place is no
// gap.
func (in Input) zeroDowntime(v *Verdict) {
	strict := ""
	for _, r := range in.Rules {
		if r.ZeroDowntime && strict == "" {
			strict = r.From
		}
	}
	for _, r := range in.Plan.Resources {
		switch {
		case r.Action == "replace" && r.Order == "destroy_first":
			in.destroyedFirst(v, r, strict)
		case r.Action == "delete" && r.Address == withoutDeposed(r.Address) && !in.scaledIn(r):
			in.goneMeanwhile(v, r, strict)
		}
	}
}

// destroyedFirst judges a replacement that leaves a gap of its own.
func (in Input) destroyedFirst(v *Verdict, r wire.ResourceChange, strict string) {
	needs, needed := in.replaced(r), in.dependents(r)
	if strict != "" {
		v.add(ZeroDowntime, Deny, "%s would destroy %s before its replacement is there%s%s%s. That gap is forbidden: zero_downtime = true in %s. Give the resource a lifecycle block with create_before_destroy = true; where two cannot exist at once (a fixed name, a single address), let the name differ, or set zero_downtime = false in a commit before this one",
			in.Instance, r.Address, because(r), hangsOn(needs), without(needed), strict)
		return
	}
	const remedy = "; without a gap: a lifecycle block with create_before_destroy = true"
	immutable := func(r wire.ResourceChange) bool { return in.who(r, Rules.immutable) != nil }
	switch i, j := slices.IndexFunc(needs, immutable), slices.IndexFunc(needed, immutable); {
	case immutable(r):
		v.add(ZeroDowntime, Warn, "%s is destroyed before its replacement is there%s%s", r.Address, without(needed), remedy)
	case i >= 0:
		v.add(ZeroDowntime, Warn, "%s is replaced, and %s, which depends on it, is destroyed before its own replacement is there%s%s", needs[i].Address, r.Address, because(r), remedy)
	case j >= 0 && needed[j].Action == "replace":
		v.add(ZeroDowntime, Warn, "%s is replaced, and %s, which it depends on, is destroyed before its own replacement is there%s%s", needed[j].Address, r.Address, because(r), remedy)
	}
}

// goneMeanwhile judges a deletion: what depends on a resource that is replaced goes first,
// whatever takes its place.
func (in Input) goneMeanwhile(v *Verdict, r wire.ResourceChange, strict string) {
	needs := in.replaced(r)
	i := slices.IndexFunc(needs, func(r wire.ResourceChange) bool { return in.who(r, Rules.immutable) != nil })
	switch {
	case len(needs) == 0:
	case strict != "":
		v.add(ZeroDowntime, Deny, "%s would replace %s and destroy %s, which depends on it%s. Until something stands in its place, nobody gets to the one through the other. That gap is forbidden: zero_downtime = true in %s. If %[3]s was renamed, add a moved block; if it is needed no more, remove it in a commit of its own, before or after the replacement",
			in.Instance, needs[0].Address, r.Address, because(r), strict)
	case i >= 0:
		v.add(ZeroDowntime, Warn, "%s is replaced, and %s, which depends on it, is destroyed%s; without a gap: a moved block if it was renamed, otherwise a commit of its own", needs[i].Address, r.Address, because(r))
	}
}

// replaced are the resources of the plan that r depends on and that are replaced.
func (in Input) replaced(r wire.ResourceChange) []wire.ResourceChange {
	return in.changes(func(o wire.ResourceChange) bool {
		return o.Action == "replace" && slices.Contains(r.DependsOn, plain(o.Address))
	})
}

// dependents are the resources of the plan that stay, in some way, and depend on r.
func (in Input) dependents(r wire.ResourceChange) []wire.ResourceChange {
	address := plain(r.Address)
	return in.changes(func(o wire.ResourceChange) bool {
		return (o.Action == "update" || o.Action == "replace") && slices.Contains(o.DependsOn, address)
	})
}

func (in Input) changes(which func(wire.ResourceChange) bool) []wire.ResourceChange {
	var out []wire.ResourceChange
	for _, r := range in.Plan.Resources {
		if which(r) {
			out = append(out, r)
		}
	}
	return out
}

// scaledIn reports whether a deletion only makes fewer of what stays: a smaller count, a
// key less. With another one created at the same time it may as well be a new name.
func (in Input) scaledIn(r wire.ResourceChange) bool {
	if r.Reason != "delete_because_count_index" && r.Reason != "delete_because_each_key" {
		return false
	}
	address := plain(r.Address)
	return !slices.ContainsFunc(in.Plan.Resources, func(o wire.ResourceChange) bool {
		return o.Action == "create" && plain(o.Address) == address
	})
}

func hangsOn(needs []wire.ResourceChange) string {
	if len(needs) == 0 {
		return ""
	}
	return "; it depends on " + addresses(needs) + ", replaced too"
}

func without(needed []wire.ResourceChange) string {
	switch len(needed) {
	case 0:
		return ""
	case 1:
		return "; " + addresses(needed) + ", which depends on it, is without it in between"
	}
	return "; " + addresses(needed) + ", which depend on it, are without it in between"
}

func addresses(list []wire.ResourceChange) string {
	var names []string
	for _, r := range list {
		names = append(names, r.Address)
	}
	if more := len(names) - shownDependents; more > 0 {
		names = append(names[:shownDependents], fmt.Sprintf("%d more", more))
	}
	if len(names) == 1 {
		return names[0]
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
