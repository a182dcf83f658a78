package guard

import "github.com/terrace-cd/terrace/internal/wire"

// Touched lists the addresses of a plan that any of the rules calls stateful and to which
// something happens that a backup is made against: everything but their creation.
func Touched(rules []Rules, p wire.Plan) []string {
	in := Input{Plan: p, Rules: rules}
	var out []string
	for _, r := range p.Resources {
		switch r.Action {
		case "update", "replace", "delete", "forget":
			if in.who(r, Rules.stateful) != nil {
				out = append(out, r.Address)
			}
		}
	}
	return out
}
