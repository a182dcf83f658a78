package access

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// maxReason bounds what people say about what they do, in bytes.
const maxReason = 1000

// Freeze lets nothing change in an environment of a project, or in all of them (""), from
// now or later on (rule 24). It ends at Until, or after lifetime when that is not 0. What is
// applying finishes. Errors: Invalid; NotFound when the
// project has no such environment.
func (s *Service) Freeze(ctx context.Context, by string, f core.Freeze, lifetime time.Duration) (core.Freeze, error) {
	f.Reason = strings.TrimSpace(f.Reason)
	if len(f.Reason) > maxReason {
		return f, core.Errorf(core.Invalid, "a reason has at most %d bytes, and this one has %d", maxReason, len(f.Reason))
	}
	if f.Reason == "" {
		f.Reason = "set by " + by
	}
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		if err := known(tx, f.Project, f.Environment); err != nil {
			return err
		}
		f.Created, f.By = tx.Now(), by
		if f.From.IsZero() {
			f.From = f.Created
		}
		if lifetime != 0 {
			f.Until = f.From.Add(lifetime)
		}
		switch {
		case f.Until.IsZero():
		case !f.From.Before(f.Until):
			return core.Errorf(core.Invalid, "a freeze ends after it begins, and %s is not after %s", f.Until.UTC().Format(time.RFC3339), f.From.UTC().Format(time.RFC3339))
		case f.Over(f.Created):
			return core.Errorf(core.Invalid, "a freeze until %s would be over already", f.Until.UTC().Format(time.RFC3339))
		}
		f.ID = core.NewID(core.PrefixFreeze, f.Created)
		if err := tx.AddFreeze(f); err != nil {
			return err
		}
		data := map[string]string{"freeze": f.ID, "reason": f.Reason, "from": f.From.UTC().Format(time.RFC3339)}
		if !f.Until.IsZero() {
			data["until"] = f.Until.UTC().Format(time.RFC3339)
		}
		return tx.AddEvent(core.Event{By: by, Kind: "environment.frozen", Project: f.Project, On: frozen(f), Data: data})
	})
	s.Bus.Changed(f.Project)
	return f, err
}

// frozen names what a freeze is of.
func frozen(f core.Freeze) string {
	if f.Environment == "" {
		return f.Project
	}
	return f.Environment
}

// Freezes lists a project's freezes, newest first, and the time to compare with.
func (s *Service) Freezes(ctx context.Context, project string) (all []core.Freeze, now time.Time, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		now = tx.Now()
		if _, err := tx.Project(project); err != nil {
			return err
		}
		all, err = tx.Freezes(project)
		return err
	})
	return all, now, err
}

// Unfreeze lifts one freeze by its ID, or, with id "", every freeze that people set on just
// this environment ("": on all of them), also those that have not begun. It returns what it
// lifted. Errors: NotFound; Conflict when there is nothing to lift, which says what else
// freezes the environment.
func (s *Service) Unfreeze(ctx context.Context, by, project, environment, id string) (lifted []core.Freeze, err error) {
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		lifted = nil
		if id == "" {
			if err := known(tx, project, environment); err != nil {
				return err
			}
		} else if _, err := tx.Project(project); err != nil {
			return err
		}
		all, err := tx.Freezes(project)
		if err != nil {
			return err
		}
		now := tx.Now()
		meant := func(f core.Freeze) bool { return f.Environment == environment && !f.Over(now) }
		if id != "" {
			meant = func(f core.Freeze) bool { return f.ID == id }
		}
		for _, f := range all {
			if !meant(f) {
				continue
			}
			if f.Lifted.IsZero() && f.Over(now) {
				return core.Errorf(core.Conflict, "the freeze %s is over since %s", f.ID, f.Until.Format(time.RFC3339))
			}
			if err := tx.LiftFreeze(project, f.ID, by, now); err != nil {
				return err
			}
			if err := tx.AddEvent(core.Event{By: by, Kind: "environment.unfrozen", Project: project, On: frozen(f), Data: map[string]string{"freeze": f.ID}}); err != nil {
				return err
			}
			f.Lifted, f.LiftedBy = now, by
			lifted = append(lifted, f)
		}
		if len(lifted) == 0 {
			return nothingToLift(all, now, project, environment, id)
		}
		return nil
	})
	s.Bus.Changed(project)
	return lifted, err
}

func nothingToLift(all []core.Freeze, now time.Time, project, environment, id string) error {
	everywhere := slices.ContainsFunc(all, func(f core.Freeze) bool { return f.Environment == "" && !f.Over(now) })
	switch {
	case id != "":
		return core.Errorf(core.NotFound, "%s has no freeze %s; terrace freeze list shows those there are", project, id)
	case environment == "":
		return core.Errorf(core.Conflict, "there is no freeze of all environments of %s; terrace freeze list shows those there are", project)
	case everywhere:
		return core.Errorf(core.Conflict, "%s is frozen with all other environments: terrace unfreeze --all", environment)
	}
	return core.Errorf(core.Conflict, "nobody set a freeze on %s; one that terrace.hcl or the guardrails write ends by itself, or is skipped: terrace freeze list", environment)
}

// known refuses an environment that the project never had; "" stands for all of them.
func known(tx core.Tx, project, environment string) error {
	if _, err := tx.Project(project); err != nil || environment == "" {
		return err
	}
	names, err := environmentNames(tx, project)
	if err == nil && !slices.Contains(names, environment) {
		err = core.Errorf(core.NotFound, "%s has no environment %q; it has: %s", project, environment, strings.Join(names, ", "))
	}
	return err
}

// environmentNames lists the environments that anything was ever in, and those that the
// newest rollouts go through, which may not have been entered yet.
func environmentNames(tx core.Tx, project string) ([]string, error) {
	seen, err := tx.Environments(project)
	if err != nil {
		return nil, err
	}
	rollouts, err := tx.Rollouts(project, false, 20)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range seen {
		names = append(names, e.Name)
	}
	for _, ro := range rollouts {
		for _, st := range ro.Stages {
			if !slices.Contains(names, st.Environment) {
				names = append(names, st.Environment)
			}
		}
	}
	return names, nil
}
