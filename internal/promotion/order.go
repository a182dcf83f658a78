package promotion

import (
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
)

// condition is where an instance is in its stage.
type condition uint8

const (
	toDo       condition = iota // has something to do, or it cannot be said yet
	unfinished                  // a run is queued, active, or waits for an approval
	done                        // nothing to do, or done (rule 9)
	paused                      // its verification was inconclusive (rule 16)
	failed
	errored
	cancelled
	unknown // rule 20
)

// conditionOf reads an instance's newest run. A run that was superseded, a recover
// run, and an outcome that is known again leave the instance to be run afresh: a
// retry always plans again.
func conditionOf(in Instance) condition {
	switch {
	case in.Run != nil && !in.Run.Status.Terminal():
		return unfinished
	case in.Image != "" && in.Need == NeedNothing:
		return done
	case in.Unknown:
		return unknown
	case in.MovesFrom != "":
		return toDo
	case in.Run == nil || in.Run.Kind == core.KindRecover || in.Run.Status == core.RunSuperseded || in.Run.Status == core.RunUnknown:
		if in.Need == NeedNothing {
			return done
		}
		return toDo
	case in.Run.Status == core.RunSucceeded && in.Image != "":
		return toDo // somebody had it forgotten since
	case in.Run.Status == core.RunSucceeded:
		return done
	case in.Run.Code == core.CodeInconclusive:
		return paused
	case in.Run.Status == core.RunErrored:
		return errored
	case in.Run.Status == core.RunCancelled:
		return cancelled
	}
	return failed
}

// summary is what a stage's instances amount to.
type summary struct {
	count        map[condition]int
	done, others int // of the instances that are not to be destroyed
	unfinished   int
	supersedable int // of the unfinished ones
	awaiting     int // of the unfinished ones: destructions that wait for approvals
	active       int // of the unfinished ones: those that do not wait for a person
	applied      bool
	ran          bool
	unknown      *Instance // one of them
	paused       *Instance
	approval     []Instance // all that wait for approvals
	startable    []Start    // without rollout and stage; before the parallel limit
	moving       []Instance // those that have to become what they are called first
	images       int        // those that are not built, and
	elsewhere    []Instance // of these, those that another stage builds now
}

func (s *summary) broken() bool {
	return s.count[failed]+s.count[errored]+s.count[cancelled] > 0
}

// allDone reports whether every instance is done.
func (s *summary) allDone() bool {
	return s.unfinished == 0 && !s.broken() && s.unknown == nil && s.paused == nil && s.count[toDo] == 0
}

// survey reads a stage's instances and finds those that may start now.
//
// Rule 10: an instance starts when everything it depends on is done; one that has
// nothing to do satisfies its dependants. After a failure its descendants never become
// startable, its siblings do. Rule 20: an unknown instance never starts.
// Rule 27: what left the configuration is destroyed after all others are done, and
// after what depended on it.
func survey(p place) summary {
	st := p.st
	s := summary{count: map[condition]int{}, applied: st.Applied, ran: st.Ran}
	where, stays := map[string]condition{}, kept(p)
	for i := range st.Instances {
		in := &st.Instances[i]
		c := conditionOf(*in)
		if stays[in.Stack] {
			c = done
		}
		where[in.Stack] = c
		s.count[c]++
		if !in.Removed {
			s.others++
			if c == done {
				s.done++
			}
		}
		if in.Run != nil {
			s.ran = s.ran || in.Image == ""
			s.applied = s.applied || in.Run.Applied
		}
		if in.Image != "" && c != done {
			s.images++
		}
		switch c {
		case unknown:
			s.unknown = in
		case paused:
			s.paused = in
		case unfinished:
			if in.Unknown {
				s.unknown = in // it is being recovered
			}
			s.unfinished++
			if in.Run.Status.Supersedable() {
				s.supersedable++
			}
			if in.Run.Status != core.RunAwaitingApproval {
				s.active++
				break
			}
			s.approval = append(s.approval, *in)
			if in.Run.Kind == core.KindDestroy {
				s.awaiting++
			}
		}
		if r := in.Preview; r != nil && !r.Status.Terminal() { // no stage ends before its runs
			s.unfinished++
			s.active++
			if r.Status.Supersedable() {
				s.supersedable++
			}
		}
	}
	for _, in := range st.Instances {
		if where[in.Stack] != toDo {
			continue
		}
		if in.MovesFrom != "" {
			s.moving = append(s.moving, in)
			continue
		}
		kind, ready := core.KindDeploy, in.Need == NeedRun
		switch {
		case in.Removed:
			kind, ready = core.KindDestroy, s.done == s.others
		case in.BuiltBy != "":
			s.elsewhere = append(s.elsewhere, in)
			continue
		case in.Image != "":
			kind = core.KindImage
		}
		for _, up := range in.DependsOn {
			c, here := where[up]
			ready = ready && (!here || c == done)
		}
		if ready {
			s.startable = append(s.startable, Start{Stack: in.Stack, Kind: kind, Image: in.Image})
		}
	}
	return s
}

// work decides the next step of a stage that holds its environment's lease.
func (d *decider) work(p place) {
	switch {
	case p.ro.Cancel:
		d.cancel(p)
		return
	case baking(p.st):
		d.bake(p)
		return
	}
	sum := survey(p)
	if p.ro.automatic() && d.looks(p, sum) {
		return
	}
	started, closed := 0, secondPerson(p, d.closed(p))
	if len(closed) == 0 {
		started = d.resume(p, &sum) + d.start(p, sum) + d.move(p, sum)
	}
	switch {
	case sum.unknown != nil:
		d.set(p, core.StageUnknown, recoveryWait(p, sum.unknown))
	case sum.unfinished > 0 || started > 0:
		waits := approvalWaits(p, sum.approval)
		if len(sum.startable) > 0 || len(waits) < len(sum.approval) {
			waits = append(waits, closed...) // some would go on
		}
		d.set(p, core.StageRunning, waits...)
	case sum.broken():
		d.endStage(p, worst(sum))
	case sum.paused != nil:
		d.set(p, core.StageRunning, answerWait(p, *sum.paused))
	case len(closed) > 0 && len(sum.startable)+len(sum.moving) > 0:
		d.set(p, core.StageRunning, closed...) // what was applying has finished
	case len(sum.moving) > 0:
		d.set(p, core.StageRunning, moveWaits(p, sum.moving)...)
	case len(sum.elsewhere) > 0:
		d.set(p, core.StageRunning, imageWaits(p, sum.elsewhere)...)
	case sum.count[toDo] > 0:
		// Whatever these need is done, yet they cannot be judged: only a snapshot that
		// is behind says so. The next one knows.
		d.set(p, core.StageRunning)
	case p.st.Config.Bake > 0 && sum.ran && !p.st.skips(core.GateBake):
		d.set(p, core.StageBaking, secondPerson(p, []core.Wait{bakeWait(p, d.now)})...)
	default:
		d.endStage(p, core.StageSucceeded)
	}
}

// resume has those planned again that got their approvals (rule 11), and those whose plan is
// out of date, so that nobody approves what cannot be applied.
func (d *decider) resume(p place, sum *summary) (n int) {
	for _, in := range sum.approval {
		if !in.Run.Approval.goesOn() || p.st.Parallel > 0 && sum.active >= p.st.Parallel {
			continue
		}
		d.add(Resume{Run: in.Run.ID, Why: in.Run.Approval.why()})
		sum.active++
		n++
	}
	return n
}

// start starts what may start, as far as the configured limit allows: queued and
// active runs count, those that wait for a person do not.
func (d *decider) start(p place, sum summary) int {
	n := 0
	for _, s := range sum.startable {
		if p.st.Parallel > 0 && sum.active+n >= p.st.Parallel {
			break
		}
		if s.Image != "" {
			if d.building[s.Image] {
				continue // another stage has just begun
			}
			d.building[s.Image] = true
		}
		s.Rollout, s.Stage = p.ro.ID, p.st.ID
		d.add(s)
		n++
	}
	return n
}

// images has an automatic rollback build what its plans need, before it plans anything. It
// reports whether that is not over yet, or ended the stage.
func (d *decider) images(p place, sum summary) bool {
	if sum.images == 0 {
		return false
	}
	sum.startable = slices.DeleteFunc(sum.startable, func(s Start) bool { return s.Kind != core.KindImage })
	started, closed := 0, secondPerson(p, d.closed(p))
	if len(closed) == 0 {
		started = d.start(p, sum)
	}
	switch {
	case started > 0 || sum.unfinished > 0:
		d.set(p, core.StageRunning)
	case sum.broken():
		d.endStage(p, worst(sum))
	case len(closed) > 0 && len(sum.startable) > 0:
		d.set(p, core.StageRunning, closed...)
	default:
		d.set(p, core.StageRunning, imageWaits(p, sum.elsewhere)...)
	}
	return true
}

// NotBuilt is what an instance says whose plan needs an image that is not there.
func NotBuilt(instance, image string) error {
	return core.Errorf(core.Conflict, "%s waits for the image %s, which is not built. It is planned when that is; nothing has to be done, unless the image failed: terrace run list", instance, image)
}

// NoOutputs is what an instance says whose plan needs what an upstream has not made yet
// (rule 10).
func NoOutputs(instance, upstream string) error {
	return core.Errorf(core.Conflict, "%s waits for %s: its inputs are outputs of it, and it has none yet. It is planned when %[2]s is applied; nothing has to be done, unless that failed: terrace run list", instance, upstream)
}
