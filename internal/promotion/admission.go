package promotion

import (
	"github.com/terrace-cd/terrace/internal/core"
)

// A gate says what a stage waits for before it may enter its environment, nothing when
// it has nothing against it. The lease (rule 4) and the order of releases (rules 6
// and 7) are not gates of one stage: see superseding.go.
type gate func(d *decider, p place) []core.Wait

// gates are all of rule 5, in the order in which people want to hear of them, by the name
// with which they are skipped. Every gate is asked again for each decision, so one that
// closes stops whoever has not entered yet.
var gates = []struct {
	name core.Gate
	gate gate
}{
	{core.GateProject, projectGoesOn},
	{core.GateUpstream, verifiedUpstream},
	{core.GateUpstream, caughtUp},
	{core.GateHold, noHold},
	{"", timeAllows}, // leaves out by itself what was skipped
	{core.GateParity, alike},
}

// obstacles returns all that a stage waits for apart from the lease and its turn, nothing
// when it may enter.
func (d *decider) obstacles(p place) (all []core.Wait) {
	for _, g := range gates {
		if !p.st.skips(g.name) {
			all = append(all, g.gate(d, p)...)
		}
	}
	return secondPerson(p, all)
}

// projectGoesOn is rule 2: nothing enters anything while the project is stopped.
func projectGoesOn(d *decider, _ place) []core.Wait {
	if d.Stopped == "" {
		return nil
	}
	return []core.Wait{stoppedWait(d.Project, d.Stopped)}
}

// verifiedUpstream is the heart of rule 5: the release is verified, its bake
// included, in every environment named in after. A stage becomes succeeded only after
// both, so its status is the answer; a rollout that tries a release again also takes
// the earlier rollout's verification. Rule 26: a sandbox proves nothing.
func verifiedUpstream(d *decider, p place) (all []core.Wait) {
	for _, name := range p.st.Config.After {
		up := p.ro.stage(name)
		switch {
		case up != nil && up.Config.Sandbox:
			all = append(all, deadEndWait(name, aSandbox, p.number()))
		case d.verified(p.ro, name):
		case up == nil || !up.Status.Terminal():
			all = append(all, upstreamWait(name, p.number()))
		default:
			all = append(all, deadEndWait(name, ended(up), p.number()))
		}
	}
	return all
}

const aSandbox = "is a sandbox and never feeds a promotion"

// verified reports whether a rollout's release has passed an environment, and was not
// rolled back from there since.
func (d *decider) verified(ro *Rollout, name string) bool {
	if up := ro.stage(name); up != nil {
		switch up.Status {
		case core.StageSucceeded:
			if !up.Withdrawn {
				return true
			}
		case core.StageFailed, core.StageErrored, core.StageCancelled:
			return false // what was true before this rollout tried is not known to hold any more
		}
	}
	return ro.Release.Number > 0 && d.Environments[name].Verified == ro.Release.Number
}

// unreachable says why a waiting stage can never enter any more, nothing when it still
// may: an environment before it ended badly, or can never be entered itself.
func (d *decider) unreachable(p place) []core.Wait {
	if name, why := d.unreachableIn(p.ro, p.st, len(p.ro.Stages)); name != "" {
		return []core.Wait{deadEndWait(name, why, p.number())}
	}
	return nil
}

func (d *decider) unreachableIn(ro *Rollout, st *Stage, depth int) (name, why string) {
	if st.skips(core.GateUpstream) {
		return "", ""
	}
	for _, name := range st.Config.After {
		up := ro.stage(name)
		switch {
		case up != nil && up.Config.Sandbox:
			return name, aSandbox
		case d.verified(ro, name):
		case up == nil:
			return name, "this release does not go through"
		case up.Status.Terminal():
			return name, ended(up)
		case up.Status == core.StageWaiting && depth > 0:
			if further, why := d.unreachableIn(ro, up, depth-1); further != "" {
				return name, "waits for " + further + ", which " + why
			}
		}
	}
	return "", ""
}

// stage finds a rollout's stage by its environment.
func (ro *Rollout) stage(environment string) *Stage {
	for i := range ro.Stages {
		if ro.Stages[i].Config.Name == environment {
			return &ro.Stages[i]
		}
	}
	return nil
}

// ended says of a stage that is over why what comes after it does not begin.
func ended(st *Stage) string {
	switch st.Status {
	case core.StageCancelled, core.StageSuperseded:
		return "was " + string(st.Status)
	case core.StageSucceeded:
		return "was rolled back since"
	}
	return string(st.Status)
}
