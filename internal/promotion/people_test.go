package promotion

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/terrace-cd/terrace/internal/core"
)

// What people say to plans in the world, and what it takes for a plan to be applied, by
// the world's own reading of rules 11, 27 and 28.

var (
	people = []string{"user:ana", "user:bob", "user:cyd", "user:dan"}
	groups = map[string][]string{"user:bob": {"group:platform"}, "user:cyd": {"group:platform", "group:night"}}
)

// drawRequirement is what a commit asks for in an environment. Four people can always meet
// it, unless they brought the change about.
func drawRequirement(t *rapid.T) *Requirement {
	if rapid.IntRange(0, 2).Draw(t, "approval") < 2 {
		return nil
	}
	r := Requirement{Source: "terrace.hcl", Count: rapid.IntRange(1, 2).Draw(t, "count"), Others: rapid.Bool().Draw(t, "others")}
	r.From = rapid.SampledFrom([][]string{nil, {"group:platform"}, {"group:night", "user:ana", "user:dan"}}).Draw(t, "from")
	r.Expires = rapid.SampledFrom([]time.Duration{0, time.Hour, 24 * time.Hour}).Draw(t, "expires")
	return &r
}

// asked lists what each source asks for: the commit, the one that is there, and rule 27.
func (w *world) asked(r *core.Run) (all []Requirement) {
	for _, number := range []int64{r.Release.Number, w.envs[r.Environment].Verified} {
		if number == 0 {
			continue
		}
		if asks := w.releases[number-1].asks[r.Environment]; asks != nil {
			all = append(all, *asks)
		}
	}
	if r.Kind == core.KindDestroy {
		all = append(all, Requirement{Source: "rule 27", Count: 1})
	}
	return all
}

// bound is what a run would do now, and from what.
func (w *world) bound(r *core.Run) core.Binding {
	in := w.instance(r.Stack, r.Environment)
	return core.Binding{Release: r.Release.Number, Environment: r.Environment, Plan: fmt.Sprintf("%s %d after %d", r.Kind, w.releases[r.Release.Number-1].stacks[r.Stack], in.drift),
		State: core.StateRef{Lineage: r.Stack, Serial: in.serial}, Guardrails: fmt.Sprint(w.guardrails)}
}

func (w *world) proposal(r *core.Run) Proposal {
	p := Proposal{Instance: r.Stack, Kind: r.Kind, Binding: r.Binding(), Requirements: w.asked(r), Groups: groups,
		Authors: []string{w.releases[r.Release.Number-1].author}, Requester: w.requester[r.Rollout]}
	for _, v := range w.votes {
		if v.Stage == r.Stage && v.Stack == r.Stack {
			p.Votes = append(p.Votes, v)
		}
	}
	return p
}

// planned is the server's answer to a plan: apply, or wait.
func (w *world) planned(r *core.Run) {
	now := w.bound(r)
	r.PlanDigest, r.PlanState, r.Guardrails = now.Plan, now.State, now.Guardrails
	for _, v := range w.votes {
		if v.Stage == r.Stage && v.Stack == r.Stack && v.Binding != now {
			w.dead[v.ID] = true
		}
	}
	t := Count(w.proposal(r), w.now)
	for _, void := range t.Void {
		if i := slices.IndexFunc(w.votes, func(v core.Vote) bool { return v.ID == void.ID }); void.Changed {
			w.votes[i].Void = void.Why
		}
	}
	if t.Satisfied() {
		w.apply(r)
	} else {
		w.move(r, core.RunAwaitingApproval, core.ByReconciler)
	}
}

// lacks is what stands against applying what a run would do now: the strictest source
// decides, and only people who saw this very plan count (I4).
func (w *world) lacks(r *core.Run) string {
	for _, asks := range w.asked(r) {
		said := map[string]bool{}
		for _, v := range w.votes {
			mine := v.Stage == r.Stage && v.Stack == r.Stack && v.Approves
			if mine && !w.dead[v.ID] && v.Binding == w.bound(r) && w.mayBe(asks, r, v.By) && (asks.Expires == 0 || v.At.Add(asks.Expires).After(w.now)) {
				said[v.By] = true
			}
		}
		if len(said) < asks.Count {
			return fmt.Sprintf("%d of %d approvals of %v", len(said), asks.Count, asks.From)
		}
	}
	for _, v := range w.votes {
		if v.Run == r.ID && !v.Approves {
			return "rejected"
		}
	}
	return ""
}

// mayBe reports whether somebody's approval may count.
func (w *world) mayBe(asks Requirement, r *core.Run, who string) bool {
	if asks.Others && (who == w.releases[r.Release.Number-1].author || who == w.requester[r.Rollout]) {
		return false
	}
	if len(asks.From) == 0 {
		return true
	}
	for _, from := range asks.From {
		if from == who || slices.Contains(groups[who], from) {
			return true
		}
	}
	return false
}

func (w *world) vote(t *rapid.T) {
	for _, r := range w.unfinished() {
		if r.Status != core.RunAwaitingApproval || w.outOfDate(r) {
			continue
		}
		who := rapid.SampledFrom(people).Draw(t, "who votes on "+r.ID)
		w.say(r, who, rapid.IntRange(0, 7).Draw(t, "yes") > 0)
	}
}

// say is a vote, with what the server refuses.
func (w *world) say(r *core.Run, who string, yes bool) (stored bool) {
	p := w.proposal(r)
	may := slices.ContainsFunc(p.Requirements, func(asks Requirement) bool {
		if !yes {
			asks.Others = false
		}
		return w.mayBe(asks, r, who)
	})
	if why := MayVote(p, who, yes); (why == "") != may {
		w.t.Fatalf("%s may vote on %s: %v; the rules say %q", who, r.ID, may, why)
	}
	if !may || yes && Count(p, w.now).By(who) != nil {
		return false
	}
	w.votes = append(w.votes, core.Vote{ID: w.id("v"), Stage: r.Stage, Run: r.ID, Stack: r.Stack, Binding: r.Binding(), By: who, At: w.now, Approves: yes})
	if !yes {
		w.move(r, core.RunCancelled, core.ByPerson)
	}
	return true
}

// outOfDate: what can be seen has changed since a run was planned.
func (w *world) outOfDate(r *core.Run) bool {
	now := w.bound(r)
	return now.State != r.PlanState || now.Guardrails != r.Guardrails
}

// approval is what the snapshot shows of a run that waits.
func (w *world) approval(r *core.Run) *Approval {
	if r.Status != core.RunAwaitingApproval {
		return nil
	}
	return &Approval{Tally: Count(w.proposal(r), w.now), Stale: Stale(r.Instance(), r.Binding(), w.bound(r))}
}

func (w *world) resume(d Resume, fresh bool) bool {
	r := w.run(d.Run)
	if r.Status != core.RunAwaitingApproval {
		return false
	}
	if lacks := w.lacks(r); fresh && lacks != "" && !w.outOfDate(r) && !w.drifted(r) {
		w.t.Fatalf("rule 11: %s goes on and lacks %s", r.ID, lacks)
	}
	w.move(r, core.RunQueued, core.ByReconciler)
	return true
}

// drifted: what cannot be seen without planning has changed.
func (w *world) drifted(r *core.Run) bool { return w.bound(r).Plan != r.PlanDigest }

// everybodyVotes is people who do what they are asked to: all say yes, and where that is
// not enough, because they brought the change about themselves, one says no.
func (w *world) everybodyVotes() {
	for _, r := range w.unfinished() {
		if r.Status != core.RunAwaitingApproval || w.outOfDate(r) {
			continue
		}
		for _, who := range people {
			w.say(r, who, true)
		}
		if t := Count(w.proposal(r), w.now); !t.Satisfied() {
			if w.say(r, "user:ana", false) || w.say(r, "user:bob", false) {
				continue
			}
			w.t.Fatalf("nobody can decide about %s: %s", r.ID, t.Words())
		}
	}
}

// meddle changes what plans are made from: most likely that of a run that waits, or that was
// approved and is not applied yet.
func (w *world) meddle(t *rapid.T) {
	in := w.instance(rapid.SampledFrom(strings.Fields("network db web")).Draw(t, "stack"), rapid.SampledFrom(w.graph).Draw(t, "environment").Name)
	for _, r := range w.unfinished() {
		if r.Status.Supersedable() && slices.ContainsFunc(w.votes, func(v core.Vote) bool { return v.Run == r.ID }) {
			in = w.instance(r.Stack, r.Environment)
		}
	}
	switch rapid.SampledFrom([]string{"state", "reality", "guardrails"}).Draw(t, "what") {
	case "state":
		in.serial++
	case "reality":
		in.drift = 1 - in.drift // and perhaps back again
	default:
		w.guardrails++
	}
}

// meddleAround lets people vote, and changes things before the approved plan is made again,
// and perhaps once more.
func (w *world) meddleAround(t *rapid.T) {
	for range rapid.IntRange(1, 3).Draw(t, "times") {
		w.vote(t)
		w.vote(t)
		w.reconcile()
		w.meddle(t)
		w.reconcile()
		w.everybodyGoesOn()
	}
}
