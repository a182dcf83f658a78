package httpapi

import (
	"context"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Pages gives the web pages what they show, without a detour over HTTP. What takes a role on
// the API takes it here; a test calls every method without one.
type Pages struct{ API *API }

// may is the check of the route with this pattern, about the thing with an ID.
func (p Pages) may(ctx context.Context, role core.Role, pattern, id string) error {
	at, err := p.API.where(ctx, pattern, func(string) string { return id })
	if err != nil {
		return err
	}
	return may(ctx, role, at.project, at.environment)
}

// Patterns of routes that are about one thing.
const (
	onRun     = "/api/v1/runs/{id}"
	onRollout = "/api/v1/rollouts/{id}"
)

// Projects lists the projects.
func (p Pages) Projects(ctx context.Context) ([]wire.Project, error) {
	all, err := p.API.Board.AllProjects(ctx)
	return sees(ctx, all, projectPlace), err
}

// Status is a project's board.
func (p Pages) Status(ctx context.Context, project string, why bool) (wire.Status, error) {
	if err := may(ctx, core.RoleViewer, project, ""); err != nil {
		return wire.Status{}, err
	}
	return p.API.Board.Status(ctx, project, why)
}

// Rollouts lists rollouts, newest first.
func (p Pages) Rollouts(ctx context.Context, project string, limit int) ([]wire.Rollout, error) {
	if err := may(ctx, core.RoleViewer, project, ""); err != nil {
		return nil, err
	}
	return p.API.Board.Rollouts(ctx, project, limit)
}

// Rollout returns one rollout with its runs.
func (p Pages) Rollout(ctx context.Context, id string) (wire.Rollout, error) {
	if err := p.may(ctx, core.RoleViewer, onRollout, id); err != nil {
		return wire.Rollout{}, err
	}
	return p.API.Board.Rollout(ctx, id)
}

// Runs lists runs, newest first.
func (p Pages) Runs(ctx context.Context, project, environment, rollout string, limit int) ([]wire.Run, error) {
	if err := may(ctx, core.RoleViewer, project, ""); err != nil {
		return nil, err
	}
	all, err := p.API.Board.AllRuns(ctx, core.RunFilter{Project: project, Environment: environment, Rollout: rollout, Limit: limit})
	return sees(ctx, all, runPlace), err
}

// Preview returns what a branch would do.
func (p Pages) Preview(ctx context.Context, project, id string) (wire.Preview, error) {
	if err := may(ctx, core.RoleViewer, project, ""); err != nil {
		return wire.Preview{}, err
	}
	pv, err := p.API.Previews.Get(ctx, project, id)
	if err != nil {
		return wire.Preview{}, err
	}
	return p.API.Board.Preview(ctx, pv)
}

// Run returns one run.
func (p Pages) Run(ctx context.Context, id string) (wire.Run, error) {
	if err := p.may(ctx, core.RoleViewer, onRun, id); err != nil {
		return wire.Run{}, err
	}
	return p.API.Board.Run(ctx, id, by(ctx))
}

// Modules lists the modules of the registry.
func (p Pages) Modules(ctx context.Context) ([]wire.Module, error) {
	if err := may(ctx, core.RoleViewer, "", ""); err != nil {
		return nil, err
	}
	all, err := p.API.Modules.List(ctx)
	var out []wire.Module
	for _, m := range all {
		out = append(out, p.API.Modules.Wire(m))
	}
	return out, err
}

// Module shows a module, with the documentation of a version.
func (p Pages) Module(ctx context.Context, address, version string) (wire.ShownModule, error) {
	if err := may(ctx, core.RoleViewer, "", ""); err != nil {
		return wire.ShownModule{}, err
	}
	return p.API.shownModule(ctx, address, version)
}

// Approvals lists the runs of a project that wait for approvals.
func (p Pages) Approvals(ctx context.Context, project string) ([]wire.Approval, error) {
	if err := may(ctx, core.RoleViewer, project, ""); err != nil {
		return nil, err
	}
	all, err := p.API.Board.Approvals(ctx, project, by(ctx))
	return sees(ctx, all, approvalPlace), err
}

// Vote says yes or no to the plan of a run that waits for approvals.
func (p Pages) Vote(ctx context.Context, run, plan string, approves bool, reason string) error {
	if err := p.may(ctx, core.RoleOperator, onRun, run); err != nil {
		return err
	}
	_, err := p.API.Runs.Vote(ctx, by(ctx), run, runs.Ballot{Approves: approves, Reason: reason, Plan: plan})
	return err
}

// Plan returns a run's plan, nil when it has none.
func (p Pages) Plan(ctx context.Context, id string) (*wire.Plan, error) {
	if err := p.may(ctx, core.RoleViewer, onRun, id); err != nil {
		return nil, err
	}
	plan, err := p.API.Board.Plan(ctx, id)
	if core.CodeOf(err) == core.NotFound {
		return nil, nil
	}
	return plan, err
}

// Logs returns chunks of a run's log after a number.
func (p Pages) Logs(ctx context.Context, run string, after int64, limit int) ([]wire.LogChunk, error) {
	if err := p.may(ctx, core.RoleViewer, onRun, run); err != nil {
		return nil, err
	}
	chunks, _, err := p.API.Board.Logs(ctx, run, after, limit)
	return chunks, err
}

// Changed ticks when a project ("" for any) changes, until ctx ends. It says nothing else.
func (p Pages) Changed(ctx context.Context, project string) <-chan struct{} {
	return p.API.Bus.Listen(ctx, project)
}

// LogChanged ticks when a run's log grows.
func (p Pages) LogChanged(ctx context.Context, run string) <-chan struct{} {
	return p.API.Bus.Listen(ctx, bus.LogTopic(run))
}

// CancelRollout ends a rollout.
func (p Pages) CancelRollout(ctx context.Context, id string) error {
	if err := p.may(ctx, core.RoleOperator, onRollout, id); err != nil {
		return err
	}
	_, err := p.API.Rollouts.Cancel(ctx, by(ctx), id)
	return err
}

// CancelRun stops a run.
func (p Pages) CancelRun(ctx context.Context, id string) error {
	if err := p.may(ctx, core.RoleOperator, onRun, id); err != nil {
		return err
	}
	_, err := p.API.Runs.Cancel(ctx, by(ctx), id)
	return err
}
