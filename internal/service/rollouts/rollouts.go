// Package rollouts starts, cancels and shows rollouts, and answers the question that
// people ask most: what is where, and why.
package rollouts

import (
	"context"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/wanted"
)

// Service is safe for concurrent use.
type Service struct {
	Store    core.Store
	Wanted   *wanted.Evaluator
	Projects *projects.Service
	Runs     *runs.Service
	Bus      *bus.Bus
}

// Start makes a rollout of a release that a person names: a commit, a prefix of one,
// or a number; "" is the newest. The branch is read first, so that a commit pushed a
// moment ago is known. It is also the way to try again. all has Ansible run on all hosts,
// also where nothing has changed.
func (s *Service) Start(ctx context.Context, by, project, ref string, all bool) (core.Rollout, error) {
	if err := s.Projects.Refresh(ctx, project, by); err != nil {
		return core.Rollout{}, err
	}
	p, err := s.Projects.Get(ctx, project)
	if err != nil {
		return core.Rollout{}, err
	}
	if p.Stopped != "" {
		return core.Rollout{}, core.Errorf(core.Conflict, "%s", p.Stopped)
	}
	var release core.Release
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if ref == "" {
			release, err = tx.LatestRelease(project)
		} else {
			release, err = tx.FindRelease(project, ref)
		}
		return err
	}); err != nil {
		return core.Rollout{}, err
	}
	cfg, err := s.Wanted.Config(ctx, p, release.Commit)
	if err != nil {
		return core.Rollout{}, err
	}
	if err := cfg.GuardProblems(); err != nil {
		return core.Rollout{}, err
	}
	var rollout core.Rollout
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if release.Invalid != "" {
			// What did not hold were values of the guardrails, and they fit now.
			if err := tx.SetReleaseInvalid(project, release.Commit, ""); err != nil {
				return err
			}
			release.Invalid = ""
		}
		open, err := tx.Rollouts(project, true, 0)
		if err != nil {
			return err
		}
		for _, ro := range open {
			if ro.Release.Commit != release.Commit || ro.Status != core.RolloutRunning || ro.Kind == core.RolloutRepair {
				continue
			}
			again, err := paused(tx, ro)
			if err != nil {
				return err
			}
			if !again && all && !ro.AllHosts {
				return core.Errorf(core.Conflict, "%s takes release %d through the environments already, and to hosts where something has changed only; wait for it, or end it: terrace rollout cancel %[1]s", ro.ID, release.Number)
			}
			if !again {
				rollout = ro // it is under way: asking again joins it
				return nil
			}
		}
		environments, err := tx.Environments(project)
		if err != nil {
			return err
		}
		first := map[string]bool{}
		for _, e := range cfg.Environments {
			first[e.Name] = len(e.After) == 0
		}
		for _, e := range environments {
			if first[e.Name] && e.Entered > release.Number {
				return promotion.TooOld(e, release.Number)
			}
		}
		rollout, err = projects.AddRollout(tx, release, cfg, core.Rollout{By: by, Manual: true, AllHosts: all})
		return err
	})
	s.Bus.Changed(project)
	return rollout, err
}

// paused reports whether a rollout holds an environment and goes on only when it is
// asked for again: a verification was inconclusive (rule 16). One that waits for an
// approval is under way: asking again must not take away the plan that is to be approved.
func paused(tx core.Tx, ro core.Rollout) (bool, error) {
	for _, st := range ro.Stages {
		if st.Status != core.StageRunning || !slices.ContainsFunc(st.Waits, func(w core.Wait) bool { return w.Gate == core.GateVerification }) {
			continue
		}
		runs, err := tx.Runs(core.RunFilter{Project: ro.Project, Stage: st.ID})
		if err != nil {
			return false, err
		}
		if !slices.ContainsFunc(runs, func(r core.Run) bool { return !r.Status.Terminal() }) {
			return true, nil
		}
	}
	return false, nil
}

// Cancel ends a rollout: what waits never starts, what runs is interrupted.
func (s *Service) Cancel(ctx context.Context, by, id string) (core.Rollout, error) {
	var ro core.Rollout
	err := s.Store.Update(ctx, func(tx core.Tx) (err error) {
		if ro, err = tx.Rollout(id); err != nil {
			return err
		}
		if ro.Status.Terminal() {
			return core.Errorf(core.Conflict, "%s is over (%s); there is nothing to cancel", id, ro.Status)
		}
		if err := tx.SetRolloutCancel(id); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "rollout.cancel_asked", Project: ro.Project, On: id})
	})
	s.Bus.Changed(ro.Project)
	return ro, err
}
