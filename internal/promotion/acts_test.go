package promotion

import (
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
)

// How the world carries decisions out, and what it asserts of each.

// act carries a decision out and reports whether its guard held. fresh: nothing
// happened since the snapshot, so no guard may fail and every demand is made.
func (w *world) act(d Decision, fresh bool) bool {
	switch d := d.(type) {
	case Admit:
		return w.admit(d)
	case Start:
		return w.start(d, fresh)
	case Move:
		return w.moveInstance(d, fresh)
	case Supersede:
		return w.supersede(d, fresh)
	case Resume:
		return w.resume(d, fresh)
	case CancelRun:
		return w.stop(w.run(d.Run))
	case StopWatch:
		return w.stop(w.run(d.Run))
	case SetStage:
		return w.setStage(d)
	case SetRollout:
		return w.setRollout(d)
	case Rollback:
		return w.rollBackByItself(d)
	case Look:
		return w.look(d)
	case SetHold:
		h := d.Hold
		w.envs[d.Environment].Hold = &h
		return true
	}
	w.t.Fatalf("a decision of an unknown kind: %T", d)
	return false
}

func (w *world) admit(d Admit) bool {
	ro, st := w.stage(d.Stage)
	e := w.envs[d.Environment]
	if e.Stage != "" || st.Status != core.StageWaiting || !ro.goesBack() && e.Entered > ro.Release.Number || ro.repairs() && e.Present != ro.Release.Number {
		return false
	}
	if (d.Hold != nil) != ro.goesBack() {
		w.t.Fatalf("%s (%q) enters %s with the hold %v", ro.ID, ro.Kind, d.Environment, d.Hold)
	}
	if why := w.closed(ro, st); why != "" {
		return false // a gate closed since the snapshot; fresh ones are not refused, see reconcile
	}
	if o := w.goesFirst(ro, st); o != nil {
		w.t.Fatalf("release %d entered %s before release %d, which may not be skipped", ro.Release.Number, d.Environment, o.Release.Number)
	}
	for _, o := range w.rollouts {
		if other := o.stage(d.Environment); other != nil && other.Status.HoldsLease() {
			w.t.Fatalf("I2: %s was admitted to %s while %s is %s there", st.ID, d.Environment, other.ID, other.Status)
		}
	}
	if behind := w.passing(ro, st); !slices.Equal(behind, d.Behind) {
		w.t.Fatalf("rule 23: %s enters before %v, and not before %v", st.ID, behind, d.Behind)
	}
	e.Ahead, e.AheadOf = 0, nil
	if len(d.Behind) > 0 {
		e.Ahead, e.AheadOf = ro.Release.Number, d.Behind
	}
	w.entered(e, ro, d.Hold)
	e.Stage = st.ID
	w.lookAway(e.Name)
	st.Status, st.WaitsFor, st.Waits = core.StageRunning, "", nil
	return true
}

// closed is the world's own reading of rule 5: which gate is closed for a stage.
func (w *world) closed(ro *Rollout, st *Stage) string {
	e := w.envs[st.Config.Name]
	switch {
	case w.stopped != "":
		return "stopped"
	case ro.Cancel:
		return "cancelled"
	case ro.Release.Invalid != "":
		return "invalid"
	case w.skipped(st, core.GateHold):
	case e.Hold != nil && e.Hold.Kind == core.HoldRollback && (!ro.goesBack() || !ro.Manual):
		return "held by a rollback"
	case e.Hold != nil && e.Hold.Kind == core.HoldPerson:
		return "held by a person"
	case ro.goesBack():
	case e.Hold != nil && !ro.Manual && ro.Release.Number <= e.Hold.Release:
		return "held by a failure"
	}
	if names := w.passing(ro, st); len(names) > 0 && !w.skipped(st, core.GateUpstream) && !ro.repairs() {
		return names[0] + " is not verified"
	}
	return w.shut(st)
}

func (w *world) passed(ro *Rollout, env string) bool {
	for _, st := range ro.Stages {
		if st.Config.Name != env {
			continue
		}
		if st.Status == core.StageFailed || st.Status == core.StageErrored || st.Status == core.StageCancelled {
			return false
		}
		if st.Status == core.StageSucceeded && !w.withdrawn[st.ID] {
			return true
		}
	}
	return w.envs[env].Verified == ro.Release.Number
}

// hopeless reports whether a waiting stage can never enter.
func (w *world) hopeless(ro *Rollout, st *Stage) bool {
	if ro.goesBack() {
		return false
	}
	if e := w.envs[st.Config.Name]; e.Entered > ro.Release.Number || ro.repairs() && e.Present != ro.Release.Number {
		return true
	}
	if w.skipped(st, core.GateUpstream) {
		return false
	}
	for _, name := range st.Config.After {
		up := ro.stage(name)
		if w.passed(ro, name) {
			continue
		}
		if up.Status.Terminal() || up.Status == core.StageWaiting && w.hopeless(ro, up) {
			return true
		}
	}
	return false
}

// goesFirst finds an older release that has to enter a stage's environment before it, or a
// rollback.
func (w *world) goesFirst(ro *Rollout, st *Stage) *Rollout {
	for _, o := range w.open() {
		if other := o.stage(st.Config.Name); o.goesBack() && o != ro && other != nil && other.Status == core.StageWaiting && !o.Cancel {
			return o
		}
		if ro.goesBack() {
			continue
		}
		if o.Release.Number >= ro.Release.Number || o.Cancel {
			continue
		}
		other := o.stage(st.Config.Name)
		if other == nil || other.Status != core.StageWaiting || w.hopeless(o, other) {
			continue
		}
		if !o.repairs() && (o.Release.Barrier || other.Config.Every) {
			return o
		}
	}
	return nil
}

func (w *world) start(d Start, fresh bool) bool {
	ro, st := w.stage(d.Stage)
	env := st.Config.Name
	if w.envs[env].Stage != d.Stage {
		return false
	}
	busy := 0
	for _, r := range w.unfinished() {
		if r.Stack == d.Stack && r.Environment == env && (r.Kind == d.Kind || !r.Kind.OnlyLooks() && !d.Kind.OnlyLooks()) {
			return false
		}
		if r.Kind == core.KindImage && d.Kind == core.KindImage && w.imageOf(r) == w.releases[ro.Release.Number-1].image {
			return false // another stage builds it
		}
		if r.Stage == d.Stage && r.Kind != core.KindVerify && r.Status != core.RunAwaitingApproval {
			busy++
		}
	}
	c := w.releases[ro.Release.Number-1]
	if fresh && ro.Cancel {
		w.t.Fatalf("%s was started for a cancelled rollout", d.Stack)
	}
	for stack, thing := range c.things {
		if d.Kind == core.KindDestroy && c.stacks[stack] != 0 && thing == w.instance(d.Stack, env).thing {
			w.t.Fatalf("rule 27: %s@%s is destroyed, which is %s of release %d", d.Stack, env, stack, ro.Release.Number)
		}
	}
	if d.Kind == core.KindImage && w.built[c.image] {
		if fresh {
			w.t.Fatalf("the image %d is built again by %s", c.image, st.ID)
		}
		return false
	}
	switch d.Kind {
	case core.KindVerify:
		if st.Status != core.StageBaking {
			w.t.Fatalf("a watch without a bake: %s is %s", st.ID, st.Status)
		}
	case core.KindPreview:
		if !ro.automatic() || slices.ContainsFunc(w.runsOf(st.ID), func(r *core.Run) bool { return r.Applied }) {
			w.t.Fatalf("rule 21: a preview of %s in %s", d.Stack, st.ID)
		}
	default:
		if why := w.shut(st); fresh && why != "" {
			w.t.Fatalf("rule 24: a %s run was started in %s, which is %s", d.Kind, env, why)
		}
		if w.instance(d.Stack, env).unknown != "" {
			w.t.Fatalf("rule 20: a %s run was started on %s@%s, which is unknown", d.Kind, d.Stack, env)
		}
		if fresh && w.parallel > 0 && busy >= w.parallel {
			w.t.Fatalf("rule 10: run %d of %d at a time", busy+1, w.parallel)
		}
		if usesImage(d.Stack) && d.Kind == core.KindDeploy && c.image != 0 && !w.built[c.image] {
			w.t.Fatalf("rule 10: a %s run was started on %s@%s before its image %d is built", d.Kind, d.Stack, env, c.image)
		}
		for stack, version := range c.stacks {
			needed := d.Kind == core.KindDestroy || slices.Contains(upstreams[d.Stack], stack)
			if needed && version != 0 && w.instance(stack, env).version != version {
				w.t.Fatalf("rules 10 and 27: %s of %s@%s before %s is done", d.Kind, d.Stack, env, stack)
			}
		}
	}
	w.runs = append(w.runs, &core.Run{ID: w.id("r"), Stage: d.Stage, Rollout: d.Rollout, Stack: d.Stack, Environment: env, Kind: d.Kind,
		Status: core.RunQueued, Release: ro.Release})
	return true
}

// moveInstance asserts that what moves is what the release has under the other name.
func (w *world) moveInstance(d Move, fresh bool) bool {
	ro, st := w.stage(d.Stage)
	env := st.Config.Name
	from, to := w.instance(d.From, env), w.instance(d.To, env)
	if w.envs[env].Stage != d.Stage || from.unknown != "" || !from.exists || to.exists || w.worksOn(d.From, env) || w.worksOn(d.To, env) {
		return false
	}
	if fresh && ro.Cancel {
		w.t.Fatalf("%s was moved for a cancelled rollout", d.From)
	}
	if want := w.releases[ro.Release.Number-1].things[d.To]; from.thing != want {
		w.t.Fatalf("rule 27: %s@%s, which is %d, became %s of release %d, which is %d", d.From, env, from.thing, d.To, ro.Release.Number, want)
	}
	*to, *from = *from, instance{}
	to.version = 0
	w.moved = append(w.moved, core.Move{Environment: env, From: d.From, To: d.To})
	return true
}

func (w *world) supersede(d Supersede, fresh bool) bool {
	ro, st := w.stage(d.Stage)
	if d.By < ro.Release.Number && !ro.goesBack() && !ro.repairs() {
		w.t.Fatalf("release %d superseded by an older one, %d", ro.Release.Number, d.By)
	}
	if fresh && st.Status.HoldsLease() {
		w.mayGiveWay(ro, st, d.By)
	}
	if d.Run != "" {
		r := w.run(d.Run)
		if !core.CanMove(r.Status, core.RunSuperseded, core.ByReconciler) {
			return false
		}
		if r.Applied {
			w.t.Fatalf("rule 6: %s has applied and was superseded", r.ID)
		}
		r.Status, r.Finished = core.RunSuperseded, w.now
		return true
	}
	if st.Status.Terminal() {
		return false
	}
	if st.Status == core.StageBaking {
		w.t.Fatal("rule 6: a bake was superseded")
	}
	if (ro.Release.Barrier || st.Config.Every) && !ro.repairs() && d.By > ro.Release.Number && w.envs[st.Config.Name].Entered <= ro.Release.Number && st.Status == core.StageWaiting {
		w.t.Fatalf("release %d may not be skipped and was, by %d", ro.Release.Number, d.By)
	}
	w.endStage(ro, st, core.StageSuperseded)
	return true
}

// mayGiveWay asserts rules 6 and 7 of a stage that holds the lease.
func (w *world) mayGiveWay(ro *Rollout, st *Stage, by int64) {
	if by > ro.Release.Number && (ro.Release.Barrier || st.Config.Every) && !ro.repairs() {
		w.t.Fatalf("%s of release %d may not be skipped and gives way to %d", st.ID, ro.Release.Number, by)
	}
	applied := false
	for _, r := range w.runsOf(st.ID) {
		applied = applied || r.Applied
	}
	onlyDestructions, isPaused := true, false
	for _, in := range w.view(ro, st) {
		onlyDestructions = onlyDestructions && (in.Removed || in.Need == NeedNothing)
		isPaused = isPaused || in.Run != nil && in.Run.Code == core.CodeInconclusive
		if in.Run != nil && in.Run.Status.Active() && (applied || isPaused && in.Run.Applied) {
			w.t.Fatalf("rule 6: %s gives way while %s is %s, after something was applied", st.ID, in.Run.ID, in.Run.Status)
		}
	}
	if applied && !onlyDestructions && !isPaused {
		w.t.Fatalf("rule 6: %s has applied and gives way to release %d", st.ID, by)
	}
}

func (w *world) stop(r *core.Run) bool {
	switch {
	case r.Status.Terminal():
		return false
	case r.Status == core.RunQueued || r.Status == core.RunAwaitingApproval:
		r.Status, r.Finished = core.RunCancelled, w.now
	default:
		r.Cancel = true
	}
	return true
}

func (w *world) setStage(d SetStage) bool {
	ro, st := w.stage(d.Stage)
	if st.Status != d.From {
		return false
	}
	if d.Status.Terminal() {
		if d.From != core.StageWaiting {
			w.mayEnd(ro, st, d.Status)
		}
		w.endStage(ro, st, d.Status)
	}
	st.Status, st.WaitsFor, st.Waits = d.Status, d.WaitsFor, d.Waits
	return true
}

// mayEnd asserts what a stage that held the lease has to have done before it ends so.
func (w *world) mayEnd(ro *Rollout, st *Stage, status core.StageStatus) {
	env := st.Config.Name
	c := w.releases[ro.Release.Number-1]
	newest := map[string]*core.Run{}
	for _, r := range w.runsOf(st.ID) {
		newest[r.Stack+string(r.Kind)] = r
	}
	for stack := range upstreamsAndAll() {
		in := w.instance(stack, env)
		if in.unknown != "" {
			w.t.Fatalf("rule 20: %s ended as %s while %s@%s is unknown", st.ID, status, stack, env)
		}
		if r := newest[stack+string(core.KindDeploy)]; r != nil && r.Applied && wentWrong(r.Status) && (r.Error == nil || r.Error.Code != core.CodeInconclusive) &&
			w.envs[env].Hold == nil && newest[stack+string(core.KindRecover)] == nil {
			w.t.Fatalf("rule 18: %s ended as %s without a hold though %s applied and %s", st.ID, status, r.ID, r.Status)
		}
		if status != core.StageSucceeded {
			continue
		}
		if want := c.stacks[stack]; want != 0 && in.version != want {
			w.t.Fatalf("%s succeeded with %s@%s at version %d, not %d", st.ID, stack, env, in.version, want)
		} else if want == 0 && in.exists && !w.stays(ro, newest[stack+string(core.KindDestroy)]) {
			w.t.Fatalf("rule 27: %s succeeded while %s@%s, which left, exists", st.ID, stack, env)
		}
		if r := newest[stack+string(core.KindVerify)]; r != nil && r.Status != core.RunSucceeded && r.Status != core.RunCancelled {
			w.t.Fatalf("rules 16 and 17: %s succeeded though its watch %s ended as %s", st.ID, r.ID, r.Status)
		}
	}
	if status == core.StageSucceeded {
		w.repairedAll(ro, st)
	}
	if status == core.StageSucceeded && len(newest) > 0 && !onlyPreviews(newest) && st.Baked < st.Config.Bake && !w.skipped(st, core.GateBake) {
		w.t.Fatalf("rule 17: %s succeeded after %s of a bake of %s", st.ID, st.Baked, st.Config.Bake)
	}
}

func upstreamsAndAll() map[string]bool {
	return map[string]bool{"network": true, "db": true, "web": true, "site": true}
}

func (w *world) endStage(ro *Rollout, st *Stage, status core.StageStatus) {
	for _, r := range w.runsOf(st.ID) {
		if !r.Status.Terminal() {
			w.t.Fatalf("%s ended as %s while %s (%s %s@%s) is %s", st.ID, status, r.ID, r.Kind, r.Stack, r.Environment, r.Status)
		}
	}
	e := w.envs[st.Config.Name]
	if e.Stage == st.ID {
		e.Stage = ""
		if ro.goesBack() && status != core.StageSucceeded && !slices.ContainsFunc(w.runsOf(st.ID), func(r *core.Run) bool { return r.Applied }) {
			e.Present = ro.From
		}
	}
	if status == core.StageSucceeded {
		e.Verified = ro.Release.Number
		w.history[st.Config.Name] = append(w.history[st.Config.Name], ro.Release.Number)
		if e.Hold != nil && e.Hold.Kind == core.HoldFailure && e.Hold.Release <= ro.Release.Number {
			e.Hold = nil
		}
	}
	st.Status = status
}

func (w *world) setRollout(d SetRollout) bool {
	for _, ro := range w.rollouts {
		if ro.ID != d.Rollout {
			continue
		}
		if ro.Status != d.From {
			return false
		}
		if d.Status.Terminal() {
			for i := range ro.Stages {
				if st := &ro.Stages[i]; !st.Status.Terminal() && (st.Status != core.StageWaiting || !w.hopeless(ro, st)) {
					w.t.Fatalf("%s ended as %s while %s is %s", ro.ID, d.Status, st.ID, st.Status)
				}
			}
		}
		ro.Status = d.Status
	}
	return true
}
