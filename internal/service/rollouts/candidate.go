package rollouts

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/projects"
)

// Ask is what a person wants to enter an environment.
type Ask struct {
	Project, Environment string
	Release              int64 // its number; 0 is the candidate
	Skip                 []core.Gate
	Reason               string
	// Lift: a hold that is in the way is lifted for it (rule 22).
	Lift bool
}

// Candidate is the release that an Ask means.
type Candidate struct {
	Release core.Release
	Rollout string     // "" when there is none under way: promoting makes it
	Stage   core.Stage // zero likewise
	// Hold has to be lifted, or skipped, for it; nil when there is none in the way.
	Hold *core.Hold
	// Waits are what it waits for beside that, without what is skipped.
	Waits []core.Wait
	// SecondPerson: the skip takes effect when somebody else agrees.
	SecondPerson bool
}

// Candidate says which release an Ask means and what is in its way. It changes nothing.
// Errors: Invalid for gates that are none, NotFound, and Conflict when nothing may be
// promoted, which say why.
func (s *Service) Candidate(ctx context.Context, ask Ask) (c Candidate, err error) {
	release, cfg, err := s.release(ctx, ask)
	if err != nil {
		return c, err
	}
	err = s.Store.View(ctx, func(tx core.Tx) error {
		c, err = s.candidate(tx, ask, release, cfg)
		return err
	})
	return c, err
}

// release finds the release that promoting would make a rollout of, with its configuration.
// Both are zero when one is under way, or when nothing is left to promote.
func (s *Service) release(ctx context.Context, ask Ask) (release core.Release, cfg *config.Config, err error) {
	p, err := s.Projects.Get(ctx, ask.Project)
	if err != nil {
		return release, nil, err
	}
	verified := map[string]int64{}
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		release = core.Release{}
		if _, _, found, err := underWay(tx, ask); err != nil || found {
			return err
		}
		environments, err := tx.Environments(ask.Project)
		if err != nil {
			return err
		}
		for _, e := range environments {
			verified[e.Name] = e.Verified
		}
		if ask.Release != 0 {
			release, err = tx.FindRelease(ask.Project, fmt.Sprint(ask.Release))
			return err
		}
		release, err = projects.NewestValid(tx, ask.Project)
		return err
	}); err != nil || release.Commit == "" {
		return release, nil, err
	}
	if cfg, err = s.Wanted.Config(ctx, p, release.Commit); err != nil {
		return release, nil, err
	}
	if ask.Release != 0 || slices.Contains(ask.Skip, core.GateUpstream) {
		return release, cfg, nil
	}
	i := slices.IndexFunc(cfg.Environments, func(e config.Environment) bool { return e.Name == ask.Environment })
	if i < 0 || len(cfg.Environments[i].After) == 0 {
		return release, cfg, nil // without an environment before it, the newest enters
	}
	after := cfg.Environments[i].After
	number := verified[after[0]]
	for _, name := range after {
		if verified[name] != number || number == 0 {
			return release, nil, core.Errorf(core.Conflict, "nothing is ready to enter %s: no release is verified in %s; status: terrace rollout list", ask.Environment, strings.Join(after, " and "))
		}
	}
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		release, err = tx.FindRelease(ask.Project, fmt.Sprint(number))
		return err
	}); err != nil {
		return release, nil, err
	}
	cfg, err = s.Wanted.Config(ctx, p, release.Commit)
	return release, cfg, err
}

// candidate looks again in the transaction that decides. A release that was found outside of
// it counts only while no rollout of it is under way.
func (s *Service) candidate(tx core.Tx, ask Ask, release core.Release, cfg *config.Config) (c Candidate, err error) {
	project, err := tx.Project(ask.Project)
	if err != nil {
		return c, err
	}
	if project.Stopped != "" {
		return c, core.Errorf(core.Conflict, "%s", project.Stopped)
	}
	e, err := tx.Environment(ask.Project, ask.Environment)
	if err != nil {
		return c, err
	}
	rollout, stage, found, err := underWay(tx, ask)
	if err != nil {
		return c, err
	}
	switch {
	case found:
		c.Release, c.Rollout, c.Stage = rollout.Release, rollout.ID, stage
	case release.Commit == "":
		return c, core.Errorf(core.Conflict, "what was under way to %s has just ended; ask again", ask.Environment)
	default:
		c.Release = release
		if err := mayBegin(e, release, cfg, ask); err != nil {
			return c, err
		}
	}
	if err := checkSkip(ask, c); err != nil {
		return c, err
	}
	if h := e.Hold; h != nil && !stage.Status.HoldsLease() && !slices.Contains(ask.Skip, core.GateHold) && stops(*h, c, rollout) {
		c.Hold = h
	}
	if len(ask.Skip) > 0 {
		rails, err := s.Runs.Guardrails.In(tx)
		if err != nil {
			return c, err
		}
		c.SecondPerson = rails.SkipTakesSecond(ask.Project, ask.Environment)
	}
	for _, w := range c.Stage.Waits {
		skipped := slices.Contains(ask.Skip, w.Gate) && !c.SecondPerson
		if w.Gate != core.GateHold && w.Gate != core.GateSkip && !skipped {
			c.Waits = append(c.Waits, w)
		}
	}
	return c, nil
}

// stops reports whether a hold is in the way of a candidate: a failure's is not in that of a
// correction, nor of a rollout that a person starts (rule 18).
func stops(h core.Hold, c Candidate, under core.Rollout) bool {
	return h.Kind != core.HoldFailure || c.Rollout != "" && !under.Manual && c.Release.Number <= h.Release
}

// underWay finds the stage of a rollout that an Ask means. With the bake among the gates it
// is the one that is in the environment. Otherwise it is the newest release that waits for
// nothing before the environment; failing that, the one which is there and waits for a gate
// that is named; failing that, the newest that waits.
func underWay(tx core.Tx, ask Ask) (core.Rollout, core.Stage, bool, error) {
	type place struct {
		rollout core.Rollout
		stage   core.Stage
	}
	open, err := tx.Rollouts(ask.Project, true, 0)
	if err != nil {
		return core.Rollout{}, core.Stage{}, false, err
	}
	var waiting, there []place // newest release first, of one release the newest rollout
	slices.SortStableFunc(open, func(a, b core.Rollout) int { return cmp.Compare(b.Release.Number, a.Release.Number) })
	for _, ro := range open {
		if ro.Cancel || ro.Kind == core.RolloutRollback || ask.Release != 0 && ro.Release.Number != ask.Release {
			continue
		}
		for _, st := range ro.Stages {
			switch {
			case st.Environment != ask.Environment:
			case st.Status.HoldsLease():
				there = append(there, place{ro, st})
			case st.Status == core.StageWaiting:
				waiting = append(waiting, place{ro, st})
			}
		}
	}
	ready := func(p place) bool {
		return !slices.ContainsFunc(p.stage.Waits, func(w core.Wait) bool {
			return w.Gate == core.GateOrder || w.Gate == core.GateUpstream && !slices.Contains(ask.Skip, core.GateUpstream)
		})
	}
	named := func(p place) bool {
		return slices.Contains(ask.Skip, core.GateBake) ||
			slices.ContainsFunc(p.stage.Waits, func(w core.Wait) bool { return slices.Contains(ask.Skip, w.Gate) })
	}
	i := slices.IndexFunc(waiting, ready)
	var p place
	switch {
	case len(there) > 0 && slices.Contains(ask.Skip, core.GateBake):
		p = there[0]
	case i >= 0:
		p = waiting[i]
	case len(there) > 0 && (named(there[0]) || len(waiting) == 0):
		p = there[0]
	case len(waiting) > 0:
		p = waiting[0]
	default:
		return core.Rollout{}, core.Stage{}, false, nil
	}
	return p.rollout, p.stage, true, nil
}

// mayBegin refuses to make a rollout that could not enter an environment.
func mayBegin(e core.EnvironmentState, r core.Release, cfg *config.Config, ask Ask) error {
	var names []string
	for _, known := range cfg.Environments {
		names = append(names, known.Name)
	}
	switch {
	case !slices.Contains(names, ask.Environment):
		return core.Errorf(core.NotFound, "release %d does not go through %q; its environments: %s", r.Number, ask.Environment, strings.Join(names, ", "))
	case e.Entered > r.Number:
		return promotion.TooOld(e, r.Number)
	case e.Verified == r.Number:
		return core.Errorf(core.Conflict, "release %d is verified in %s already, and nothing newer is ready to enter; to go through it again: terrace rollout start --commit %[1]d", r.Number, ask.Environment)
	}
	return nil
}
