package drift

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Fix starts a repair of an environment: the release that is there runs again at what drifted,
// through every gate and check. With no stacks it is everything that is known to have drifted
// there. Errors: NotFound; Conflict says why there is nothing to repair, or not now.
func (s *Service) Fix(ctx context.Context, by, project, environment string, stacks []string) (wire.Rollout, error) {
	var p core.Project
	var release core.Release
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if p, err = tx.Project(project); err == nil {
			release, err = repairable(tx, p, environment)
		}
		return err
	}); err != nil {
		return wire.Rollout{}, err
	}
	cfg, err := s.Wanted.Config(ctx, p, release.Commit)
	if err != nil {
		return wire.Rollout{}, err
	}
	has := map[string]bool{}
	for _, in := range cfg.Instances(environment) {
		has[in.Stack] = true
	}
	var out core.Rollout
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if now, err := repairable(tx, p, environment); err != nil {
			return err
		} else if now.Commit != release.Commit {
			return core.Errorf(core.Conflict, "release %d has just entered %s; look what it left: terrace drift %[2]s --wait", now.Number, environment)
		}
		broken, err := toRepair(tx, project, environment, stacks, has)
		if err != nil {
			return err
		}
		if out, err = projects.AddOne(tx, release, core.Rollout{Kind: core.RolloutRepair, By: by, Manual: true, Reason: "drift of " + strings.Join(broken, ", "), Repairs: broken}, environment); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "rollout.started", Project: project, On: out.ID,
			Data: map[string]string{"release": fmt.Sprint(release.Number), "commit": release.Commit, "kind": string(out.Kind), "environment": environment, "repairs": strings.Join(broken, " ")}})
	})
	if err != nil {
		return wire.Rollout{}, err
	}
	s.Bus.Changed(project)
	return board.Rollout(out), nil
}

// repairable returns the release that is in an environment, when that can be repaired with it.
func repairable(tx core.Tx, p core.Project, environment string) (core.Release, error) {
	e, err := tx.Environment(p.Name, environment)
	if err != nil {
		return core.Release{}, err
	}
	open, err := tx.Rollouts(p.Name, true, 0)
	if err != nil {
		return core.Release{}, err
	}
	for _, ro := range open {
		if ro.Kind == core.RolloutRepair && slices.ContainsFunc(ro.Stages, func(st core.Stage) bool { return st.Environment == environment }) {
			return core.Release{}, core.Errorf(core.Conflict, "%s repairs %s already; what it waits for: terrace rollout show %[1]s", ro.ID, environment)
		}
	}
	if p.Stopped != "" {
		return core.Release{}, core.Errorf(core.Conflict, "%s", p.Stopped)
	}
	if err := promotion.Repairable(e); err != nil {
		return core.Release{}, err
	}
	return tx.FindRelease(p.Name, fmt.Sprint(e.Present))
}

// toRepair lists the stacks that a repair runs again: those that drifted, and those that an
// earlier repair left half done.
func toRepair(tx core.Tx, project, environment string, stacks []string, has map[string]bool) ([]string, error) {
	instances, err := tx.Instances(project)
	if err != nil {
		return nil, err
	}
	seen, err := board.Drifts(tx, project)
	if err != nil {
		return nil, err
	}
	var broken []string
	for _, i := range instances {
		if i.Environment != environment || len(stacks) > 0 && !slices.Contains(stacks, i.Stack) {
			continue
		}
		name := core.InstanceName(i.Stack, environment)
		drifted := seen.Of(i.Stack, environment).State == "drifted"
		switch {
		case i.Unknown != "":
			return nil, core.Errorf(core.Conflict, "%s", Blind(i))
		case has[i.Stack] && (drifted || i.Digest == ""):
			broken = append(broken, i.Stack)
		case len(stacks) > 0 && !has[i.Stack]:
			return nil, core.Errorf(core.Conflict, "the stack of %s is not in the release that is there, which cannot repair it", name)
		case len(stacks) > 0:
			return nil, core.Errorf(core.Conflict, "%s is not known to have drifted; look first: terrace drift %[1]s --wait", name)
		}
	}
	for _, stack := range stacks {
		if !slices.Contains(broken, stack) {
			return nil, core.Errorf(core.NotFound, "nothing was ever applied at %s; terrace status lists what there is", core.InstanceName(stack, environment))
		}
	}
	if len(broken) == 0 {
		return nil, core.Errorf(core.Conflict, "nothing in %s is known to have drifted; look first: terrace drift %[1]s --wait", environment)
	}
	return broken, nil
}
