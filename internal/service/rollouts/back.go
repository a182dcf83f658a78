package rollouts

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/state"
)

// Back is a rollback that was asked for (rule 21).
type Back struct {
	Project, Environment string
	To                   string // a commit, a prefix of one, or a number; "" is the release verified there before
	Reason               string
}

// Way is where a rollback leads.
type Way struct {
	From    int64
	To      core.Release
	Rollout core.Rollout // the zero value when it was only looked at
	// Previews are the runs that plan what it would do.
	Previews []core.Run
	// Removed are the stacks with something in their state that the older release does not have.
	Removed []string
}

// targets bounds how many releases an error message offers.
const targets = 5

// RollBack takes an environment back to a release that was verified there before. Asked
// for twice, it joins the one under way. Errors: NotFound for what does not exist, Conflict
// when there is nowhere to go back to.
func (s *Service) RollBack(ctx context.Context, by string, ask Back) (w Way, err error) {
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if w, err = way(tx, ask); err != nil {
			return err
		}
		open, err := tx.Rollouts(ask.Project, true, 0)
		if err != nil {
			return err
		}
		for _, ro := range open {
			if ro.Kind == core.RolloutRollback && ro.Stages[0].Environment == ask.Environment && ro.Release.Commit == w.To.Commit && !ro.Cancel && ro.Manual {
				w.Rollout = ro
				return nil
			}
		}
		w.Rollout, err = projects.AddRollback(tx, w.To, core.Rollout{By: by, Manual: true, From: w.From, Reason: strings.TrimSpace(ask.Reason)}, ask.Environment)
		return err
	})
	s.Bus.Changed(ask.Project)
	return w, err
}

// LookBack plans what a rollback would do, and does nothing. Each instance whose inputs
// differ is planned by a run of its own, against what is there now; so what depends on
// another one is planned against that one's outputs of today.
func (s *Service) LookBack(ctx context.Context, by string, ask Back) (w Way, err error) {
	var instances []core.InstanceState
	var has map[string]bool
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		if w, err = way(tx, ask); err != nil {
			return err
		}
		all, err := tx.Instances(ask.Project)
		if err != nil {
			return err
		}
		has = map[string]bool{}
		instances = instances[:0]
		for _, i := range all {
			if i.Environment != ask.Environment {
				continue
			}
			instances = append(instances, i)
			n, err := state.Resources(tx, i.Project, i.Stack, i.Environment)
			if err != nil {
				return err
			}
			has[i.Stack] = n > 0
		}
		return nil
	}); err != nil {
		return w, err
	}
	project, err := s.Projects.Get(ctx, ask.Project)
	if err != nil {
		return w, err
	}
	cfg, err := s.Wanted.Config(ctx, project, w.To.Commit)
	if err != nil {
		return w, err
	}
	differ, err := s.differ(ctx, project, cfg, w.To, ask.Environment, instances)
	if err != nil {
		return w, err
	}
	there := map[string]bool{}
	for _, in := range cfg.Instances(ask.Environment) {
		there[in.Stack] = true
	}
	for _, stack := range slices.Sorted(maps.Keys(has)) {
		if has[stack] && !there[stack] {
			w.Removed = append(w.Removed, stack)
		}
	}
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		w.Previews = nil
		for _, stack := range differ {
			run, err := runs.Queue(tx, by, core.Run{Project: ask.Project, Stack: stack, Environment: ask.Environment, Kind: core.KindPreview, Release: w.To})
			if err != nil {
				return err
			}
			w.Previews = append(w.Previews, run)
		}
		return nil
	})
	s.Bus.Changed(ask.Project)
	return w, err
}

// differ lists the stacks, in their order, of which a release wants something else than what was applied.
func (s *Service) differ(ctx context.Context, p core.Project, cfg *config.Config, to core.Release, environment string, instances []core.InstanceState) ([]string, error) {
	contents, err := s.Wanted.Contents(ctx, p, to.Commit, environment)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, in := range cfg.Instances(environment) {
		i := slices.IndexFunc(instances, func(i core.InstanceState) bool { return i.Stack == in.Stack })
		wants, err := s.Wanted.Instance(ctx, p, to, cfg, environment, in.Stack, contents[in.Stack])
		if err != nil && core.CodeOf(err) != core.Invalid {
			return nil, err
		}
		if i < 0 || instances[i].Digest == "" || instances[i].Digest != wants.Digest {
			out = append(out, in.Stack)
		}
	}
	return out, nil
}

// way finds out from where to where a rollback leads.
func way(tx core.Tx, ask Back) (w Way, err error) {
	p, err := tx.Project(ask.Project)
	if err != nil {
		return w, err
	}
	if p.Stopped != "" {
		return w, core.Errorf(core.Conflict, "%s", p.Stopped)
	}
	e, err := tx.Environment(ask.Project, ask.Environment)
	if err != nil {
		return w, err
	}
	if e.Present == 0 {
		return w, core.Errorf(core.NotFound, "no release has entered %s of %s yet, so there is nothing to roll back", ask.Environment, ask.Project)
	}
	w.From = e.Present
	there, err := arrived(tx, e)
	if err != nil {
		return w, err
	}
	if ask.To == "" && !there && e.Present < e.Entered {
		ask.To = strconv.FormatInt(e.Present, 10) // a rollback that did not get there is tried again
	}
	if ask.To == "" {
		before, err := tx.VerifiedBefore(ask.Project, ask.Environment, e.Present)
		if core.CodeOf(err) == core.NotFound {
			return w, core.Errorf(core.Conflict, "%s cannot go back: no release older than %d, which is there, was ever verified there. Go forward: push a commit that mends it", ask.Environment, e.Present)
		}
		w.To = before.Release
		return w, err
	}
	if w.To, err = tx.FindRelease(ask.Project, ask.To); err != nil {
		return w, err
	}
	all, err := tx.Verifications(ask.Project, ask.Environment, 0)
	if err != nil {
		return w, err
	}
	may := func(r core.Release) bool {
		return r.Number < e.Entered && (r.Number != e.Present || !there)
	}
	switch i := slices.IndexFunc(all, func(v core.Verification) bool { return v.Release.Commit == w.To.Commit }); {
	case w.To.Number == e.Present && there:
		return w, core.Errorf(core.Conflict, "release %d is in %s already", w.To.Number, ask.Environment)
	case i < 0:
		return w, core.Errorf(core.Conflict, "release %d was never verified in %s, so nothing says that it works there. Releases that were: %s", w.To.Number, ask.Environment, offers(all, may))
	case !may(w.To):
		return w, core.Errorf(core.Conflict, "release %d is the newest that %s has seen; going there is no rollback. Start it again: terrace rollout start --commit %d", w.To.Number, ask.Environment, w.To.Number)
	}
	return w, nil
}

// arrived reports whether the release that was admitted last to an environment was verified
// there then.
func arrived(tx core.Tx, e core.EnvironmentState) (bool, error) {
	all, err := tx.Rollouts(e.Project, false, 0)
	for _, ro := range all {
		for _, st := range ro.Stages {
			if st.Environment == e.Name && st.Fence == e.Fence {
				return st.Status == core.StageSucceeded, err
			}
		}
	}
	return false, err
}

// offers lists the newest releases that a rollback may go to.
func offers(all []core.Verification, may func(core.Release) bool) string {
	var names []string
	for _, v := range all {
		name := fmt.Sprintf("%d (%s)", v.Release.Number, core.ShortCommit(v.Release.Commit))
		if may(v.Release) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0:
		return "none"
	case len(names) > targets:
		return strings.Join(names[:targets], ", ") + fmt.Sprintf(" and %d more", len(names)-targets)
	}
	return strings.Join(names, ", ")
}
