package httpapi

import (
	"context"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Pages gives the web pages what they show, without a detour over HTTP.
type Pages struct{ API *API }

// Projects lists the projects.
func (p Pages) Projects(ctx context.Context) ([]wire.Project, error) {
	return p.API.Board.AllProjects(ctx)
}

// Status is a project's board.
func (p Pages) Status(ctx context.Context, project string, why bool) (wire.Status, error) {
	return p.API.Board.Status(ctx, project, why)
}

// Rollouts lists rollouts, newest first.
func (p Pages) Rollouts(ctx context.Context, project string, limit int) ([]wire.Rollout, error) {
	return p.API.Board.Rollouts(ctx, project, limit)
}

// Rollout returns one rollout with its runs.
func (p Pages) Rollout(ctx context.Context, id string) (wire.Rollout, error) {
	return p.API.Board.Rollout(ctx, id)
}

// Runs lists runs, newest first.
func (p Pages) Runs(ctx context.Context, project, environment, rollout string, limit int) ([]wire.Run, error) {
	return p.API.Board.AllRuns(ctx, core.RunFilter{Project: project, Environment: environment, Rollout: rollout, Limit: limit})
}

// Run returns one run.
func (p Pages) Run(ctx context.Context, id string) (wire.Run, error) {
	return p.API.Board.Run(ctx, id, by(ctx))
}

// Approvals lists the runs of a project that wait for approvals.
func (p Pages) Approvals(ctx context.Context, project string) ([]wire.Approval, error) {
	return p.API.Board.Approvals(ctx, project, by(ctx))
}

// Vote says yes or no to the plan of a run that waits for approvals.
func (p Pages) Vote(ctx context.Context, run, plan string, approves bool, reason string) error {
	_, err := p.API.Runs.Vote(ctx, by(ctx), run, runs.Ballot{Approves: approves, Reason: reason, Plan: plan})
	return err
}

// Plan returns a run's plan, nil when it has none.
func (p Pages) Plan(ctx context.Context, id string) (*wire.Plan, error) {
	plan, err := p.API.Board.Plan(ctx, id)
	if core.CodeOf(err) == core.NotFound {
		return nil, nil
	}
	return plan, err
}

// Logs returns chunks of a run's log after a number.
func (p Pages) Logs(ctx context.Context, run string, after int64, limit int) ([]wire.LogChunk, error) {
	chunks, _, err := p.API.Board.Logs(ctx, run, after, limit)
	return chunks, err
}

// Changed ticks when a project ("" for any) changes, until ctx ends.
func (p Pages) Changed(ctx context.Context, project string) <-chan struct{} {
	return p.API.Bus.Listen(ctx, project)
}

// LogChanged ticks when a run's log grows.
func (p Pages) LogChanged(ctx context.Context, run string) <-chan struct{} {
	return p.API.Bus.Listen(ctx, bus.LogTopic(run))
}

// CancelRollout ends a rollout.
func (p Pages) CancelRollout(ctx context.Context, id string) error {
	_, err := p.API.Rollouts.Cancel(ctx, by(ctx), id)
	return err
}

// CancelRun stops a run.
func (p Pages) CancelRun(ctx context.Context, id string) error {
	_, err := p.API.Runs.Cancel(ctx, by(ctx), id)
	return err
}
