package guard

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// BlastRadius is the name of the check of rule 15.
const BlastRadius = "blast_radius"

// Limit is what one configuration sets for a stage (rule 15); nil is no limit.
type Limit struct {
	From                   string // for people: "terrace.hcl of release 12"
	MaxDestroy, MaxReplace *int
}

// Blast is a plan that goes beyond a limit of its stage.
type Blast struct {
	Action string // of the plan's resources: "delete" or "replace"
	Plan   int    // how many resources this plan does it to
	Before int    // and the stage's runs did before it
	Max    int
	From   string // where the limit is written
}

// Exceeded is rule 15: what a plan would do, together with what its stage has applied
// already, compared with the strictest of the limits.
func Exceeded(limits []Limit, applied, plan core.Changes) (all []Blast) {
	look := func(action string, before, now int, limit func(Limit) *int) {
		var strictest *Blast
		for _, l := range limits {
			if n := limit(l); n != nil && now > 0 && before+now > *n && (strictest == nil || *n < strictest.Max) {
				strictest = &Blast{Action: action, Plan: now, Before: before, Max: *n, From: l.From}
			}
		}
		if strictest != nil {
			all = append(all, *strictest)
		}
	}
	look("delete", applied.Delete, plan.Delete, func(l Limit) *int { return l.MaxDestroy })
	look("replace", applied.Replace, plan.Replace, func(l Limit) *int { return l.MaxReplace })
	return all
}

// verb and setting are how the action is called in sentences and in terrace.hcl.
func (b Blast) verb() string {
	return cmp.Or(map[string]string{"delete": "destroy"}[b.Action], b.Action)
}
func (b Blast) setting() string { return fmt.Sprintf("max_%s = %d", b.verb(), b.Max) }

// Why is the reason in half a sentence: "it would destroy 8 resources, more than max_destroy = 5".
func (b Blast) Why() string {
	return fmt.Sprintf("it would %s %s, more than %s", b.verb(), b.count(), b.setting())
}

func (b Blast) count() string {
	noun := "resources"
	if b.Plan == 1 {
		noun = "resource"
	}
	text := fmt.Sprintf("%d %s", b.Plan, noun)
	if b.Before > 0 {
		text += fmt.Sprintf(", %d with those of its stage before it", b.Before+b.Plan)
	}
	return text
}

// namesShown bounds how many addresses a message names.
const namesShown = 20

// Check is the whole message, with addresses. It is a warning: an approval lets the plan through.
func (b Blast) Check(instance string, plan wire.Plan) wire.Check {
	var names []string
	for _, r := range plan.Resources {
		if r.Action == b.Action {
			names = append(names, r.Address)
		}
	}
	if more := len(names) - namesShown; more > 0 {
		names = append(names[:namesShown], fmt.Sprintf("and %d more", more))
	}
	return wire.Check{Name: BlastRadius, Verdict: Warn, Message: fmt.Sprintf("%s would %s %s: more than %s in %s, so an operator has to approve it. In this plan: %s",
		instance, b.verb(), b.count(), b.setting(), b.From, strings.Join(names, ", "))}
}
