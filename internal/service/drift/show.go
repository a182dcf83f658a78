package drift

import (
	"context"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/wire"
)

// List tells of every instance what is known of its drift.
func (s *Service) List(ctx context.Context, project string) ([]wire.DriftStatus, error) {
	out := []wire.DriftStatus{}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		out = out[:0]
		instances, err := tx.Instances(project)
		if err != nil {
			return err
		}
		if _, err := tx.Project(project); err != nil {
			return err
		}
		seen, err := board.Drifts(tx, project)
		for _, i := range instances {
			out = append(out, seen.Of(i.Stack, i.Environment))
		}
		return err
	})
	return out, err
}

// Show returns what the newest look at an instance found, masked. What is void, because
// the state changed since, is not shown.
func (s *Service) Show(ctx context.Context, project, stack, environment string) (wire.DriftReport, error) {
	out := wire.DriftReport{Drift: wire.Drift{Resources: []wire.DriftedResource{}}}
	err := s.Store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		seen, err := board.Drifts(tx, project)
		if err != nil {
			return err
		}
		out.DriftStatus = seen.Of(stack, environment)
		if !seen.Valid(stack, environment) {
			return nil
		}
		return s.Runs.Doc(tx, seen.Rows[[2]string{stack, environment}].Run, runs.DriftDoc, &out.Drift)
	})
	return out, err
}
