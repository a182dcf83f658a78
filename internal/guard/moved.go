package guard

import (
	"fmt"
	"strings"
)

// moved is the proof of rule 27: the first plan of an instance under its new name changes
// nothing that exists. What only is added is no business of the rename.
func (in Input) moved(v *Verdict) {
	if in.MovedFrom == "" {
		return
	}
	var changes, addresses, added []string
	excepted := false
	for _, r := range in.Plan.Resources {
		what := map[string]string{"update": "change", "replace": "replace", "delete": "destroy", "forget": "forget"}[r.Action]
		switch address := withoutDeposed(r.Address); {
		case r.Action == "create":
			added = append(added, r.Address)
		case what == "":
		default:
			if id := in.use(address, v); id != "" {
				v.add(Moved, Warn, "%s would %s %s in its first plan under its new name; the exception %s lets it, once", in.Instance, what, r.Address, id)
				excepted = true
				continue
			}
			changes, addresses = append(changes, what+" "+r.Address+because(r)), append(addresses, address)
		}
	}
	switch {
	case len(changes) > 0:
		way := in.pending(addresses...)
		if way == "" {
			way = fmt.Sprintf("If it has to be now: terrace except %s '%s' --for 2h --reason \"…\", for each address", in.Instance, addresses[0])
		}
		v.add(Moved, Deny, "%s was %s before, and its first plan under the new name has to change nothing that exists. It would %s. Make the rename a commit of its own, and the change the next one; what the code takes from the name of the stack or its folder has to stay as it was. %s",
			in.Instance, in.MovedFrom, strings.Join(changes, "; it would "), way)
	case excepted:
	case len(added) > 0:
		v.add(Moved, Warn, "it was %s before, and nothing that exists is changed; %s would be added", in.MovedFrom, strings.Join(added, ", "))
	default:
		v.add(Moved, Pass, "it was %s before, and nothing is changed", in.MovedFrom)
	}
}
