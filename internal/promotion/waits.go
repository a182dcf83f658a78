package promotion

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// What stages wait for, as data. Every text is made here.

// stoppedWait is rule 2.
func stoppedWait(project, why string) core.Wait {
	return core.Wait{Gate: core.GateProject, On: project, What: "the project, which is stopped: " + why,
		OpensBy: "terrace project acknowledge " + project, ForPerson: true}
}

// upstreamWait is rule 5 while the environment before may still be verified.
func upstreamWait(name string, release int64) core.Wait {
	return core.Wait{Gate: core.GateUpstream, On: name, What: name + ": not verified yet",
		OpensBy: fmt.Sprintf("release %d verified in %s, its bake included", release, name)}
}

// catchUpWait is rule 23: what was skipped on the way here comes first.
func catchUpWait(here core.EnvironmentState, name string, verified int64) core.Wait {
	at := "has verified no release"
	if verified > 0 {
		at = fmt.Sprintf("is at release %d", verified)
	}
	return core.Wait{Gate: core.GateUpstream, On: name,
		What:    fmt.Sprintf("%s, which release %d skipped on its way into %s: it %s and catches up first", name, here.Ahead, here.Name, at),
		OpensBy: fmt.Sprintf("release %d or a newer one verified in %s, or: %s", here.Ahead, name, skipWith(here.Name, core.GateUpstream))}
}

// deadEndWait is an environment before that will not be verified by this rollout any more.
func deadEndWait(name, why string, release int64) core.Wait {
	return core.Wait{Gate: core.GateUpstream, On: name, What: name + ", which " + why,
		OpensBy: fmt.Sprintf("a newer release, or: terrace rollout start --commit %d", release)}
}

// holdWait is rule 22.
func holdWait(environment string, hold core.Hold) core.Wait {
	w := core.Wait{Gate: core.GateHold, On: environment, What: fmt.Sprintf("a hold on %s: %s", environment, hold.Reason),
		OpensBy: "terrace unhold " + environment, ForPerson: true}
	if hold.Kind == core.HoldFailure {
		w.OpensBy = fmt.Sprintf("a newer release, or: terrace rollout start --commit %d, or: terrace unhold %s", hold.Release, environment)
	}
	return w
}

// freezeWait is rule 24.
func freezeWait(environment string, f Freeze) core.Wait {
	w := core.Wait{Gate: core.GateFreeze, On: environment, Until: f.Until, What: "a freeze of " + environment, OpensBy: "its end"}
	if !f.Until.IsZero() {
		w.What += " until " + moment(f.Until, f.Zone)
	}
	if f.Reason != "" {
		w.What += ": " + f.Reason
	}
	w.What += " (" + f.By + ")"
	if f.ID == "" {
		w.OpensBy += ", or: " + skipWith(environment, core.GateFreeze)
		return w
	}
	lift := "terrace unfreeze " + environment
	if f.Everywhere {
		lift = "terrace unfreeze --all"
	}
	w.On, w.OpensBy = f.ID, w.OpensBy+", or: "+lift
	if f.Until.IsZero() {
		w.OpensBy, w.ForPerson = lift, true
	}
	return w
}

// skipWith is the command that leaves a gate out for one release.
func skipWith(environment string, gate core.Gate) string {
	return fmt.Sprintf("terrace promote %s --skip-gate %s --reason …", environment, gate)
}

// skipWait is rule 23 where the guardrails want a second person.
func skipWait(p place, s core.Skip) core.Wait {
	var gates []string
	for _, g := range s.Gates {
		gates = append(gates, string(g))
	}
	return core.Wait{Gate: core.GateSkip, On: p.st.ID, ForPerson: true, OpensBy: "terrace approve " + p.st.ID,
		What: fmt.Sprintf("somebody other than %s who agrees to skip %s (%s)", s.By, strings.Join(gates, " and "), s.Reason)}
}

// windowWait is rule 24. A zero opening is none that can be foreseen.
func windowWait(environment string, opening time.Time, zone *time.Location) core.Wait {
	w := core.Wait{Gate: core.GateWindow, On: environment, Until: opening.UTC(), OpensBy: "the opening of the window, or: " + skipWith(environment, core.GateWindow)}
	if opening.IsZero() {
		w.Until, w.OpensBy = opening, "other windows in terrace.hcl or the guardrails, or: "+skipWith(environment, core.GateWindow)
		w.What = fmt.Sprintf("the window of %s, which does not open in the next two weeks", environment)
		return w
	}
	w.What = fmt.Sprintf("the window of %s, which opens at %s", environment, moment(opening, zone))
	return w
}

// moment is a time as people plan with it.
func moment(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("15:04 on Monday, 2 January (MST)")
}

// orderWait is rules 6 and 7.
func orderWait(environment string, first int64, why string) core.Wait {
	return core.Wait{Gate: core.GateOrder, On: release(first), What: fmt.Sprintf("release %d, which goes first (%s)", first, why),
		OpensBy: fmt.Sprintf("the end of release %d in %s", first, environment)}
}

// leaseWait is rule 4.
func leaseWait(environment string, holder place) core.Wait {
	return core.Wait{Gate: core.GateLease, On: release(holder.number()),
		What:    fmt.Sprintf("the lease of %s, held by release %d (%s)", environment, holder.number(), holder.st.Status),
		OpensBy: fmt.Sprintf("the end of release %d in %s", holder.number(), environment)}
}

func release(n int64) string { return fmt.Sprintf("release %d", n) }

// approvalWaits is rule 11, one for each run that lacks approvals.
func approvalWaits(p place, waiting []Instance) (all []core.Wait) {
	for _, in := range waiting {
		if a := in.Run.Approval; a == nil || !a.Satisfied() {
			all = append(all, ApprovalWait(in.Run.Kind, p.instance(in), in.Run.ID, a))
		}
	}
	return all
}

// answerWait is rule 16: an inconclusive verification is never a pass. It pauses the
// stage, which keeps its lease, until it is asked again.
func answerWait(p place, in Instance) core.Wait {
	return core.Wait{Gate: core.GateVerification, On: p.instance(in),
		What:    fmt.Sprintf("an answer to the verification of %s, which was inconclusive%s", p.instance(in), because(in.Run)),
		OpensBy: p.again() + " asks again", ForPerson: true}
}

// again is the command that tries a stage's release there once more.
func (p place) again() string {
	switch {
	case p.ro.goesBack():
		return fmt.Sprintf("terrace rollback %s --to %d", p.st.Config.Name, p.number())
	case p.ro.repairs():
		return "terrace drift fix " + p.st.Config.Name
	}
	return fmt.Sprintf("terrace rollout start --commit %d", p.number())
}

// unansweredWait is rule 16 in a bake, which asks again by itself.
func unansweredWait(p place, in Instance) core.Wait {
	return core.Wait{Gate: core.GateVerification, On: p.instance(in),
		What:    fmt.Sprintf("verification of %s, which could not be answered%s and is asked again", p.instance(in), because(in.Watch)),
		OpensBy: "an answer"}
}

// fallenWait is a bake whose verification failed, until the others have stopped asking.
func fallenWait(p place, in Instance) core.Wait {
	return core.Wait{Gate: core.GateVerification, On: p.instance(in), What: fmt.Sprintf("nothing: verification of %s failed during the bake", p.instance(in)),
		OpensBy: "the end of the other verifications"}
}

// bakeWait is rule 17. How much is left changes all the time and is not in the text.
func bakeWait(p place, now time.Time) core.Wait {
	w := core.Wait{Gate: core.GateBake, On: p.st.Config.Name, What: "the end of its bake (" + span(p.st.Config.Bake) + ")", OpensBy: "the end of the bake, or: " + skipWith(p.st.Config.Name, core.GateBake)}
	if left := p.st.Config.Bake - p.st.Baked; left > 0 {
		w.Until = now.Add(left).UTC()
	}
	return w
}

// recoveryWait is rule 20.
func recoveryWait(p place, in *Instance) core.Wait {
	name := p.instance(*in)
	w := core.Wait{Gate: core.GateUnknown, On: name, What: name + ", whose outcome is unknown", ForPerson: true}
	switch {
	case in.Run == nil:
		w.OpensBy = "terrace run list shows the run to recover"
	case in.Run.Kind == core.KindRecover && !in.Run.Status.Terminal():
		w.What, w.OpensBy, w.ForPerson = fmt.Sprintf("%s, which is being recovered by %s", name, in.Run.ID), "the end of "+in.Run.ID, false
	case in.Run.Status == core.RunUnknown:
		w.OpensBy = "terrace run recover " + in.Run.ID
	default:
		w.What += " after " + in.Run.ID
		w.OpensBy = "terrace run show " + in.Run.ID
	}
	return w
}

// moveWaits is rule 27, one for each instance that cannot get its other name yet.
func moveWaits(p place, moving []Instance) (all []core.Wait) {
	for _, in := range moving {
		all = append(all, core.Wait{Gate: core.GateMove, On: p.instance(in), OpensBy: in.MoveOpensBy,
			What: fmt.Sprintf("%s, which becomes %s and %s", core.InstanceName(in.MovesFrom, p.st.Config.Name), p.instance(in), in.MoveWaits)})
	}
	return all
}

// imageWaits are images that another stage builds.
func imageWaits(p place, images []Instance) (all []core.Wait) {
	for _, in := range images {
		all = append(all, core.Wait{Gate: core.GateRuns, On: p.instance(in), What: fmt.Sprintf("the image %s, which %s builds for another environment", core.ImageOf(in.Stack), in.BuiltBy),
			OpensBy: "its end"})
	}
	return all
}

// stoppingWait is a stage that somebody cancelled.
func stoppingWait(p place) core.Wait {
	return core.Wait{Gate: core.GateRuns, On: p.st.Config.Name, What: "its runs, which were asked to stop", OpensBy: "their end"}
}

// leavingWait is a stage that makes room for a rollback.
func leavingWait(p, back place) core.Wait {
	return core.Wait{Gate: core.GateRuns, On: p.st.Config.Name, What: fmt.Sprintf("its runs, which end for the rollback to release %d", back.number()), OpensBy: "their end"}
}

// lookWait is an automatic rollback before anything of it is applied.
func lookWait(p place) core.Wait {
	return core.Wait{Gate: core.GateRuns, On: p.st.Config.Name, What: "the plans of all its instances, which an automatic rollback makes before it changes anything", OpensBy: "their end"}
}

func (p place) instance(in Instance) string { return core.InstanceName(in.Stack, p.st.Config.Name) }

// says are the gates whose text ends with what to do; the others' say so themselves.
var says = []core.Gate{core.GateApproval, core.GateVerification, core.GateUnknown, core.GateMove}

// Text is what a stage waits for in one line: the first of its waits, and all others of
// the same gate.
func Text(waits []core.Wait) string {
	var texts []string
	for _, w := range waits {
		if w.Gate != waits[0].Gate {
			continue
		}
		text := w.What
		if slices.Contains(says, w.Gate) && strings.HasPrefix(w.OpensBy, "terrace ") {
			text += ": " + w.OpensBy
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, "; ")
}

// ForPerson reports whether what a stage waits for first comes from a person and from
// nobody else, so that waiting longer helps nothing. Waits are in the order in which
// they can end.
func ForPerson(waits []core.Wait) bool { return len(waits) > 0 && waits[0].ForPerson }

// slack is how far the foreseen end of a wait may be off before it is stored anew: a
// bake's end moves a little with every look.
const slack = 10 * time.Second

// continued gives waits the beginning of those that they continue.
func continued(waits, stored []core.Wait, now time.Time) []core.Wait {
	for i := range waits {
		w := &waits[i]
		w.Since = now
		for _, old := range stored {
			if old.Gate != w.Gate || old.On != w.On {
				continue
			}
			w.Since = old.Since
			if off := w.Until.Sub(old.Until).Abs(); !w.Until.IsZero() && off < slack {
				w.Until = old.Until
			}
		}
	}
	return waits
}

// same reports whether two lists say the same.
func same(a, b []core.Wait) bool {
	return slices.EqualFunc(a, b, func(a, b core.Wait) bool {
		return a.Gate == b.Gate && a.On == b.On && a.What == b.What && a.Since.Equal(b.Since) && a.Until.Equal(b.Until) &&
			a.OpensBy == b.OpensBy && a.ForPerson == b.ForPerson && slices.Equal(a.Who, b.Who)
	})
}
