// Package guard judges plans: rules 12 to 14 and 27 of docs/promotion.md. A plan and what protects
// an instance go in, verdicts come out. It does no I/O and reads no clock.
package guard

import (
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Names of the checks.
const (
	Stateful     = "stateful"
	Immutable    = "immutable"
	ZeroDowntime = "zero_downtime"
	Moved        = "moved"
	Requested    = "replace"
)

// Verdicts of a check.
const (
	Pass = "pass"
	Warn = "warn"
	Deny = "deny"
)

// Rules is what one configuration says of a stack. Several judge a plan, and the
// strictest wins (rule 28).
type Rules struct {
	From         string // for people: "release 12", "release 11, which is there now"
	Immutable    []string
	Stateful     []string
	ZeroDowntime bool
}

// Exception lets one plan do to an address what protection forbids.
type Exception struct {
	ID, Address string
	// Pending: it lets nothing until somebody else than By has confirmed it.
	Pending bool
	By      string
}

// Request is a person's wish that a resource be replaced.
type Request struct{ ID, Address, By, Reason string }

// Input is a plan with all that judges it.
type Input struct {
	Instance string // "web@production"
	Plan     wire.Plan
	// MovedFrom is the instance that it was when it was applied last, "" when it was this one.
	MovedFrom string
	// Replaced are the addresses whose replacement the plan was asked for.
	Replaced []string
	Rules    []Rules
	// Exceptions are those for this instance that have neither expired nor been used.
	Exceptions []Exception
	// Requests are those that the plan was made with.
	Requests []Request
}

// Verdict is what becomes of a plan.
type Verdict struct {
	// Replace lists what has to be replaced instead of changed in place: plan again, with
	// these and all that were replaced before. Then nothing else here counts.
	Replace []string
	Checks  []wire.Check
	// Used are the IDs of the exceptions that the plan needs.
	Used []string
}

// Denials are the messages of the checks that deny a plan, "" when none does.
func Denials(checks []wire.Check) string {
	var all []string
	for _, c := range checks {
		if c.Verdict == Deny {
			all = append(all, "the check "+c.Name+" says no: "+c.Message)
		}
	}
	return strings.Join(all, "\n")
}

// Denied is the first denial's message, "" when there is none.
func (v Verdict) Denied() string {
	for _, c := range v.Checks {
		if c.Verdict == Deny {
			return c.Message
		}
	}
	return ""
}

// Judge judges a plan.
func Judge(in Input) Verdict {
	var v Verdict
	if in.moved(&v); v.Denied() != "" {
		in.stateful(&v)
		return v // planned in another way, it would be denied as well
	}
	if replace := in.toReplace(); len(replace) > 0 {
		return Verdict{Replace: replace}
	}
	in.requested(&v)
	in.stateful(&v)
	in.immutable(&v)
	in.zeroDowntime(&v)
	return v
}

// toReplace lists what is immutable and would be changed in place.
func (in Input) toReplace() (addresses []string) {
	for _, r := range in.Plan.Resources {
		if r.Action == "update" && !slices.Contains(in.Replaced, r.Address) && in.who(r, Rules.immutable) != nil {
			addresses = append(addresses, r.Address)
		}
	}
	return addresses
}

func (r Rules) immutable() []string { return r.Immutable }
func (r Rules) stateful() []string  { return r.Stateful }

// rule is a pattern that means a resource, and where it is written.
type rule struct{ pattern, from string }

// who finds the first rule that means a resource, under the address that it has or had.
func (in Input) who(r wire.ResourceChange, patterns func(Rules) []string) *rule {
	for _, rules := range in.Rules {
		for _, p := range patterns(rules) {
			if Matches(p, r.Address, r.Type) || r.Previous != "" && Matches(p, r.Previous, r.Type) {
				return &rule{p, rules.From}
			}
		}
	}
	return nil
}

func (in Input) anyRules(patterns func(Rules) []string) bool {
	return slices.ContainsFunc(in.Rules, func(r Rules) bool { return len(patterns(r)) > 0 })
}

// stateful is rule 13.
func (in Input) stateful(v *Verdict) {
	if !in.anyRules(Rules.stateful) {
		return
	}
	clean := true
	for _, r := range in.Plan.Resources {
		what := map[string]string{"delete": "destroy", "replace": "replace", "forget": "forget"}[r.Action]
		if what == "" {
			continue
		}
		by := in.who(r, Rules.stateful)
		if by == nil {
			continue
		}
		clean = false
		address := withoutDeposed(r.Address)
		if id := in.use(address, v); id != "" {
			v.add(Stateful, Warn, "%s would %s %s, which is protected; the exception %s lets it, once", in.Instance, what, r.Address, id)
			continue
		}
		if waits := in.pending(address); waits != "" {
			v.add(Stateful, Deny, "%s would %s %s%s. It is protected: stateful = [%q] in %s. %s", in.Instance, what, r.Address, because(r), by.pattern, by.from, waits)
			continue
		}
		v.add(Stateful, Deny, "%s would %s %s%s. It is protected: stateful = [%q] in %s. %s. If it really has to go: terrace except %s '%s' --for 2h --reason \"…\", which lets one apply do it",
			in.Instance, what, r.Address, because(r), by.pattern, by.from, in.advice(r), in.Instance, address)
	}
	if clean {
		v.add(Stateful, Pass, "nothing protected is destroyed, replaced or forgotten")
	}
}

// use finds an exception for an address, and notes that the plan needs it.
func (in Input) use(address string, v *Verdict) (id string) {
	i := slices.IndexFunc(in.Exceptions, func(e Exception) bool { return e.Address == address && !e.Pending })
	if i < 0 {
		return ""
	}
	if id = in.Exceptions[i].ID; !slices.Contains(v.Used, id) {
		v.Used = append(v.Used, id)
	}
	return id
}

// pending says what an exception for one of these addresses waits for, "" when none does.
func (in Input) pending(addresses ...string) string {
	i := slices.IndexFunc(in.Exceptions, func(e Exception) bool { return e.Pending && slices.Contains(addresses, e.Address) })
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("The exception %s, which %s made, lets it once a second person has confirmed it; the guardrails want one. Another operator says: terrace except approve %[1]s",
		in.Exceptions[i].ID, in.Exceptions[i].By)
}

// immutable is rule 14, after its replacements were planned.
func (in Input) immutable(v *Verdict) {
	for _, r := range in.Plan.Resources {
		by := in.who(r, Rules.immutable)
		switch {
		case by == nil:
		case r.Action == "update":
			v.add(Immutable, Deny, "%s would change %s in place, and the engine did not plan the replacement that it was asked for. It is immutable: immutable = [%q] in %s. Let the code ask for it (replace_triggered_by), or take the pattern out",
				in.Instance, r.Address, by.pattern, by.from)
		case r.Action == "replace" && slices.Contains(in.Replaced, r.Address) && in.request(r.Address) == nil:
			v.add(Immutable, Pass, "%s is replaced instead of changed in place (immutable = [%q] in %s)", r.Address, by.pattern, by.from)
		}
	}
}

func (v *Verdict) add(name, verdict, format string, args ...any) {
	v.Checks = append(v.Checks, wire.Check{Name: name, Verdict: verdict, Message: fmt.Sprintf(format, args...)})
}

// because says why the engine plans what it plans:
// https://developer.hashicorp.com/terraform/internals/json-format#change-representation.
func because(r wire.ResourceChange) string {
	switch r.Reason {
	case "delete_because_no_resource_config":
		return ", because its block is not in the code any more"
	case "delete_because_no_module":
		return ", because its module is not in the code any more"
	case "delete_because_count_index", "delete_because_each_key", "delete_because_wrong_repetition":
		return ", because count or for_each does not ask for it any more"
	case "delete_because_no_move_target":
		return ", because the target of its moved block is not in the code"
	case "replace_because_tainted":
		return ", because an earlier apply left it tainted"
	case "replace_by_request":
		return ", because its replacement was asked for"
	case "replace_by_triggers":
		return ", because replace_triggered_by says so"
	case "replace_because_cannot_update":
		var forcing []string
		for _, a := range r.Attrs {
			if a.Forces {
				forcing = append(forcing, a.Path)
			}
		}
		if len(forcing) > 0 {
			return ", because " + strings.Join(forcing, " and ") + " cannot be changed in place"
		}
	}
	return ""
}

// advice is the way that loses nothing.
func (in Input) advice(r wire.ResourceChange) string {
	request := in.request(r.Address)
	switch {
	case r.Action == "replace" && request != nil && request.ID == "":
		return "Nothing was asked for"
	case r.Action == "replace" && request != nil:
		return "Take the request back: terrace replace end " + request.ID
	case r.Action == "forget":
		return "Leave it in the state"
	case r.Reason == "replace_because_tainted":
		return "If it is sound, untaint it"
	case r.Action == "replace":
		return "Take back the change that forces the replacement"
	case r.Reason == "delete_because_no_resource_config", r.Reason == "delete_because_no_module":
		return "If it was renamed, add a moved block; otherwise put it back"
	}
	return "Put it back"
}
