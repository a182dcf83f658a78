package promotion

import (
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// Rule 21. A rollback is a rollout of one stage: an environment goes back to a release that
// was verified there before. It goes before everybody else who waits for the environment,
// and in the moment in which it enters it sets a hold.

func (ro *Rollout) goesBack() bool { return ro.Kind == core.RolloutRollback }

// automatic reports whether it is a rollback that nobody asked for.
func (ro *Rollout) automatic() bool { return ro.goesBack() && !ro.Manual }

// rollbackIn finds the rollback among those who wait, nil when there is none. The queue
// has ended all but the last.
func rollbackIn(line []place) *place {
	if i := slices.IndexFunc(line, func(p place) bool { return p.ro.goesBack() }); i >= 0 {
		return &line[i]
	}
	return nil
}

// backFirst is the queue of an environment with a rollback in it.
func (d *decider) backFirst(name string, back place, line, holders []place) *place {
	enters := false
	for _, p := range line {
		waits := d.obstacles(p)
		if p.sameStage(back) {
			enters = len(waits) == 0
		} else {
			waits = append(waits, orderWait(name, back.number(), "rollback"))
		}
		if len(holders) > 0 {
			waits = append(waits, leaseWait(name, holders[0]))
		}
		if len(waits) > 0 {
			d.set(p, core.StageWaiting, waits...)
		}
	}
	if !enters {
		return nil
	}
	return &back
}

// laterRollback returns the release of a rollback that was asked for after p, or 0. The
// last word counts.
func laterRollback(p place, others []place) int64 {
	for _, o := range others {
		if !o.ro.goesBack() || o.sameStage(p) {
			continue
		}
		if age := o.ro.Created.Compare(p.ro.Created); age > 0 || age == 0 && o.ro.ID > p.ro.ID {
			return o.number()
		}
	}
	return 0
}

// leave is what the stage that holds the lease does when a rollback may enter. One that a
// person asked for ends it: what only plans or looks is stopped, also a bake; what changes
// infrastructure comes to its end first, since half an apply is worse than a whole one; and
// nothing new begins. One that the server started comes after a stage that ends by itself.
func (d *decider) leave(h, back place) {
	sum := survey(h)
	if back.ro.automatic() || !baking(h.st) && sum.allDone() {
		d.work(h)
		return
	}
	d.stop(h, fmt.Sprintf("the rollback of %s to release %d", h.st.Config.Name, back.number()),
		func(r Run) bool { return r.Status.Changing() }, leavingWait(h, back))
}

// rollbackHold is the hold that a stage sets when it enters, nil for a promotion.
func (d *decider) rollbackHold(p place) *core.Hold {
	if !p.ro.goesBack() {
		return nil
	}
	from := d.Environments[p.st.Config.Name].Present
	return &core.Hold{Kind: core.HoldRollback, Reason: rollbackText(p, from), By: p.ro.By, Release: from}
}

func rollbackText(p place, from int64) string {
	text := fmt.Sprintf("the rollback from release %d to release %d", from, p.number())
	switch {
	case p.ro.automatic():
		return text + ", because " + p.ro.Reason
	case p.ro.Reason != "":
		return fmt.Sprintf("%s, asked for by %s: %s", text, p.ro.By, p.ro.Reason)
	}
	return text + ", asked for by " + p.ro.By
}

// holdTells has the hold of a rollback that does not end well say so. It reports false
// for a promotion, and when somebody lifted the hold in the meantime: then rule 18 decides.
func (d *decider) holdTells(p place, status core.StageStatus) bool {
	hold := d.Environments[p.st.Config.Name].Hold
	if !p.ro.goesBack() || hold == nil || hold.Kind != core.HoldRollback {
		return false
	}
	told := *hold
	told.Reason = rollbackText(p, hold.Release) + ", which " + strings.Replace(string(status), "cancelled", "was cancelled", 1)
	if why := complaint(p); why != "" {
		told.Reason += ": " + why
	}
	d.add(SetHold{Environment: p.st.Config.Name, Hold: told})
	return true
}

// complaint is the first line of what went wrong in a stage, with where.
func complaint(p place) string {
	for _, in := range p.st.Instances {
		for _, r := range []*Run{in.Run, in.Watch, in.Preview} {
			if r != nil && wentWrong(r.Status) && r.Message != "" {
				line, _, _ := strings.Cut(r.Message, "\n")
				return p.instance(in) + ": " + line
			}
		}
	}
	return ""
}

// rollBack starts a rollback for a stage that is about to fail, where the release's own
// configuration asks for it: once, after a verification that said no and nothing worse, and
// never for a rollback.
func (d *decider) rollBack(p place) {
	name := p.st.Config.Name
	in := refuted(p.st)
	switch {
	case !p.st.Config.AutoRollback || p.ro.goesBack() || p.ro.repairs() || p.ro.Cancel || in == nil || p.st.Before == 0:
	case d.Environments[name].Undone >= p.number() || d.goingBack(name):
	default:
		d.add(Rollback{Environment: name, From: p.number(), To: p.st.Before,
			Reason: fmt.Sprintf("the verification of %s said no", p.instance(*in))})
	}
}

// refuted finds an instance whose verification said no; nil when there is none, or when
// anything else went wrong too.
func refuted(st *Stage) (found *Instance) {
	for i := range st.Instances {
		in := &st.Instances[i]
		for _, r := range []*Run{in.Run, in.Watch} {
			switch {
			case r == nil:
			case r.Refuted:
				found = in
			case r == in.Run && wentWrong(r.Status):
				return nil
			}
		}
	}
	return found
}

// goingBack reports whether a rollback of an environment is under way already.
func (d *decider) goingBack(environment string) bool {
	return slices.ContainsFunc(d.Rollouts, func(ro Rollout) bool {
		st := ro.stage(environment)
		return alive(&ro) && ro.goesBack() && st != nil && !st.Status.Terminal()
	})
}

// looks has an automatic rollback plan every instance before it applies the first, and
// end when one of the plans is denied. It reports whether that is not over yet, or ended
// the stage.
func (d *decider) looks(p place, sum summary) bool {
	if sum.unknown != nil || sum.ran {
		return false
	}
	if d.images(p, sum) {
		return true
	}
	if len(sum.moving) > 0 {
		waits := secondPerson(p, d.closed(p))
		if len(waits) == 0 && d.move(p, sum) == 0 {
			waits = moveWaits(p, sum.moving)
		}
		d.set(p, core.StageRunning, waits...)
		return true
	}
	count := map[core.RunStatus]int{}
	busy, toStart := 0, []Start(nil)
	for _, in := range p.st.Instances {
		switch r := in.Preview; {
		case in.Removed || conditionOf(in) != toDo:
		case r == nil:
			toStart = append(toStart, Start{Rollout: p.ro.ID, Stage: p.st.ID, Stack: in.Stack, Kind: core.KindPreview})
		case !r.Status.Terminal():
			busy++
		default:
			count[r.Status]++
		}
	}
	for _, s := range toStart {
		if p.st.Parallel > 0 && busy >= p.st.Parallel {
			break
		}
		d.add(s)
		busy++
	}
	switch {
	case busy > 0:
		d.set(p, core.StageRunning, lookWait(p))
	case count[core.RunFailed] > 0:
		d.endStage(p, core.StageFailed)
	case count[core.RunErrored] > 0:
		d.endStage(p, core.StageErrored)
	case count[core.RunCancelled]+count[core.RunSuperseded] > 0:
		d.endStage(p, core.StageCancelled)
	default:
		return false
	}
	return true
}

// kept are the stacks that a rollback leaves although its release does not have them:
// those whose destruction ended without one, because of what it would have destroyed;
// those for which a person said no; and what they depend on.
func kept(p place) map[string]bool {
	stays := map[string]bool{}
	if !p.ro.goesBack() {
		return stays
	}
	for changed := true; changed; {
		changed = false
		for _, in := range p.st.Instances {
			if !in.Removed || in.Unknown || stays[in.Stack] {
				continue
			}
			switch r := in.Run; {
			case r != nil && r.Status == core.RunSucceeded: // what is destroyed is not among the instances any more
			case r != nil && r.Status == core.RunCancelled && !r.Applied:
			case r == nil && slices.ContainsFunc(in.DependsOn, func(stack string) bool { return stays[stack] }):
			default:
				continue
			}
			stays[in.Stack], changed = true, true
		}
	}
	return stays
}
