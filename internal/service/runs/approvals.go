package runs

import (
	"context"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/law"
	"github.com/terrace-cd/terrace/internal/wire"
)

// proposal gathers what decides about the plan of a run (rules 11, 15 and 27): what the
// sources of the law ask for, and what was said to it. who is somebody who wants to vote,
// "" for nobody.
func (s *Service) proposal(tx core.Tx, run core.Run, l law.Law, who string) (promotion.Proposal, error) {
	p := promotion.Proposal{Instance: run.Instance(), Kind: run.Kind, Binding: run.Binding(), Requirements: l.Approvals(), Groups: map[string][]string{}}
	if _, _, boxed := core.SandboxOf(run.Project); run.Kind == core.KindDestroy && !boxed {
		p.Requirements = append(p.Requirements, promotion.Requirement{Source: "its stack left the configuration (rule 27)", Count: 1, Expires: config.DefaultExpiry})
	}
	blasts, err := exceeded(tx, run, l)
	if err != nil {
		return p, err
	}
	for _, b := range blasts {
		p.Requirements = append(p.Requirements, promotion.Requirement{Source: b.From, Why: b.Why(), Count: 1, Expires: config.DefaultExpiry})
	}
	if len(p.Requirements) == 0 {
		return p, nil
	}
	if run.Rollout != "" {
		rollout, err := tx.Rollout(run.Rollout)
		if err != nil {
			return p, err
		}
		p.Requester = rollout.By
	}
	if p.Votes, err = tx.VotesOn(run.Stage, run.Stack); err != nil {
		return p, err
	}
	voters := []string{who}
	for _, v := range p.Votes {
		voters = append(voters, v.By)
	}
	introduce(&p, l.Rails, run.Release, voters)
	return p, nil
}

// introduce says who is in the groups that are asked for, and which of the voters wrote the
// commit.
func introduce(p *promotion.Proposal, rails *config.Guardrails, r core.Release, voters []string) {
	for _, asks := range p.Requirements {
		for _, from := range asks.From {
			if !strings.HasPrefix(from, "group:") || slices.Contains(p.Empty, from) {
				continue
			}
			members := rails.Members(from)
			if len(members) == 0 {
				p.Empty = append(p.Empty, from)
			}
			for _, who := range members {
				p.Groups[who] = append(p.Groups[who], from)
			}
		}
	}
	for _, who := range voters {
		for _, signature := range []string{r.Author, r.Committer} {
			known := rails.UserOf(signature)
			if known == who || known == "" && promotion.Wrote(strings.TrimPrefix(who, "user:"), signature) {
				p.Authors = append(p.Authors, who)
			}
		}
	}
}

// exceeded is rule 15: the limits of its stage that a run's plan goes beyond.
func exceeded(tx core.Tx, run core.Run, l law.Law) ([]guard.Blast, error) {
	limits := l.Limits()
	if run.Stage == "" || !slices.ContainsFunc(limits, func(l guard.Limit) bool { return l.MaxDestroy != nil || l.MaxReplace != nil }) {
		return nil, nil
	}
	siblings, err := tx.Runs(core.RunFilter{Project: run.Project, Stage: run.Stage})
	if err != nil {
		return nil, err
	}
	var applied core.Changes
	for _, r := range siblings {
		if r.Applied && r.ID != run.ID {
			applied.Delete, applied.Replace = applied.Delete+r.Changes.Delete, applied.Replace+r.Changes.Replace
		}
	}
	return guard.Exceeded(limits, applied, run.Changes), nil
}

// approved decides whether a plan that was just made may be applied, notes what it was made
// from, and voids the approvals of another one. It is nil for a plan that changes nothing,
// which nobody approves (rule 9).
func (s *Service) approved(tx core.Tx, run *core.Run, l law.Law, changed map[string]string) (*promotion.Approval, error) {
	if run.NoChanges || run.Kind != core.KindDeploy && run.Kind != core.KindDestroy {
		return nil, nil
	}
	var err error
	if run.PlanState, err = stateOf(tx, *run); err != nil {
		return nil, err
	}
	p, err := s.proposal(tx, *run, l, "")
	if err != nil {
		return nil, err
	}
	p.Changed = changed
	a := &promotion.Approval{Tally: promotion.Count(p, tx.Now()), Changes: run.Changes}
	for _, v := range a.Void {
		if !v.Changed || v.Void != "" {
			continue
		}
		if err := tx.VoidVote(v.ID, v.Why); err != nil {
			return nil, err
		}
		if err := tx.AddEvent(core.Event{By: "server", Kind: "approval.void", Project: run.Project, On: run.ID,
			Data: map[string]string{"instance": run.Instance(), "of": v.By, "why": v.Why}}); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// changedSince says what a plan would do that the approved ones of its stage would not, by vote.
func (s *Service) changedSince(tx core.Tx, run core.Run, planned wire.Planned, f foresight) (map[string]string, error) {
	if run.Stage == "" {
		return nil, nil
	}
	votes, err := tx.VotesOn(run.Stage, run.Stack)
	changed := map[string]string{}
	for _, v := range votes {
		if v.Void != "" || v.Plan == run.PlanDigest {
			continue
		}
		if changed[v.ID], err = s.difference(tx, v, planned, f); err != nil {
			return nil, err
		}
	}
	return changed, err
}

// stateOf names the state that an instance has, wherever it is.
func stateOf(tx core.Tx, run core.Run) (core.StateRef, error) {
	kept, err := tx.Held(run.Project, run.Stack, run.Environment)
	switch {
	case err != nil:
		return core.StateRef{}, err
	case kept.Own != nil:
		return core.StateRef{Lineage: kept.Own.Lineage, Serial: kept.Own.Serial}, nil
	case kept.Current != nil:
		return core.StateRef{Lineage: kept.Current.Lineage, Serial: kept.Current.Serial}, nil
	}
	return core.StateRef{}, nil
}

// Approval says how it stands with a run that awaits approvals. who is somebody who might
// vote, "" for nobody.
func (s *Service) Approval(ctx context.Context, run core.Run, who string) (promotion.Proposal, promotion.Approval, error) {
	l, err := s.law(ctx, run)
	if err != nil {
		return promotion.Proposal{}, promotion.Approval{}, err
	}
	var p promotion.Proposal
	var a promotion.Approval
	err = s.Store.View(ctx, func(tx core.Tx) error {
		if p, err = s.proposal(tx, run, l, who); err != nil {
			return err
		}
		now := run.Binding()
		now.Guardrails = l.Guardrails
		if now.State, err = stateOf(tx, run); err != nil {
			return err
		}
		a = promotion.Approval{Tally: promotion.Count(p, tx.Now()), Changes: run.Changes, Stale: promotion.Stale(run.Instance(), run.Binding(), now)}
		return nil
	})
	return p, a, err
}

// waitsWords is what a runner's log says last when its run waits.
func waitsWords(run core.Run, a *promotion.Approval) string {
	return "waits for " + promotion.Text([]core.Wait{promotion.ApprovalWait(run.Kind, run.Instance(), run.ID, a)})
}
