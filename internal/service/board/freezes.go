package board

import (
	"context"
	"time"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/law"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Freeze converts a freeze that a person set.
func Freeze(f core.Freeze, now time.Time) wire.Freeze {
	out := wire.Freeze{ID: f.ID, Environment: f.Environment, From: f.From, Reason: f.Reason, By: f.By, LiftedBy: f.LiftedBy, Status: "active"}
	if !f.Until.IsZero() {
		out.Until = &f.Until
	}
	switch {
	case !f.Lifted.IsZero():
		out.Status, out.Lifted = "lifted", &f.Lifted
	case f.Over(now):
		out.Status = "over"
	case now.Before(f.From):
		out.Status = "planned"
	}
	return out
}

// Freezes lists the freezes of a project: those that people set, newest first, then those
// that the guardrails and the newest configuration which holds write.
func (s *Service) Freezes(ctx context.Context, project string) ([]wire.Freeze, error) {
	p, err := s.Projects.Get(ctx, project)
	if err != nil {
		return nil, err
	}
	out := []wire.Freeze{}
	var now time.Time
	var rails *config.Guardrails
	var valid core.Release
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		out, now, valid = out[:0], tx.Now(), core.Release{}
		set, err := tx.Freezes(project)
		if err != nil {
			return err
		}
		for _, f := range set {
			out = append(out, Freeze(f, now))
		}
		if rails, err = s.Runs.Guardrails.In(tx); err != nil {
			return err
		}
		releases, err := tx.Releases(project, 50)
		for _, r := range releases {
			if r.Invalid == "" {
				valid = r
				break
			}
		}
		return err
	}); err != nil || valid.Commit == "" {
		return out, err
	}
	cfg, err := s.Wanted.Config(ctx, p, valid.Commit)
	if err != nil {
		return nil, err
	}
	return append(out, written(rails, cfg, valid, p, now)...), nil
}

// written lists the freezes of configurations that are not over.
func written(rails *config.Guardrails, cfg *config.Config, release core.Release, p core.Project, now time.Time) (out []wire.Freeze) {
	for _, e := range cfg.Environments {
		l := law.For(rails, p, e.Name)
		l.Sources = append(l.Sources, law.Of(cfg, e.Name, law.Entering(release)))
		for _, f := range l.Freezes(e.Name, nil, now) {
			w := wire.Freeze{Environment: e.Name, From: f.From, Until: &f.Until, Reason: f.Reason, By: f.By, Status: "active"}
			if now.Before(f.From) {
				w.Status = "planned"
			}
			out = append(out, w)
		}
	}
	return out
}
