package runs

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/service/law"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Rollbacks (rule 21): what is looked at otherwise when a run takes an instance back.

// back is the rollback that a run belongs to, nil for none.
type back struct{ *core.Rollout }

func (b back) byHand() bool    { return b.Rollout != nil && b.Manual }
func (b back) automatic() bool { return b.Rollout != nil && !b.Manual }

// goesBack finds the rollback of a run. A preview that belongs to no rollout shows what one
// by hand would do.
func goesBack(tx core.Tx, run core.Run) (back, error) {
	switch {
	case run.Rollout != "":
		ro, err := tx.Rollout(run.Rollout)
		if err != nil || ro.Kind != core.RolloutRollback {
			return back{}, err
		}
		return back{&ro}, nil
	case run.Kind == core.KindPreview && run.Preview == "":
		return back{&core.Rollout{Kind: core.RolloutRollback, Release: run.Release, Manual: true}}, nil
	}
	return back{}, nil
}

// refuted reports whether a run ends because its verification said no, and for nothing else.
func refuted(run core.Run, to core.RunStatus, probes []wire.Probe) bool {
	return to == core.RunFailed && run.Status == core.RunVerifying &&
		slices.ContainsFunc(probes, func(p wire.Probe) bool { return p.Verdict == "fail" })
}

// beforeKeeping is the document of a rollback's run with what its plan would have done, had
// nothing been left out of it.
const beforeKeeping = "before-keeping"

type wholePlan struct {
	Changes []string          `json:"changes"` // "delete aws_vpc.a"
	Kept    map[string]string `json:"kept"`    // address to why
}

// keeps asks for a plan without the destruction of what is protected, when there is any.
// Only OpenTofu can leave something out; elsewhere the plan is denied.
func (s *Service) keeps(tx core.Tx, run core.Run, planned wire.Planned, l law.Law) (wire.Next, error) {
	if planned.Versions.Engine.Name != "tofu" || len(planned.Excluded) > 0 {
		return wire.Next{}, nil
	}
	in, err := s.input(tx, run, planned, nil, l)
	if err != nil {
		return wire.Next{}, err
	}
	keep := guard.Keep(in)
	if len(keep) == 0 {
		return wire.Next{}, nil
	}
	whole := wholePlan{Kept: map[string]string{}}
	next := wire.Next{Do: "replan", Replace: planned.Replaced}
	for _, k := range keep {
		whole.Kept[k.Address] = k.Why
		next.Exclude = append(next.Exclude, k.Address)
	}
	for _, r := range planned.Plan.Resources {
		whole.Changes = append(whole.Changes, r.Action+" "+r.Address)
	}
	next.Reason = fmt.Sprintf("release %d does not have %s; a rollback keeps what is protected", run.Release.Number, strings.Join(next.Exclude, ", "))
	return next, s.putDoc(tx, run.ID, beforeKeeping, whole)
}

// kept says what a rollback keeps, and denies one that would have to leave more undone.
func (s *Service) kept(tx core.Tx, run core.Run, planned wire.Planned) (checks []wire.Check, err error) {
	var whole wholePlan
	if err := s.Doc(tx, run.ID, beforeKeeping, &whole); err != nil {
		return nil, err
	}
	for _, address := range planned.Excluded {
		if whole.Kept[address] == "" {
			return nil, core.Errorf(core.Conflict, "%s was left out of the plan of %s, and nobody asked for it", address, run.ID)
		}
		checks = append(checks, wire.Check{Name: "kept", Verdict: guard.Warn,
			Message: fmt.Sprintf("%s keeps %s, which release %d does not have (%s). It stays in the state, and protected, until a release that has it comes or an exception lets it go", run.Instance(), address, run.Release.Number, whole.Kept[address])})
	}
	if held := guard.HeldBack(whole.Changes, planned.Plan, planned.Excluded); len(held) > 0 {
		checks = append(checks, wire.Check{Name: "kept", Verdict: guard.Deny,
			Message: fmt.Sprintf("%s cannot go back to release %d: to keep %s, the engine would leave out %s too, which has to change. Let the change go through as a new commit, or let what is kept be destroyed: terrace except %s 'ADDRESS' --for 2h --reason \"…\"",
				run.Instance(), run.Release.Number, strings.Join(planned.Excluded, ", "), strings.Join(held, ", "), run.Instance())})
	}
	return checks, nil
}

// keep notes what an instance keeps from here on that its release does not have. A plan from
// which nothing was left out is about everything, so there is nothing.
func keep(tx core.Tx, run core.Run, b back, planned wire.Planned) error {
	if run.Kind != core.KindDeploy {
		return nil
	}
	instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
	if err != nil || len(instance.Kept)+len(planned.Excluded) == 0 {
		return err
	}
	kept := map[string]string{}
	if len(planned.Excluded) > 0 {
		maps.Copy(kept, instance.Kept)
	}
	for _, address := range planned.Excluded {
		kept[address] = fmt.Sprintf("the rollback to release %d", b.Release.Number)
	}
	instance.Kept = kept
	return tx.PutInstance(instance)
}

// untouched denies a plan of a rollback that nobody asked for and that changes anything protected.
func untouched(run core.Run, p wire.Plan, l law.Law) []wire.Check {
	touched := guard.Touched(l.Protection(run.Stack, ""), p)
	if len(touched) == 0 {
		return []wire.Check{{Name: "rollback", Verdict: guard.Pass, Message: "nothing protected is touched"}}
	}
	return []wire.Check{{Name: "rollback", Verdict: guard.Deny,
		Message: fmt.Sprintf("%s would go back to release %d by itself, and touch %s, which is protected; nobody has decided that. Look at it and do it by hand: terrace rollback %s --to %d",
			run.Instance(), run.Release.Number, strings.Join(touched, ", "), run.Environment, run.Release.Number)}}
}
