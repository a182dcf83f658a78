package board

import (
	"context"
	"fmt"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Sandboxes lists the sandboxes of a project, by name.
func (s *Service) Sandboxes(ctx context.Context, project string) ([]wire.Sandbox, error) {
	if _, err := s.Projects.Get(ctx, project); err != nil {
		return nil, err
	}
	out := []wire.Sandbox{}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		out = out[:0]
		all, err := projects.SandboxesOf(tx, project)
		if err != nil {
			return err
		}
		for _, p := range all {
			box, err := sandbox(tx, p)
			if err != nil {
				return err
			}
			out = append(out, box)
		}
		return nil
	})
	return out, err
}

// Sandbox tells how it stands with one.
func (s *Service) Sandbox(ctx context.Context, p core.Project) (out wire.Sandbox, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		out, err = sandbox(tx, p)
		return err
	})
	return out, err
}

func sandbox(tx core.Tx, p core.Project) (wire.Sandbox, error) {
	b := p.Sandbox
	out := wire.Sandbox{Name: b.Name, Project: b.Of, Base: b.Base, Branch: p.Branch, Owner: b.Owner, Stacks: b.Stacks, Variables: b.Variables, Created: p.Created, Expires: b.Expires, Key: p.Name,
		Status: "new", Reason: p.CheckError}
	if out.Stacks == nil {
		out.Stacks = []string{}
	}
	if release, err := tx.LatestRelease(p.Name); err == nil {
		r := Release(release)
		out.Release = &r
	} else if core.CodeOf(err) != core.NotFound {
		return out, err
	}
	newest, err := tx.Rollouts(p.Name, false, 1)
	if err != nil {
		return out, err
	}
	for _, ro := range newest {
		out.Rollout = ro.ID
		out.Status, out.Reason = how(tx, ro)
	}
	if b.Ending.IsZero() {
		return out, nil
	}
	under := len(newest) > 0 && !newest[0].Status.Terminal()
	why := fmt.Sprintf("it ends since %s, because %s", b.Ending.UTC().Format(time.RFC3339), b.Why)
	if !b.Retry.IsZero() && len(newest) > 0 && newest[0].Status.Terminal() && newest[0].Status != core.RolloutSucceeded && out.Reason != "" {
		why += fmt.Sprintf("; destroying it failed and is tried again at %s: %s", b.Retry.UTC().Format(time.RFC3339), out.Reason)
	}
	if under && out.Reason != "" {
		why += "; it " + out.Reason
	}
	out.Status, out.Reason = "ending", why
	return out, nil
}

// how says how a rollout of one stage stands, and why.
func how(tx core.Tx, ro core.Rollout) (status, reason string) {
	status = string(ro.Status)
	switch {
	case ro.Status == core.RolloutSucceeded:
		return "ready", ""
	case ro.Release.Invalid != "":
		return status, ro.Release.Invalid
	}
	for _, st := range ro.Stages {
		if st.WaitsFor != "" {
			reason = "waits for " + st.WaitsFor
		}
		if st.Status == core.StageWaiting && ro.Status == core.RolloutRunning {
			status = "waiting"
		}
	}
	if !ro.Status.Terminal() {
		return status, reason
	}
	runs, err := tx.Runs(core.RunFilter{Project: ro.Project, Rollout: ro.ID})
	if err != nil {
		return status, reason
	}
	for _, r := range runs {
		if r.Error != nil {
			return status, r.Instance() + ": " + r.Error.Message
		}
	}
	return status, reason
}
