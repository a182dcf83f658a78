package promotion

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/terrace-cd/terrace/internal/core"
)

// Looks and repairs in the world, and what must never happen with them (rule 25).

// lookEvery is how often what asks for it is looked at.
const lookEvery = 30 * time.Minute

// sights are the instances of environments that want to be looked at.
func (w *world) sights() (all []Sight) {
	for _, e := range w.graph {
		for _, stack := range allStacks {
			key := place2{stack, e.Name}
			if in := w.instance(stack, e.Name); in.exists && in.unknown == "" && w.watches[e.Name] {
				all = append(all, Sight{Environment: e.Name, Stack: stack, Every: lookEvery, Seen: w.seen[key], Busy: w.looking[key] || w.worksOn(stack, e.Name)})
			}
		}
	}
	return all
}

func (w *world) look(d Look) bool {
	key := place2{d.Stack, d.Environment}
	in := w.instance(d.Stack, d.Environment)
	if w.envs[d.Environment].Stage != "" || w.looking[key] || w.worksOn(d.Stack, d.Environment) || !in.exists || in.unknown != "" {
		return false
	}
	if next := w.seen[key].Add(lookEvery); !w.watches[d.Environment] || w.now.Before(next) && !w.seen[key].After(w.now) {
		w.t.Fatalf("rule 25: %v is looked at before %s", key, next)
	}
	w.looking[key] = true
	return true
}

// looksEnd lets those who look find what they find.
func (w *world) looksEnd(*rapid.T) {
	for key := range w.looking {
		delete(w.looking, key)
		w.seen[key] = w.now
	}
}

// lookAway ends the looks at an environment: somebody enters it.
func (w *world) lookAway(env string) {
	for key := range w.looking {
		if key.env == env {
			delete(w.looking, key)
		}
	}
}

// onlyIdleIsLookedAt is what holds at every moment.
func (w *world) onlyIdleIsLookedAt() {
	for key := range w.looking {
		if stage := w.envs[key.env].Stage; stage != "" {
			w.t.Fatalf("rule 25: somebody looks at %v while %s is there", key, stage)
		}
	}
}

// nothingOverdue: whatever is due, and can be looked at, is being looked at.
func (w *world) nothingOverdue() {
	for _, at := range w.sights() {
		if w.envs[at.Environment].Stage == "" && !at.Busy && !w.now.Before(at.Seen.Add(lookEvery)) {
			w.t.Fatalf("rule 25: %s@%s was seen at %s and nobody looks", at.Stack, at.Environment, at.Seen)
		}
	}
}

// repair is "terrace drift fix", with what the server refuses.
func (w *world) repair(t *rapid.T) {
	env := rapid.SampledFrom(w.graph).Draw(t, "environment").Name
	e := w.envs[env]
	if e.Present == 0 || e.Present != e.Verified || e.Present != e.Entered || w.stopped != "" {
		return
	}
	for _, o := range w.open() {
		if o.repairs() && o.stage(env) != nil {
			return
		}
	}
	c := w.releases[e.Present-1]
	var stacks []string
	for _, stack := range allStacks {
		if c.stacks[stack] != 0 && w.instance(stack, env).exists && rapid.Bool().Draw(t, stack) {
			stacks = append(stacks, stack)
		}
	}
	ro := &Rollout{ID: w.id("ro"), Kind: core.RolloutRepair, Release: c.Release, Status: core.RolloutRunning, Manual: true, Created: w.now}
	for _, config := range c.envs {
		if config.Name == env {
			config.After = nil
			ro.Stages = []Stage{{ID: w.id("st"), Status: core.StageWaiting, Config: config, Parallel: w.parallel}}
		}
	}
	w.requester[ro.ID], w.repairs[ro.ID] = "user:ana", stacks
	w.rollouts = append(w.rollouts, ro)
}

// repairedAll asserts that what a repair is about was run again.
func (w *world) repairedAll(ro *Rollout, st *Stage) {
	for _, stack := range w.repairs[ro.ID] {
		if !slices.ContainsFunc(w.runsOf(st.ID), func(r *core.Run) bool {
			return r.Stack == stack && r.Kind == core.KindDeploy && r.Status == core.RunSucceeded
		}) {
			w.t.Fatalf("rule 25: %s has repaired %s@%s without a run", ro.ID, stack, st.Config.Name)
		}
	}
}
