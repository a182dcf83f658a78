package board

import (
	"context"
	"fmt"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Release converts a release.
func Release(r core.Release) wire.Release {
	return wire.Release{Number: r.Number, Commit: r.Commit, Subject: r.Subject(), Author: r.Author, Invalid: r.Invalid}
}

// Run converts a run without its documents.
func Run(r core.Run) wire.Run {
	out := wire.Run{ID: r.ID, Instance: r.Instance(), Stack: r.Stack, Environment: r.Environment, Project: r.Project, Rollout: r.Rollout,
		Kind: string(r.Kind), Status: string(r.Status), Release: Release(r.Release), Changes: wire.Changes(r.Changes), NoChanges: r.NoChanges,
		Attempt: r.Attempt, Created: r.Created, Started: r.Started, Finished: r.Finished, PlanDigest: r.PlanDigest}
	out.Preview = r.Preview
	if r.Error != nil {
		out.Error = &wire.Problem{Code: r.Error.Code, Message: r.Error.Message}
	}
	if _, _, boxed := core.SandboxOf(r.Project); boxed && r.Kind == core.KindDeploy {
		out.Kind = string(core.KindSandbox)
	}
	return out
}

// Rollout converts a rollout without its runs.
func Rollout(ro core.Rollout) wire.Rollout {
	out := wire.Rollout{ID: ro.ID, Project: ro.Project, Kind: string(ro.Kind), From: ro.From, Reason: ro.Reason, Release: Release(ro.Release), Status: string(ro.Status), By: ro.By, AllHosts: ro.AllHosts,
		Created: ro.Created, Finished: ro.Finished, Stages: []wire.Stage{}}
	for _, st := range ro.Stages {
		stage := wire.Stage{ID: st.ID, Environment: st.Environment, Status: string(st.Status), WaitsFor: st.WaitsFor, ForPerson: promotion.ForPerson(st.Waits), Waits: Waits(st.Waits), Skips: skips(st.Skips), Started: st.Started, Finished: st.Finished}
		if st.Baked > 0 {
			stage.BakedFor = st.Baked.String()
		}
		out.Stages = append(out.Stages, stage)
	}
	return out
}

// Waits converts what a stage waits for.
func Waits(all []core.Wait) (out []wire.Wait) {
	for _, w := range all {
		out = append(out, wire.Wait{Gate: string(w.Gate), On: w.On, What: w.What, Since: w.Since, Until: w.Until, OpensBy: w.OpensBy, ForPerson: w.ForPerson, Who: w.Who})
	}
	return out
}

func skips(all []core.Skip) (out []wire.Skip) {
	for _, s := range all {
		out = append(out, Skip(s))
	}
	return out
}

// Skip converts what a person said about gates.
func Skip(s core.Skip) wire.Skip {
	out := wire.Skip{Gates: []string{}, By: s.By, Reason: s.Reason, At: s.At, Second: s.Second, SecondReason: s.SecondReason, SecondAt: s.SecondAt}
	for _, g := range s.Gates {
		out.Gates = append(out.Gates, string(g))
	}
	return out
}

// ProjectOf converts a project. withHook adds the webhook and its secret.
func (s *Service) ProjectOf(ctx context.Context, p core.Project, withHook bool) (wire.Project, error) {
	out := wire.Project{Name: p.Name, Repo: p.Repo, Branch: p.Branch, Path: p.Path, Created: p.Created, Head: p.Head, Checked: p.Checked,
		CheckError: p.CheckError, Stopped: p.Stopped, Environments: []string{}}
	if p.Forge != nil {
		out.Forge = &wire.Forge{Kind: p.Forge.Kind, URL: p.Forge.URL, Repo: p.Forge.Repo, Trouble: p.Forge.Trouble}
	}
	if withHook && p.Sandbox == nil {
		secret, err := s.Projects.WebhookSecret(p)
		if err != nil {
			return out, err
		}
		out.Webhook = &wire.Webhook{URL: s.Webhook(p.Name), Secret: secret}
	}
	var newest core.Release
	err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		newest, err = tx.LatestRelease(p.Name)
		return err
	})
	if core.CodeOf(err) == core.NotFound || err == nil && newest.Invalid != "" {
		return out, nil
	} else if err != nil {
		return out, err
	}
	cfg, err := s.Wanted.Config(ctx, p, newest.Commit)
	if err != nil {
		return out, err
	}
	for _, e := range cfg.Environments {
		out.Environments = append(out.Environments, e.Name)
	}
	return out, nil
}

// AllProjects lists projects.
func (s *Service) AllProjects(ctx context.Context) ([]wire.Project, error) {
	ps, err := s.Projects.List(ctx)
	if err != nil {
		return nil, err
	}
	out := []wire.Project{}
	for _, p := range ps {
		if p.Sandbox != nil {
			continue // see Sandboxes
		}
		w, err := s.ProjectOf(ctx, p, false)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, nil
}

// Rollouts lists rollouts, newest first.
func (s *Service) Rollouts(ctx context.Context, project string, limit int) ([]wire.Rollout, error) {
	if _, err := s.Projects.Get(ctx, project); err != nil {
		return nil, err
	}
	out := []wire.Rollout{}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		ros, err := tx.Rollouts(project, false, limit)
		out = out[:0]
		for _, ro := range ros {
			out = append(out, Rollout(ro))
		}
		return err
	})
	return out, err
}

// Rollout returns one rollout with its runs.
func (s *Service) Rollout(ctx context.Context, id string) (out wire.Rollout, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		ro, err := tx.Rollout(id)
		if err != nil {
			return err
		}
		out = Rollout(ro)
		list, err := tx.Runs(core.RunFilter{Project: ro.Project, Rollout: id})
		for _, r := range list {
			out.Runs = append(out.Runs, Run(r))
		}
		return err
	})
	return out, err
}

// AllRuns lists runs, newest first; those of a stack also under the names that it had.
func (s *Service) AllRuns(ctx context.Context, f core.RunFilter) ([]wire.Run, error) {
	if _, err := s.Projects.Get(ctx, f.Project); err != nil {
		return nil, err
	}
	out := []wire.Run{}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		f := f
		if f.Stack != "" {
			moves, err := tx.Moves(f.Project)
			if err != nil {
				return err
			}
			f.Stack, f.Stacks = "", core.Formerly(moves, f.Stack, f.Environment)
		}
		list, err := tx.Runs(f)
		out = out[:0]
		for _, r := range list {
			out = append(out, Run(r))
		}
		return err
	})
	return out, err
}

// Run returns one run with what is known of its checks, approvals, provisioning and
// verification. who asks.
func (s *Service) Run(ctx context.Context, id, who string) (out wire.Run, err error) {
	var r core.Run
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		if r, err = tx.Run(id); err != nil {
			return err
		}
		out = Run(r)
		for kind, doc := range map[string]any{"checks": &out.Checks, "recap": &out.Recap, "verify": &out.Verified, "phases": &out.Phases, "before_change": &out.Before} {
			if err := s.Runs.Doc(tx, id, kind, doc); err != nil && core.CodeOf(err) != core.NotFound {
				return err
			}
		}
		if r.Kind == core.KindDrift {
			out.Drift = &wire.Drift{}
			if err := s.Runs.Doc(tx, id, runs.DriftDoc, out.Drift); core.CodeOf(err) == core.NotFound {
				out.Drift = nil
			} else if err != nil {
				return err
			}
		}
		var provisioned wire.Provisioned
		if err := s.Runs.Doc(tx, id, runs.HostsDoc, &provisioned); err != nil && core.CodeOf(err) != core.NotFound {
			return err
		}
		out.Hosts, out.Warnings = provisioned.Hosts, provisioned.Warnings
		out.Ansible = &wire.Foreseen{}
		if err := s.Runs.Doc(tx, id, runs.ForeseenDoc, out.Ansible); core.CodeOf(err) == core.NotFound {
			out.Ansible = nil
		} else if err != nil {
			return err
		}
		out.Foretold = &wire.Foretold{}
		if err := s.Runs.Doc(tx, id, runs.ForetoldDoc, out.Foretold); core.CodeOf(err) == core.NotFound {
			out.Foretold = nil
		} else if err != nil {
			return err
		}
		said, err := tx.VotesOf(id)
		out.Votes = votes(said)
		return err
	}); err != nil || r.Status != core.RunAwaitingApproval {
		return out, err
	}
	a := s.approval(ctx, r, who)
	out.Approval = &a
	return out, nil
}

// Plan returns a run's plan, masked. NotFound when it has none yet.
func (s *Service) Plan(ctx context.Context, id string) (*wire.Plan, error) {
	var plan wire.Plan
	err := s.Store.View(ctx, func(tx core.Tx) error {
		r, err := tx.Run(id)
		if err != nil {
			return err
		}
		err = s.Runs.Doc(tx, id, "plan", &plan)
		if core.CodeOf(err) == core.NotFound {
			return core.Errorf(core.NotFound, "%s of %s has no plan: it is %s", id, r.Instance(), r.Status)
		}
		return err
	})
	return &plan, err
}

// Logs returns up to limit chunks of a run's log after the chunk numbered after, and
// whether the run is over.
func (s *Service) Logs(ctx context.Context, run string, after int64, limit int) (chunks []wire.LogChunk, over bool, err error) {
	chunks = []wire.LogChunk{}
	err = s.Store.View(ctx, func(tx core.Tx) error {
		r, err := tx.Run(run)
		if err != nil {
			return err
		}
		over = r.Status.Terminal()
		list, err := tx.LogChunks(run, after, limit)
		chunks = chunks[:0]
		for _, c := range list {
			chunks = append(chunks, wire.LogChunk{Seq: c.Seq, Offset: c.Offset, Phase: c.Phase, Text: c.Text, At: c.At})
		}
		return err
	})
	return chunks, over, err
}

// Events lists the audit log after seq, oldest first.
func (s *Service) Events(ctx context.Context, project string, after int64, limit int) ([]wire.Event, error) {
	out := []wire.Event{}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		list, err := tx.Events(project, after, limit)
		out = out[:0]
		for _, e := range list {
			out = append(out, wire.Event{Seq: e.Seq, At: e.At, By: e.By, Kind: e.Kind, Project: e.Project, On: e.On, Data: e.Data, Hash: e.Hash})
		}
		if err != nil {
			return fmt.Errorf("reading the events: %w", err)
		}
		return nil
	})
	return out, err
}
