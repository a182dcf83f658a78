package promotion

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// All texts about approvals are made here, so that a stage, a refusal and a vote that does
// not count any more say the same thing in the same words.

// Words is who may approve: "group:platform or user:ana, neither the commit's author nor
// who asked for the rollout".
func (r Requirement) Words() string { return peopleOf(r.From) + r.except() }

func (r Requirement) except() string {
	if r.Others {
		return ", neither the commit's author nor who asked for the rollout"
	}
	return ""
}

// Words is what is still missing: "1 more of group:platform (terrace.hcl of release 12)".
func (m Missing) Words() string {
	n := strconv.Itoa(m.Need)
	if m.Need < m.Count {
		n += " more"
	}
	words := n + " of " + peopleOf(m.From)
	switch {
	case len(m.From) == 0 && m.Count == 1:
		words = peopleOf(nil)
	case len(m.From) == 0 && m.Need == 1:
		words = n + " operator"
	case len(m.From) == 0:
		words = n + " operators"
	}
	words += m.except()
	if m.Why != "" {
		words += ", since " + m.Why
	}
	return words + " (" + m.Source + ")"
}

// Words is everything that is missing, "" when nothing is.
func (t Tally) Words() string {
	var all []string
	for _, m := range t.Missing {
		all = append(all, m.Words())
	}
	return strings.Join(all, " and ")
}

// Again is why a plan that was approved waits once more, "" when none was: why the newest
// of its approvals does not count any more.
func (t Tally) Again() string {
	if len(t.Void) == 0 {
		return ""
	}
	return t.Void[len(t.Void)-1].Why
}

// ApprovalWait is what a run waits for that awaits approvals: what it would do, who has to
// approve it, and why again. Where a is nil, that is not known.
func ApprovalWait(kind core.RunKind, instance, run string, a *Approval) core.Wait {
	what := "apply"
	if kind == core.KindDestroy {
		what = "destroy"
	}
	w := core.Wait{Gate: core.GateApproval, On: run, What: "approval to " + what + " " + instance, OpensBy: "terrace approve " + run, ForPerson: true}
	if a == nil {
		return w
	}
	w.What += " (" + changesWords(a.Changes) + ")"
	if missing := a.Words(); missing != "" {
		w.What += " by " + missing
	}
	if again := a.Again(); again != "" {
		w.What += ", again, because " + again
	}
	for _, m := range a.Missing {
		for _, who := range m.From {
			if !slices.Contains(w.Who, who) {
				w.Who = append(w.Who, who)
			}
		}
	}
	return w
}

// differs says what makes a proposal another one than what was voted on, "" when nothing does.
func (p Proposal) differs(v core.Vote) string {
	var all []string
	add := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	was, is, who := v.Binding, p.Binding, nameOf(v.By)
	if was.Release != is.Release {
		add("the release is another one than %s approved (%d, now %d)", who, was.Release, is.Release)
	}
	if was.Environment != is.Environment {
		add("%s approved it for %s", who, was.Environment)
	}
	if was.Plan != is.Plan {
		text := "the plan is another one than " + who + " approved"
		if changed := p.Changed[v.ID]; changed != "" {
			text += ": " + changed
		}
		all = append(all, text)
	}
	if was.State != is.State {
		add("the state of %s is another one than when %s approved it (%s)", p.Instance, who, stateChange(was.State, is.State))
	}
	if was.Guardrails != is.Guardrails {
		add("the guardrails are others than those under which %s approved it", who)
	}
	return strings.Join(all, "; ")
}

// Stale says what has changed since a plan was made that waits, "" when nothing has that
// would void an approval of it.
func Stale(instance string, was, is core.Binding) string {
	switch {
	case was.State != is.State:
		return fmt.Sprintf("the state of %s changed since the plan was made (%s)", instance, stateChange(was.State, is.State))
	case was.Guardrails != is.Guardrails:
		return "the guardrails changed since the plan was made"
	}
	return ""
}

func stateChange(was, is core.StateRef) string {
	words := func(s core.StateRef) string {
		switch {
		case s == core.StateRef{}:
			return "none"
		case was.Lineage == is.Lineage:
			return fmt.Sprintf("serial %d", s.Serial)
		}
		return fmt.Sprintf("serial %d of lineage %.8s", s.Serial, s.Lineage)
	}
	return words(was) + ", now " + words(is)
}

// changesWords is core.Changes without what there is none of.
func changesWords(c core.Changes) string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{c.Create, "create"}, {c.Update, "update"}, {c.Replace, "replace"}, {c.Delete, "delete"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d to %s", part.n, part.what))
		}
	}
	if parts == nil {
		return "no resource, but outputs or addresses"
	}
	return strings.Join(parts, ", ")
}

func expired(v core.Vote, r Requirement) string {
	return fmt.Sprintf("the approval of %s has expired, after %s (%s)", nameOf(v.By), span(r.Expires), r.Source)
}

// mayNot refuses a vote, and says who may.
func mayNot(p Proposal, who string, approves bool, why []string) string {
	verb := "reject"
	if approves {
		verb = "approve"
	}
	var may []string
	for _, r := range p.Requirements {
		words := r.Words()
		if !approves {
			words = peopleOf(r.From)
		}
		may = append(may, fmt.Sprintf("%s (%s)", words, r.Source))
	}
	text := fmt.Sprintf("%s may not %s this plan of %s: %s. It waits for an approval by %s", nameOf(who), verb, p.Instance, strings.Join(why, ", and "), strings.Join(may, ", and by "))
	if len(p.Empty) > 0 {
		text += fmt.Sprintf(". Nobody is in %s; who is, administrators say in the guardrails", strings.Join(p.Empty, ", "))
	}
	return text
}

// nameOf is somebody as others call them.
func nameOf(who string) string { return strings.TrimPrefix(who, "user:") }

// peopleOf are those who may approve.
func peopleOf(from []string) string {
	switch len(from) {
	case 0:
		return "any operator"
	case 1:
		return from[0]
	}
	return strings.Join(from[:len(from)-1], ", ") + " or " + from[len(from)-1]
}

// span is a duration without the zeros at its end: 10m, not 10m0s.
func span(d time.Duration) string {
	text := d.String()
	if short, ok := strings.CutSuffix(text, "m0s"); ok {
		text = short + "m"
	}
	if short, ok := strings.CutSuffix(text, "h0m"); ok {
		text = short + "h"
	}
	return text
}
