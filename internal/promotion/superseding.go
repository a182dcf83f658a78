package promotion

import (
	"fmt"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
)

// queue orders those who wait for an environment (rules 6, 7 and 8), ends those whose
// time is over, says of the others what they wait for, and returns the one that
// enters when the lease is free: the newest admissible one. It may be nil.
//
// Older ones are not superseded here. The newest one's entering does that: from then
// on they are older than what is in the environment, and rule 8 ends them. A rollback goes
// before all of them.
func (d *decider) queue(name string, waiting, holders []place) *place {
	var line []place
	for _, p := range waiting {
		if by := d.overtakenBy(p, waiting, holders); by != 0 {
			d.add(Supersede{Rollout: p.ro.ID, Stage: p.st.ID, By: by})
		} else if why := d.unreachable(p); why != nil {
			d.set(p, core.StageWaiting, why...)
		} else {
			line = append(line, p)
		}
	}
	next := d.turn(name, line, holders)
	for _, p := range waiting {
		if next != nil && p.givesUpTo(*next) {
			return nil // the rollout before it steps back first, so that it never comes after it
		}
	}
	return next
}

// turn says of everybody in line what they wait for, and returns whoever may enter.
func (d *decider) turn(name string, line, holders []place) *place {
	if back := rollbackIn(line); back != nil {
		return d.backFirst(name, *back, line, holders)
	}
	waits := make([][]core.Wait, len(line))
	var first, next *place // first: the oldest that may not be skipped
	for i := range line {
		p := &line[i]
		waits[i] = d.obstacles(*p)
		if first != nil && first.number() < p.number() {
			waits[i] = append(waits[i], orderWait(name, first.number(), mayNotBeSkipped(first)))
		}
		if len(waits[i]) == 0 {
			next = p
		}
		if first == nil && mayNotBeSkipped(p) != "" {
			first = p
		}
	}
	for i, p := range line {
		if len(holders) > 0 {
			waits[i] = append(waits[i], leaseWait(name, holders[0]))
		}
		if len(waits[i]) > 0 {
			d.set(p, core.StageWaiting, waits[i]...)
		}
	}
	return next
}

// givesUpTo reports whether a rollout that waits is the same journey as another: of one
// release, or back.
func (p place) givesUpTo(next place) bool {
	return !p.sameStage(next) && p.ro.goesBack() == next.ro.goesBack() && p.ro.repairs() == next.ro.repairs() && (p.ro.goesBack() || p.number() == next.number())
}

// overtakenBy returns the number of the release because of which a waiting stage can
// never enter, or 0. Rule 8: a newer one was in the environment. And a rollout that tries
// the same release again takes over from the one before it, as does a later rollback.
func (d *decider) overtakenBy(p place, waiting, holders []place) int64 {
	if p.ro.goesBack() {
		return laterRollback(p, slices.Concat(waiting, holders))
	}
	if entered := d.Environments[p.st.Config.Name].Entered; entered > p.number() {
		return entered
	}
	if there := d.replaced(p); there != 0 {
		return there
	}
	again := false // waiting is in the order of rollouts, so a later one is newer
	for _, o := range waiting {
		if again && o.number() == p.number() && !o.ro.goesBack() && o.ro.repairs() == p.ro.repairs() {
			return o.number()
		}
		again = again || o.sameStage(p)
	}
	return 0
}

// mayNotBeSkipped says why a newer release may not take a stage's place, "" when it
// may: rule 7, or queue = "every" in the release's own configuration (rule 6).
func mayNotBeSkipped(p *place) string {
	switch {
	case p.ro.repairs():
		return "" // the release was there before
	case p.ro.Release.Barrier:
		return "barrier"
	case p.st.Config.Every:
		return `queue = "every"`
	}
	return ""
}

// givesWay reports whether the stage that holds the lease may be superseded by one
// that is admissible but for the lease. Rule 6: not once anything was applied. It
// never happens in a bake, nor while an outcome is unknown or somebody cancels, nor
// when the stage is about to end by itself.
//
// Two kinds of stages give way although they may have applied, because they change
// nothing any more and would wait for a person for ever: one paused by an inconclusive
// verification (rule 16), and one in which only destructions are left that nobody has
// approved yet (rule 27).
func (d *decider) givesWay(h, next place) bool {
	if h.st.Status != core.StageRunning || h.ro.Cancel || h.number() > next.number() {
		return false
	}
	sum := survey(h)
	idle := sum.paused != nil && sum.unfinished == 0 && len(sum.startable) == 0
	idle = idle || sum.done == sum.others && sum.unfinished == sum.awaiting
	switch {
	case sum.unknown != nil || sum.broken() || sum.allDone():
		return false
	case h.number() == next.number():
		return idle && !next.ro.repairs() // tried again on purpose
	case mayNotBeSkipped(&h) != "":
		return false
	}
	return idle || sum.supersedable == sum.unfinished && !sum.applied
}

// supersede ends the runs of a stage that gives way, then the stage. A run that has
// got further in the meantime refuses; the stage then goes on, and starts again what
// was superseded.
func (d *decider) supersede(p place, by int64) {
	unfinished := false
	for _, in := range p.st.Instances {
		for _, r := range []*Run{in.Run, in.Preview} {
			if r != nil && !r.Status.Terminal() {
				unfinished = true
				d.add(Supersede{Rollout: p.ro.ID, Stage: p.st.ID, Run: r.ID, By: by})
			}
		}
	}
	if !unfinished {
		d.add(Supersede{Rollout: p.ro.ID, Stage: p.st.ID, By: by})
	}
}

// TooOld refuses to let a release into an environment that a newer one has entered (rule 8).
func TooOld(e core.EnvironmentState, number int64) error {
	return core.Errorf(core.Conflict, "release %d, which is newer than %d, has entered %s; an older release enters only as a rollback (rule 8): terrace rollback %[3]s --to %[2]d", e.Entered, number, e.Name)
}

// Overtaken is why a run does not apply its plan: a newer release entered meanwhile (rule 8).
func Overtaken(e core.EnvironmentState) string {
	return fmt.Sprintf("release %d, which is newer, has entered %s (rule 8)", e.Entered, e.Name)
}
