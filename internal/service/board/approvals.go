package board

import (
	"context"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Approvals lists the runs that wait for approvals, of one project or, for "", of all, the
// longest waiting first. who asks.
func (s *Service) Approvals(ctx context.Context, project, who string) ([]wire.Approval, error) {
	if project != "" {
		if _, err := s.Projects.Get(ctx, project); err != nil {
			return nil, err
		}
	}
	var waiting []core.Run
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		waiting, err = tx.Runs(core.RunFilter{Project: project, Statuses: []core.RunStatus{core.RunAwaitingApproval}})
		return err
	}); err != nil {
		return nil, err
	}
	slices.SortStableFunc(waiting, func(a, b core.Run) int { return a.PhaseAt.Compare(b.PhaseAt) })
	out := []wire.Approval{}
	for _, r := range waiting {
		out = append(out, s.approval(ctx, r, who))
	}
	return out, nil
}

// approval converts what a run waits for that awaits approvals. Where that cannot be found
// out, it says so: the others are shown all the same.
func (s *Service) approval(ctx context.Context, r core.Run, who string) wire.Approval {
	p, a, err := s.Runs.Approval(ctx, r, who)
	out := wire.Approval{Run: r.ID, Project: r.Project, Instance: r.Instance(), Kind: string(r.Kind), Rollout: r.Rollout, Stage: r.Stage, Release: Release(r.Release),
		AskedBy: p.Requester, Since: r.PhaseAt, Changes: wire.Changes(r.Changes), Binding: binding(r.Binding()), Requirements: []wire.Requirement{}, Votes: votes(p.Votes),
		WaitsFor: promotion.Text([]core.Wait{promotion.ApprovalWait(r.Kind, r.Instance(), r.ID, &a)}), Again: a.Again(), MayNot: promotion.MayVote(p, who, true)}
	if err != nil {
		out.WaitsFor = promotion.Text([]core.Wait{promotion.ApprovalWait(r.Kind, r.Instance(), r.ID, nil)})
		out.MayNot = "what it needs cannot be found out: " + core.MessageOf(err)
	}
	if a.By(who) != nil {
		out.MayNot = "you approved it already"
	}
	out.May = out.MayNot == ""
	for _, req := range p.Requirements {
		missing := 0
		for _, m := range a.Missing {
			if m.Source == req.Source && m.Why == req.Why {
				missing = m.Need
			}
		}
		out.Requirements = append(out.Requirements, wire.Requirement{Source: req.Source, Why: req.Why, Count: req.Count, From: append([]string{}, req.From...),
			Others: req.Others, Expires: req.Expires.String(), Missing: missing})
	}
	for i, v := range out.Votes {
		for _, void := range a.Void {
			if void.ID == v.ID {
				out.Votes[i].Void = void.Why // also by time alone
			}
		}
	}
	return out
}

func binding(b core.Binding) wire.Binding {
	return wire.Binding{Release: b.Release, Environment: b.Environment, Plan: b.Plan, Lineage: b.State.Lineage, Serial: b.State.Serial, Guardrails: b.Guardrails}
}

func votes(list []core.Vote) []wire.Vote {
	out := []wire.Vote{}
	for _, v := range list {
		verdict := "reject"
		if v.Approves {
			verdict = "approve"
		}
		out = append(out, wire.Vote{ID: v.ID, Run: v.Run, By: v.By, At: v.At, Verdict: verdict, Reason: v.Reason, Binding: binding(v.Binding), Void: v.Void})
	}
	return out
}
