package promotion

import "github.com/terrace-cd/terrace/internal/core"

// How stages and rollouts end: failed (the user's code or infrastructure said no),
// errored (Terrace or the machine could not), cancelled (a person), superseded (a
// newer release), and in the order of what a person has to hear of first.
var gravity = []core.StageStatus{core.StageFailed, core.StageErrored, core.StageCancelled, core.StageSuperseded}

// worst is how a stage ends whose instances did not all succeed. Unknown is not among
// the answers: such a stage does not end.
func worst(sum summary) core.StageStatus {
	switch {
	case sum.count[failed] > 0:
		return core.StageFailed
	case sum.count[errored] > 0:
		return core.StageErrored
	}
	return core.StageCancelled
}

// endStage ends a stage that has the lease, which gives the lease back.
func (d *decider) endStage(p place, status core.StageStatus) {
	if status == core.StageFailed {
		d.rollBack(p)
	}
	if status != core.StageSucceeded && !d.holdTells(p, status) {
		d.holdFor(p)
	}
	d.set(p, status)
}

// cancel is how a stage with the lease ends for a person: every run and watch is asked
// to stop, nothing new starts, and the stage ends when the last one has. An unknown
// outcome keeps the lease all the same (rule 20).
func (d *decider) cancel(p place) {
	d.stop(p, "the rollout's cancellation", func(Run) bool { return false }, stoppingWait(p))
}

// stop is cancel, but for the runs that are let go on to their end.
func (d *decider) stop(p place, by string, spared func(Run) bool, wait core.Wait) {
	waiting := false
	stop := func(r *Run, how func(string) Decision) {
		if r == nil || r.Status.Terminal() {
			return
		}
		waiting = true
		if !r.Cancel && !spared(*r) {
			d.add(how(r.ID))
		}
	}
	for _, in := range p.st.Instances {
		if in.Run == nil || in.Run.Kind != core.KindRecover {
			stop(in.Run, func(id string) Decision { return CancelRun{Run: id, By: by} })
		} else if !in.Run.Status.Terminal() {
			waiting = true // finding out what happened is not what was cancelled
		}
		stop(in.Watch, func(id string) Decision { return StopWatch{Run: id} })
		stop(in.Preview, func(id string) Decision { return CancelRun{Run: id, By: by} })
	}
	sum := survey(p)
	switch {
	case sum.unknown != nil:
		d.set(p, core.StageUnknown, recoveryWait(p, sum.unknown))
	case waiting:
		d.set(p, p.st.Status, wait)
	case sum.broken():
		d.endStage(p, worst(sum))
	default:
		d.endStage(p, core.StageCancelled)
	}
}

// sweep cancels what a cancelled rollout has not begun.
func (d *decider) sweep(ro *Rollout) {
	if !alive(ro) || !ro.Cancel {
		return
	}
	for i := range ro.Stages {
		if p := (place{ro, &ro.Stages[i]}); p.st.Status == core.StageWaiting {
			d.set(p, core.StageCancelled)
		}
	}
}

// end moves a rollout to what its stages amount to.
func (d *decider) end(ro *Rollout) {
	if ro.Status.Terminal() {
		return
	}
	if status := d.rolloutStatus(ro); status != ro.Status {
		d.add(SetRollout{Rollout: ro.ID, From: ro.Status, Status: status})
	}
}

func (d *decider) rolloutStatus(ro *Rollout) core.RolloutStatus {
	if ro.Release.Invalid != "" {
		return core.RolloutFailed
	}
	count := map[core.StageStatus]int{}
	goesOn := false
	for i := range ro.Stages {
		st := &ro.Stages[i]
		count[st.Status]++
		waits := st.Status == core.StageWaiting && (ro.Cancel || d.unreachable(place{ro, st}) == nil)
		goesOn = goesOn || waits || st.Status.HoldsLease()
	}
	switch {
	case count[core.StageUnknown] > 0:
		return core.RolloutUnknown
	case goesOn:
		return core.RolloutRunning
	}
	for _, s := range gravity {
		if count[s] > 0 {
			return core.RolloutStatus(s)
		}
	}
	if count[core.StageWaiting] > 0 {
		return core.RolloutFailed // its configuration leads nowhere
	}
	return core.RolloutSucceeded
}
