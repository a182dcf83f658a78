package promotion

import (
	"fmt"

	"github.com/terrace-cd/terrace/internal/core"
)

// noHold is the last part of rule 5, with rule 22: what a failure set is passed by
// a newer release, which is the correction, and by a rollout that a person started on
// purpose. What a rollback set is passed by another one that a person asks for, what a
// person set by nobody.
func noHold(d *decider, p place) []core.Wait {
	hold := d.Environments[p.st.Config.Name].Hold
	if hold == nil || passes(p, *hold) {
		return nil
	}
	return []core.Wait{holdWait(p.st.Config.Name, *hold)}
}

func passes(p place, hold core.Hold) bool {
	if p.ro.goesBack() {
		return hold.Kind == core.HoldFailure || hold.Kind == core.HoldRollback && p.ro.Manual
	}
	return hold.Kind == core.HoldFailure && (p.number() > hold.Release || p.ro.Manual)
}

// holdFor is rule 18: an apply that went wrong half-way puts a hold on the
// environment, so that nothing older or equal enters by itself. It is decided before
// the stage ends and gives the lease back.
func (d *decider) holdFor(p place) {
	name := p.st.Config.Name
	if hold := d.Environments[name].Hold; hold != nil && (hold.Kind != core.HoldFailure || hold.Release >= p.number()) {
		return // what is there stops at least as much
	}
	for _, in := range p.st.Instances {
		if in.Run == nil || !in.Run.Applied || !wentWrong(in.Run.Status) || in.Run.Code == core.CodeInconclusive {
			continue // rule 16 pauses; the apply itself was complete
		}
		word := string(in.Run.Status)
		if in.Run.Status == core.RunCancelled {
			word = "was cancelled"
		}
		d.add(SetHold{Environment: name, Hold: core.Hold{
			Kind: core.HoldFailure,
			Reason: fmt.Sprintf("%s of release %d %s after it had begun to change infrastructure; a newer release passes, or: %s",
				core.InstanceName(in.Stack, name), p.number(), word, p.again()),
			By:      "server",
			Release: p.number(),
		}})
		return
	}
}

func wentWrong(s core.RunStatus) bool {
	return s == core.RunFailed || s == core.RunErrored || s == core.RunCancelled
}
