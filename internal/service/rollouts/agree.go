package rollouts

import (
	"context"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// PendingSkip is a skip that waits for a second person.
type PendingSkip struct {
	Rollout core.Rollout // without its stages
	Stage   core.Stage
	Skip    core.Skip
}

// PendingSkips lists the skips of a project that wait for a second person, by what the
// guardrails say now.
func (s *Service) PendingSkips(ctx context.Context, project string) (out []PendingSkip, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		out = nil
		rails, err := s.Runs.Guardrails.In(tx)
		if err != nil {
			return err
		}
		open, err := tx.Rollouts(project, true, 0)
		for _, ro := range open {
			for _, st := range ro.Stages {
				if st.Status.Terminal() || !rails.SkipTakesSecond(project, st.Environment) {
					continue
				}
				for _, skip := range st.Skips {
					if skip.Second == "" {
						out = append(out, PendingSkip{Rollout: ro, Stage: st, Skip: skip})
					}
				}
			}
		}
		return err
	})
	return out, err
}

// AgreeToSkip is the second person's word on the skips of a stage that lack it (rule 23).
// Errors: NotFound; Conflict when nothing waits for one; Denied to whoever asked.
func (s *Service) AgreeToSkip(ctx context.Context, by, id, reason string) (stage core.Stage, err error) {
	reason = strings.TrimSpace(reason)
	if len(reason) > maxReason {
		return stage, core.Errorf(core.Invalid, "a reason has at most %d bytes, and this one has %d", maxReason, len(reason))
	}
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if stage, err = tx.Stage(id); err != nil {
			return err
		}
		if stage.Status.Terminal() {
			return core.Errorf(core.Conflict, "%s in %s is over (%s); nothing of it can be skipped any more", id, stage.Environment, stage.Status)
		}
		rails, err := s.Runs.Guardrails.In(tx)
		if err != nil {
			return err
		}
		if !rails.SkipTakesSecond(stage.Project, stage.Environment) {
			return core.Errorf(core.Conflict, "skipping a gate of %s takes no second person; nothing waits for you", stage.Environment)
		}
		agreed, own := 0, ""
		for i := range stage.Skips {
			skip := &stage.Skips[i]
			switch {
			case skip.Second != "":
			case skip.By == by:
				own = words(skip.Gates)
			default:
				agreed++
				skip.Second, skip.SecondReason, skip.SecondAt = by, reason, tx.Now()
				if err := tx.AddEvent(core.Event{By: by, Kind: "gates.skipped", Project: stage.Project, On: stage.Environment, Data: map[string]string{
					"gates": words(skip.Gates), "asked": skip.By, "why": skip.Reason, "reason": reason, "rollout": stage.Rollout, "stage": id}}); err != nil {
					return err
				}
			}
		}
		switch {
		case agreed > 0:
			return tx.UpdateStage(stage, stage.Status)
		case own != "":
			return core.Errorf(core.Denied, "you asked to skip %s of %s yourself; somebody else agrees: terrace approve %s", own, stage.Environment, id)
		}
		return core.Errorf(core.Conflict, "no skip of %s waits for a second person", stage.Environment)
	})
	s.Bus.Changed(stage.Project)
	return stage, err
}
