package guard

import (
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Kept is a resource that a rollback leaves although its release does not have it.
type Kept struct {
	Address string
	// Why is the rule that protects it, or the address of what depends on it.
	Why string
}

// Keep lists what a rollback must not destroy or forget: what is protected and no
// exception lets go, and what that depends on (rule 21). A replacement is none of them: it
// is denied.
func Keep(in Input) []Kept {
	var kept []Kept
	has := func(address string) bool {
		return slices.ContainsFunc(kept, func(k Kept) bool { return k.Address == address })
	}
	gone := in.changes(func(r wire.ResourceChange) bool { return r.Action == "delete" || r.Action == "forget" })
	var v Verdict
	for _, r := range gone {
		by := in.who(r, Rules.stateful)
		if by == nil || r.Address != withoutDeposed(r.Address) || in.use(r.Address, &v) != "" {
			continue
		}
		kept = append(kept, Kept{r.Address, "stateful = [\"" + by.pattern + "\"] in " + by.from})
	}
	for i := 0; i < len(kept); i++ {
		j := slices.IndexFunc(gone, func(r wire.ResourceChange) bool { return r.Address == kept[i].Address })
		for _, r := range gone {
			if !has(r.Address) && slices.Contains(gone[j].DependsOn, plain(r.Address)) {
				kept = append(kept, Kept{r.Address, kept[i].Address + " depends on it"})
			}
		}
	}
	return kept
}

// HeldBack lists what the plan would have done that it does not do any more since some
// addresses were left out of it, apart from these. Leaving one of several with a key out
// leaves out all that depends on any of them.
func HeldBack(before []string, after wire.Plan, excluded []string) (held []string) {
	for _, change := range before {
		action, address, _ := strings.Cut(change, " ")
		if slices.Contains(excluded, address) {
			continue
		}
		if !slices.ContainsFunc(after.Resources, func(r wire.ResourceChange) bool { return r.Action == action && r.Address == address }) {
			held = append(held, address)
		}
	}
	return held
}
