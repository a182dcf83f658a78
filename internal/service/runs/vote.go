package runs

import (
	"context"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
)

// maxReason bounds what somebody says to a plan, in bytes.
const maxReason = 2000

// Ballot is what somebody says to the plan of a run.
type Ballot struct {
	Approves bool
	Reason   string
	// Plan is the digest of the plan that was looked at, "" for whatever is there now.
	Plan string
}

// Vote takes what a person says to a plan that waits for approvals (rule 11). Once they
// suffice, the reconciler has the run planned again, and it is applied if its plan is
// still the same. One rejection ends the run. Errors: Conflict when it waits for nobody,
// or the plan is another one than was looked at; Denied when this person may not.
func (s *Service) Vote(ctx context.Context, by, id string, b Ballot) (run core.Run, err error) {
	if len(b.Reason) > maxReason {
		return run, core.Errorf(core.Invalid, "the reason has %d bytes; at most %d are kept", len(b.Reason), maxReason)
	}
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		run, err = tx.Run(id)
		return err
	}); err != nil {
		return run, err
	}
	l, err := s.law(ctx, run)
	if err != nil {
		return run, err
	}
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if run, err = tx.Run(id); err != nil {
			return err
		}
		p, err := s.proposal(tx, run, l, by)
		if err != nil {
			return err
		}
		now := run.Binding()
		now.Guardrails = l.Guardrails
		if now.State, err = stateOf(tx, run); err != nil {
			return err
		}
		if err := mayVote(tx, run, p, now, by, b); err != nil {
			return err
		}
		return s.vote(tx, &run, by, b)
	})
	if project := run.Project; project != "" {
		s.Bus.Changed(project) // also when it was refused: what is out of date is planned again
	}
	return run, err
}

// mayVote refuses a vote that would be for something else, or that does not count.
func mayVote(tx core.Tx, run core.Run, p promotion.Proposal, now core.Binding, by string, b Ballot) error {
	if run.Status != core.RunAwaitingApproval {
		return core.Errorf(core.Conflict, "%s of %s is %s; it does not wait for an approval", run.ID, run.Instance(), run.Status)
	}
	if b.Plan != "" && b.Plan != run.PlanDigest {
		return core.Errorf(core.Conflict, "the plan of %s is another one than you looked at; look again: terrace run plan %s", run.Instance(), run.ID)
	}
	if stale := promotion.Stale(run.Instance(), run.Binding(), now); stale != "" && b.Approves {
		return core.Errorf(core.Conflict, "%s, so it is planned again; look at the new plan then: terrace run plan %s", stale, run.ID)
	}
	if why := promotion.MayVote(p, by, b.Approves); why != "" {
		return core.Errorf(core.Denied, "%s", why)
	}
	tally := promotion.Count(p, tx.Now())
	if given := tally.By(by); given != nil && b.Approves {
		missing := tally.Words()
		if missing == "" {
			missing = "nothing; it goes on as soon as it can"
		}
		return core.Errorf(core.Conflict, "you approved this plan of %s already; what is missing: %s", run.Instance(), missing)
	}
	return nil
}

func (s *Service) vote(tx core.Tx, run *core.Run, by string, b Ballot) error {
	now := tx.Now()
	if err := tx.AddVote(core.Vote{ID: core.NewID(core.PrefixVote, now), Project: run.Project, Stage: run.Stage, Run: run.ID, Stack: run.Stack,
		Binding: run.Binding(), By: by, At: now, Reason: b.Reason, Approves: b.Approves}); err != nil {
		return err
	}
	kind := "run.approved"
	if !b.Approves {
		kind = "run.rejected"
	}
	if err := tx.AddEvent(core.Event{By: by, Kind: kind, Project: run.Project, On: run.ID,
		Data: map[string]string{"instance": run.Instance(), "plan": run.PlanDigest, "reason": b.Reason}}); err != nil || b.Approves {
		return err
	}
	message := "rejected by " + by
	if b.Reason != "" {
		message += ": " + b.Reason
	}
	run.Error = &core.RunError{Code: "cancelled", Message: message}
	if err := move(tx, run, core.RunCancelled, core.ByPerson, by); err != nil {
		return err
	}
	return s.ended(tx, *run)
}

// Resume has a run that awaits approvals planned again. Whether the plan that comes of it
// is the approved one is decided when it is there.
func (s *Service) Resume(tx core.Tx, id, why string) error {
	run, err := tx.Run(id)
	if err != nil {
		return err
	}
	run.Fence = 0   // no runner has it
	run.Attempt = 0 // attempts count lost runners, and this one came to its end
	if err := tx.AddEvent(core.Event{By: "server", Kind: "run.resumed", Project: run.Project, On: id, Data: map[string]string{"why": why}}); err != nil {
		return err
	}
	return move(tx, &run, core.RunQueued, core.ByReconciler, "server")
}
