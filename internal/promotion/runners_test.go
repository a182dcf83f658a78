package promotion

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/terrace-cd/terrace/internal/core"
)

// What runners and executors do in the world: runs move on by the transition table,
// and end well or badly.

// outcome is what happens to a run next.
type outcome string

const (
	goesOn        outcome = "goes on"
	fails         outcome = "fails"
	errs          outcome = "errs"
	isLost        outcome = "is lost"
	isInconcluded outcome = "cannot tell"
)

var outcomes = []outcome{goesOn, goesOn, goesOn, goesOn, goesOn, goesOn, goesOn, goesOn, fails, errs, isLost, isInconcluded}

// work moves some runs a step, one way or another.
func (w *world) work(t *rapid.T) {
	for _, r := range w.unfinished() {
		for range rapid.IntRange(0, 4).Draw(t, "steps of "+r.ID) {
			if r.Status.Terminal() || r.Status == core.RunAwaitingApproval {
				break
			}
			likely := outcomes
			if r.Kind == core.KindVerify && r.Status == core.RunVerifying {
				likely = outcomes[7:] // it can only end badly, or go on
			}
			w.step(r, rapid.SampledFrom(likely).Draw(t, r.ID))
		}
	}
}

// everybodyGoesOn moves every run to its good end, but for what waits for a person.
func (w *world) everybodyGoesOn() {
	for _, r := range w.unfinished() {
		for !r.Status.Terminal() && r.Status != core.RunAwaitingApproval && (r.Kind != core.KindVerify || r.Status != core.RunVerifying || r.Cancel) {
			w.step(r, goesOn)
		}
	}
}

func (w *world) move(r *core.Run, to core.RunStatus, who core.Actor) {
	if err := core.CheckMove(r.Status, to, who); err != nil {
		w.t.Fatalf("%s: %v", r.ID, err)
	}
	r.Status = to
	if to.Terminal() {
		r.Finished = w.now
		w.settleRun(r)
	}
}

// settleRun writes what a run's end means for its instance.
func (w *world) settleRun(r *core.Run) {
	if r.Kind == core.KindImage {
		w.settleImage(r)
		return
	}
	in := w.instance(r.Stack, r.Environment)
	switch {
	case r.Status == core.RunUnknown:
		in.unknown, in.version = r.ID, 0
	case r.Error != nil && r.Error.Code == core.CodeInconclusive:
		if r.Kind == core.KindDeploy { // a watch without an answer takes nothing back
			in.version = 0
		}
	case r.Kind == core.KindPreview:
	case r.Status == core.RunFailed && (r.Kind == core.KindVerify || r.Kind == core.KindDeploy && r.HasPlan):
		in.version = 0
	case r.Status != core.RunSucceeded:
	case r.Kind == core.KindDestroy && !r.Applied: // a rollback that keeps it
	case r.Kind == core.KindDestroy:
		*in = instance{serial: in.serial}
	case r.Kind == core.KindRecover:
		in.unknown = ""
	case r.Kind == core.KindDeploy:
		in.version = w.releases[r.Release.Number-1].stacks[r.Stack]
		in.exists = true
	}
}

func (w *world) step(r *core.Run, o outcome) {
	switch r.Status {
	case core.RunQueued:
		if w.instance(r.Stack, r.Environment).unknown != "" && r.Kind != core.KindRecover && r.Kind != core.KindVerify {
			w.t.Fatalf("rule 20: %s (%s) starts on an unknown instance", r.ID, r.Kind)
		}
		w.move(r, core.RunPreparing, core.ByRunner)
	case core.RunPreparing, core.RunPlanning, core.RunChecking:
		w.beforeApply(r, o)
	case core.RunApplying, core.RunProvisioning:
		switch {
		case r.Cancel:
			w.move(r, core.RunCancelled, core.ByRunner)
		case o == fails:
			w.move(r, core.RunFailed, core.ByRunner)
		case o == errs:
			w.move(r, core.RunErrored, core.ByRunner)
		case o == isLost:
			w.move(r, core.RunUnknown, core.ByExecutor)
		case r.Status == core.RunApplying && r.Kind == core.KindDeploy:
			w.move(r, core.RunProvisioning, core.ByReconciler)
		case r.Kind == core.KindDeploy:
			w.move(r, core.RunVerifying, core.ByReconciler)
		default:
			w.move(r, core.RunSucceeded, core.ByRunner)
		}
	case core.RunVerifying:
		w.verify(r, o)
	case core.RunBuilding:
		w.build(r, o)
	}
}

func (w *world) beforeApply(r *core.Run, o outcome) {
	next := map[core.RunStatus]core.RunStatus{core.RunPreparing: core.RunPlanning, core.RunPlanning: core.RunChecking}
	switch {
	case r.Cancel:
		w.move(r, core.RunCancelled, core.ByRunner)
	case o == fails:
		w.move(r, core.RunFailed, core.ByRunner)
	case o == errs:
		w.move(r, core.RunErrored, core.ByRunner)
	case o == isLost:
		w.move(r, core.RunQueued, core.ByExecutor)
	case r.Kind == core.KindVerify:
		w.move(r, core.RunVerifying, core.ByRunner)
	case r.Kind == core.KindImage:
		w.move(r, core.RunBuilding, core.ByRunner)
	case r.Status != core.RunChecking:
		w.move(r, next[r.Status], core.ByRunner)
	case r.Kind == core.KindRecover || r.Kind == core.KindPreview:
		w.move(r, core.RunSucceeded, core.ByRunner)
	case r.Kind == core.KindDestroy && o == isInconcluded && w.rollout(r.Rollout).goesBack():
		w.move(r, core.RunSucceeded, core.ByReconciler) // it holds something protected
	default:
		w.planned(r)
	}
}

// apply is the moment in which infrastructure begins to change, and asserts I4 and I5.
func (w *world) apply(r *core.Run) {
	e := w.envs[r.Environment]
	if e.Stage != r.Stage {
		w.t.Fatalf("I4: %s applies without the lease of %s", r.ID, r.Environment)
	}
	ro := w.rollout(r.Rollout)
	if e.Present != r.Release.Number || e.Entered != r.Release.Number && !ro.goesBack() {
		w.t.Fatalf("rule 8: %s applies release %d after release %d entered %s", r.ID, r.Release.Number, e.Entered, r.Environment)
	}
	if ro.automatic() && r.Kind == core.KindDeploy {
		w.allLookedAt(r)
	}
	if r.Applied {
		w.t.Fatalf("I5: %s applies twice", r.ID)
	}
	in := w.instance(r.Stack, r.Environment)
	if in.unknown != "" {
		w.t.Fatalf("rule 20: %s applies to an unknown instance", r.ID)
	}
	if lacks := w.lacks(r); lacks != "" {
		w.t.Fatalf("I4: %s applies and lacks %s", r.ID, lacks)
	}
	for _, o := range w.runs {
		if o != r && o.Status.Changing() && o.Stack == r.Stack && o.Environment == r.Environment {
			w.t.Fatalf("I2: %s and %s apply to the same instance", r.ID, o.ID)
		}
	}
	_, st := w.stage(r.Stage)
	if !slices.Contains([]core.StageStatus{core.StageRunning, core.StageUnknown}, st.Status) {
		w.t.Fatalf("I4: %s applies in a stage that is %s", r.ID, st.Status)
	}
	r.HasPlan = true
	why := w.shut(st)
	config := st.Config
	config.Freezes, config.SecondPerson = w.freezes[config.Name], w.twoPersons
	if closed := Closed(config, st.Skips, w.now); (len(closed) > 0) != (why != "") {
		w.t.Fatalf("rule 24: %s is %q, and waits for %v", config.Name, why, closed)
	}
	if why != "" {
		w.move(r, core.RunSuperseded, core.ByReconciler) // the stage has it planned again
		return
	}
	r.Applied = true
	if !in.exists {
		in.thing = w.releases[r.Release.Number-1].things[r.Stack]
	}
	in.version, in.exists = 0, true
	in.serial, in.drift = in.serial+1, 0
	w.seen[place2{r.Stack, r.Environment}] = w.now
	w.move(r, core.RunApplying, core.ByReconciler)
}

func (w *world) verify(r *core.Run, o outcome) {
	switch {
	case r.Cancel && r.Kind == core.KindVerify && o != fails:
		w.move(r, core.RunSucceeded, core.ByRunner)
	case r.Cancel && r.Kind != core.KindVerify:
		w.move(r, core.RunCancelled, core.ByRunner)
	case o == fails:
		r.Refuted = true
		w.move(r, core.RunFailed, core.ByRunner)
	case o == isInconcluded:
		r.Error = &core.RunError{Code: core.CodeInconclusive, Message: "no answer"}
		w.move(r, core.RunFailed, core.ByRunner)
	case o == errs || o == isLost:
		w.move(r, core.RunErrored, core.ByExecutor)
	case r.Kind != core.KindVerify: // a watch goes on until it is stopped
		w.move(r, core.RunSucceeded, core.ByRunner)
	}
}

// settle ends a history well: people do what they are asked to, nothing fails any
// more, and a last release comes. It has to get everywhere by itself.
func (w *world) settle() {
	w.stopped = ""
	w.rest(func() bool { return !slices.ContainsFunc(w.open(), (*Rollout).goesBack) }) // whoever went back stays for a while
	last := w.releases[len(w.releases)-1]
	last.Release, last.author = core.Release{}, "user:eve"
	w.push(last)
	w.rest(func() bool { return len(w.unfinished()) == 0 && len(w.open()) == 0 })
	newest := w.releases[len(w.releases)-1]
	for _, e := range w.graph {
		if got := w.envs[e.Name].Verified; got != newest.Number {
			w.t.Fatalf("I8: %s is at release %d, not at the last one, %d", e.Name, got, newest.Number)
		}
		for stack := range upstreamsAndAll() {
			if in := w.instance(stack, e.Name); in.version != newest.stacks[stack] || in.exists != (newest.stacks[stack] != 0) {
				w.t.Fatalf("%s@%s is at version %d, not %d", stack, e.Name, in.version, newest.stacks[stack])
			}
		}
	}
}

// rest lets people and runners do well until nothing new happens any more.
func (w *world) rest(done func() bool) {
	for round := 0; ; round++ {
		before := w.ids
		for name, e := range w.envs {
			if e.Hold != nil && e.Hold.Kind != core.HoldFailure {
				e.Hold, w.mustHold[name] = nil, false
			}
		}
		clear(w.freezes)
		w.everybodyVotes()
		w.recoverUnknown()
		w.everybodyGoesOn()
		w.pass(15 * time.Minute)
		w.reconcile()
		w.invariants()
		w.answerPauses()
		if w.ids == before && done() {
			return
		}
		if round == 300 {
			for _, ro := range w.open() {
				for _, st := range ro.Stages {
					w.t.Logf("%s of release %d (%s): %s is %s, waits for %q", ro.ID, ro.Release.Number, ro.Status, st.Config.Name, st.Status, st.WaitsFor)
					if st.Status.HoldsLease() {
						for _, in := range w.view(ro, &st) {
							w.t.Logf("  %+v run %+v watch %+v", in, in.Run, in.Watch)
						}
					}
				}
			}
			w.t.Fatal("I8: the world does not come to rest")
		}
	}
}

// answerPauses tries a release again whose stage is paused and that nothing newer
// replaces, as its WaitsFor says; or cancels it where the server refuses that.
func (w *world) answerPauses() {
	for _, ro := range w.open() {
		for i := range ro.Stages {
			st := &ro.Stages[i]
			asks := func(x core.Wait) bool { return x.Gate == core.GateVerification }
			if st.Status != core.StageRunning || !slices.ContainsFunc(st.Waits, asks) || len(w.unfinishedOf(st.ID)) > 0 {
				continue
			}
			again := slices.ContainsFunc(w.open(), func(o *Rollout) bool {
				return o != ro && o.goesBack() == ro.goesBack() && !o.repairs() && o.Release.Number == ro.Release.Number
			})
			if !again && ro.goesBack() {
				w.goBack(st.Config.Name, ro.Release.Number)
				continue
			}
			if !again && !w.retry(w.releases[ro.Release.Number-1], "user:eve") {
				ro.Cancel = true
			}
		}
	}
}

func (w *world) unfinishedOf(stage string) []*core.Run {
	return slices.DeleteFunc(w.runsOf(stage), func(r *core.Run) bool { return r.Status.Terminal() })
}
