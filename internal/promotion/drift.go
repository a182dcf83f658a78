package promotion

import (
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Rule 25. Whoever looks whether what is there is what the states say, changes nothing, and
// looks only at an environment that no stage is in: what is being changed is not what it will
// be. Nobody waits for a look either, so whoever enters ends those under way (Admit).
//
// What has drifted is undone by a repair: a rollout of one stage, of the release that is there,
// through every gate and check. That release was let in once, so what comes before it in the
// order of promotion is not asked again.

// Sight is an instance that the release which is there wants looked at, now and then.
type Sight struct {
	Environment, Stack string
	// Every is how often; 0 is never.
	Every time.Duration
	// Seen is when it was last known what is there: the newest look at it, or when its state
	// was written, whichever was later.
	Seen time.Time
	// Busy: a run works on it, or looks at it already.
	Busy bool
}

// Look starts a run that looks at an instance. Whoever carries it out repeats in the same
// transaction that no stage is in the environment, and that no run works there.
type Look struct{ Environment, Stack string }

func (Look) decision() {}

// look begins the looks that are due.
func (d *decider) look() {
	entered := map[string]bool{}
	for _, x := range d.admits {
		entered[x.Environment] = true
	}
	for _, s := range d.Sights {
		if !entered[s.Environment] && d.idle(s) && s.due(d.now) {
			d.add(Look{Environment: s.Environment, Stack: s.Stack})
		}
	}
}

// idle reports whether an instance may be looked at.
func (s Snapshot) idle(at Sight) bool {
	return at.Every > 0 && !at.Busy && s.Environments[at.Environment].Stage == ""
}

// due: what was seen in the future was seen before the clock was set back.
func (s Sight) due(now time.Time) bool {
	return s.Seen.After(now) || !now.Before(s.next())
}

func (s Sight) next() time.Time { return s.Seen.Add(s.Every) }

// Lookable says why nobody may look at an environment now.
func Lookable(e core.EnvironmentState) error {
	if e.Stage == "" {
		return nil
	}
	return core.Errorf(core.Conflict, "a release is in %s, and whoever looked would see what it is changing (rule 25); look when it is done: terrace status", e.Name)
}

// Repairable says why the release that is in an environment cannot repair it now.
func Repairable(e core.EnvironmentState) error {
	switch {
	case e.Present == 0:
		return core.Errorf(core.NotFound, "no release was ever in %s; terrace status lists what there is", e.Name)
	case e.Stage != "":
		return core.Errorf(core.Conflict, "release %d is on its way through %s; when it is done, look what is left: terrace drift %[2]s --wait", e.Present, e.Name)
	case e.Present != e.Entered:
		return core.Errorf(core.Conflict, "%s went back from release %d to release %d, and no release enters it but a newer one, which repairs what it changes", e.Name, e.Entered, e.Present)
	case e.Present != e.Verified:
		return core.Errorf(core.Conflict, "release %d, which is in %s, was never verified there, and a repair takes a release that was. Try it again: terrace rollout start --commit %[1]d", e.Present, e.Name)
	}
	return nil
}

// repairs reports whether a rollout goes where its release is already, because something
// drifted there.
func (ro *Rollout) repairs() bool { return ro.Kind == core.RolloutRepair }

// replaced returns the release that is there instead of the one that a repair is about, 0 when
// that is still there.
func (d *decider) replaced(p place) int64 {
	if there := d.Environments[p.st.Config.Name].Present; p.ro.repairs() && there != p.number() {
		return there
	}
	return 0
}
