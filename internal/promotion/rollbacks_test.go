package promotion

import (
	"fmt"
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/terrace-cd/terrace/internal/core"
)

// Rollbacks in the world, and what must never happen with them (rule 21).

// before is the release that was verified last in an environment, of those older than one.
func (w *world) before(env string, release int64) int64 {
	for _, number := range slices.Backward(w.history[env]) {
		if number < release {
			return number
		}
	}
	return 0
}

// rollBack is "terrace rollback", with what the server refuses.
func (w *world) rollBack(t *rapid.T) {
	env := rapid.SampledFrom(w.graph).Draw(t, "environment").Name
	e := w.envs[env]
	var targets []int64
	for _, number := range w.history[env] {
		if number < e.Entered && (number != e.Present || e.Verified != e.Present) {
			targets = append(targets, number)
		}
	}
	if len(targets) > 0 && w.stopped == "" {
		w.goBack(env, rapid.SampledFrom(targets).Draw(t, "to"))
	}
}

func (w *world) goBack(env string, to int64) { w.addRollback(env, to, true, "it is slow") }

func (w *world) addRollback(env string, to int64, manual bool, why string) {
	c := w.releases[to-1]
	ro := &Rollout{ID: w.id("ro"), Kind: core.RolloutRollback, Release: c.Release, Status: core.RolloutRunning, Manual: manual, By: "somebody", Reason: why, From: w.envs[env].Present}
	ro.Created = w.now.Add(time.Duration(w.ids)) // no two at once
	for _, config := range c.envs {
		if config.Name == env {
			config.After = nil
			ro.Stages = []Stage{{ID: w.id("st"), Status: core.StageWaiting, Config: config, Parallel: w.parallel}}
		}
	}
	w.rollouts = append(w.rollouts, ro)
}

// rollBackByItself carries the decision out, and asserts that it was a right one.
func (w *world) rollBackByItself(d Rollback) bool {
	e := w.envs[d.Environment]
	if e.Undone >= d.From {
		return false
	}
	key := fmt.Sprint(d.Environment, d.From)
	if w.automatic[key]++; w.automatic[key] > 1 {
		w.t.Fatalf("rule 21: release %d was rolled back from %s by itself twice", d.From, d.Environment)
	}
	ro, st := w.stage(e.Stage)
	if ro.goesBack() || ro.repairs() || ro.Release.Number != d.From || !st.Config.AutoRollback {
		w.t.Fatalf("rule 21: %s is rolled back by itself from release %d, while %s of release %d (%q) is there", d.Environment, d.From, ro.ID, ro.Release.Number, ro.Kind)
	}
	refuted := false
	for _, in := range w.view(ro, st) {
		if in.Run != nil && wentWrong(in.Run.Status) && !in.Run.Refuted {
			w.t.Fatalf("rule 21: %s is rolled back by itself after %s, which %s for another reason", d.Environment, in.Run.ID, in.Run.Status)
		}
		refuted = refuted || in.Run != nil && in.Run.Refuted || in.Watch != nil && in.Watch.Refuted
	}
	if !refuted {
		w.t.Fatalf("rule 21: %s is rolled back by itself, and no verification said no", d.Environment)
	}
	if d.To >= d.From || d.To != w.before(d.Environment, d.From) {
		w.t.Fatalf("rule 21: %s goes back from release %d to %d, not to %d", d.Environment, d.From, d.To, w.before(d.Environment, d.From))
	}
	e.Undone = d.From
	w.addRollback(d.Environment, d.To, false, d.Reason)
	return true
}

// entered notes who is in an environment now, and what that means for others.
func (w *world) entered(e *core.EnvironmentState, ro *Rollout, hold *core.Hold) {
	number := ro.Release.Number
	if !ro.goesBack() {
		e.Entered, e.Present = number, number
		return
	}
	switch {
	case number >= e.Entered:
		w.t.Fatalf("rule 21: release %d enters %s as a rollback, where release %d was the newest", number, e.Name, e.Entered)
	case !slices.Contains(w.history[e.Name], number):
		w.t.Fatalf("rule 21: %s goes back to release %d, which was never verified there", e.Name, number)
	case hold.Kind != core.HoldRollback || hold.Release != e.Present:
		w.t.Fatalf("rule 21: the hold of the rollback from release %d is %+v", e.Present, hold)
	}
	for _, o := range w.rollouts {
		if st := o.stage(e.Name); st != nil && st.Status == core.StageSucceeded && o.Release.Number > number {
			st.Withdrawn, w.withdrawn[st.ID] = true, true
		}
	}
	e.Present, e.Hold, e.Verified = number, hold, min(e.Verified, number)
	w.mustHold[e.Name] = true
}

// allLookedAt asserts that an automatic rollback planned everything before it applies.
func (w *world) allLookedAt(r *core.Run) {
	_, st := w.stage(r.Stage)
	for _, o := range w.runsOf(st.ID) {
		if o.Kind == core.KindPreview && o.Stack == r.Stack && o.Status == core.RunSucceeded {
			return
		}
	}
	w.t.Fatalf("rule 21: %s applies %s in an automatic rollback that has not looked at it", r.ID, r.Stack)
}

// stays reports whether a rollback may end well although a stack is there that its
// release does not have.
func (w *world) stays(ro *Rollout, destruction *core.Run) bool {
	return ro.goesBack() && destruction != nil && !destruction.Applied && (destruction.Status == core.RunCancelled || destruction.Status == core.RunSucceeded)
}

func onlyPreviews(newest map[string]*core.Run) bool {
	for _, r := range newest {
		if r.Kind != core.KindPreview && r.Kind != core.KindImage {
			return false
		}
	}
	return true
}

func (w *world) rollout(id string) *Rollout {
	for _, ro := range w.rollouts {
		if ro.ID == id {
			return ro
		}
	}
	w.t.Fatalf("no rollout %s", id)
	return nil
}
