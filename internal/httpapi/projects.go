package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/wire"
)

// body is an answer with a JSON body.
type body[T any] struct{ Body T }

type ProjectPath struct {
	Project string `path:"project" maxLength:"63"`
}

// none is an answer without content worth reading.
type none struct{ Body struct{} }

func created(op *huma.Operation) { op.DefaultStatus = http.StatusCreated }

func (a *API) projectRoutes(r *routes) {
	add(r, viewers, http.MethodGet, "/api/v1/projects", "list-projects", "Every project", func(ctx context.Context, _ *struct{}) (*body[[]wire.Project], error) {
		out, err := a.Board.AllProjects(ctx)
		return &body[[]wire.Project]{sees(ctx, out, projectPlace)}, err
	})
	add(r, admins, http.MethodPost, "/api/v1/projects", "add-project", "Track a repository", func(ctx context.Context, in *body[wire.AddProject]) (*body[wire.Project], error) {
		if in.Body.Forge != nil {
			p, err := a.Previews.Add(ctx, by(ctx), in.Body.Name, in.Body.Repo, in.Body.Branch, in.Body.Path, forgeConfig(*in.Body.Forge))
			return a.project(ctx, p, err)
		}
		p, err := a.Projects.Add(ctx, by(ctx), in.Body.Name, in.Body.Repo, in.Body.Branch, in.Body.Path)
		return a.project(ctx, p, err)
	}, created)
	add(r, viewers, http.MethodGet, "/api/v1/projects/{project}", "show-project", "One project; for its admins, with its webhook", func(ctx context.Context, in *ProjectPath) (*body[wire.Project], error) {
		p, err := a.Projects.Get(ctx, in.Project)
		if err != nil {
			return nil, err
		}
		// Whoever knows the webhook's secret can make the server read the branch.
		out, err := a.Board.ProjectOf(ctx, p, may(ctx, core.RoleAdmin, in.Project, "") == nil)
		return &body[wire.Project]{out}, err
	})
	type remove struct {
		ProjectPath
		Force bool `query:"force" doc:"also when states still have resources"`
	}
	add(r, admins, http.MethodDelete, "/api/v1/projects/{project}", "remove-project", "Forget a project", func(ctx context.Context, in *remove) (*none, error) {
		return &none{}, a.Projects.Remove(ctx, by(ctx), in.Project, in.Force)
	})
	add(r, operators, http.MethodPost, "/api/v1/projects/{project}/acknowledge", "acknowledge-history", "Accept a rewritten history", func(ctx context.Context, in *ProjectPath) (*none, error) {
		return &none{}, a.Projects.Acknowledge(ctx, by(ctx), in.Project)
	})
	type status struct {
		ProjectPath
		Why bool `query:"why"`
	}
	add(r, viewers, http.MethodGet, "/api/v1/projects/{project}/status", "status", "Stacks by environments", func(ctx context.Context, in *status) (*body[wire.Status], error) {
		out, err := a.Board.Status(ctx, in.Project, in.Why)
		return &body[wire.Status]{out}, err
	})
	type EnvironmentPath struct {
		ProjectPath
		Environment string `path:"environment" maxLength:"63"`
	}
	type hold struct {
		EnvironmentPath
		Body wire.Reason
	}
	add(r, operators, http.MethodPost, "/api/v1/projects/{project}/environments/{environment}/hold", "hold", "Let nothing enter an environment", func(ctx context.Context, in *hold) (*none, error) {
		return &none{}, a.Access.Hold(ctx, by(ctx), in.Project, in.Environment, in.Body.Reason)
	})
	add(r, operators, http.MethodDelete, "/api/v1/projects/{project}/environments/{environment}/hold", "unhold", "Lift a hold", func(ctx context.Context, in *EnvironmentPath) (*none, error) {
		return &none{}, a.Access.Unhold(ctx, by(ctx), in.Project, in.Environment)
	})
	type events struct {
		Project string `query:"project" maxLength:"63"`
		After   int64  `query:"after" minimum:"0"`
		Limit   int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
	}
	add(r, viewers, http.MethodGet, "/api/v1/events", "events", "The audit log, oldest first", func(ctx context.Context, in *events) (*body[[]wire.Event], error) {
		if err := mayReadEvents(ctx, in.Project); err != nil {
			return nil, err
		}
		out, err := a.Board.Events(ctx, in.Project, in.After, in.Limit)
		return &body[[]wire.Event]{out}, err
	})
	add(r, viewers, http.MethodGet, "/api/v1/events/verify", "verify-events", "Compute the hashes of the whole audit log anew", func(ctx context.Context, _ *struct{}) (*body[wire.VerifiedEvents], error) {
		seq, hash, err := a.VerifyEvents(ctx)
		if core.CodeOf(err) == core.Conflict {
			return &body[wire.VerifiedEvents]{wire.VerifiedEvents{Seq: seq, Hash: hash, Reason: core.MessageOf(err)}}, nil
		}
		return &body[wire.VerifiedEvents]{wire.VerifiedEvents{Intact: true, Seq: seq, Hash: hash}}, err
	})
}

func (a *API) rolloutRoutes(r *routes) {
	type list struct {
		ProjectPath
		Limit int `query:"limit" minimum:"1" maximum:"1000" default:"20"`
	}
	add(r, viewers, http.MethodGet, "/api/v1/projects/{project}/rollouts", "list-rollouts", "Rollouts, newest first", func(ctx context.Context, in *list) (*body[[]wire.Rollout], error) {
		out, err := a.Board.Rollouts(ctx, in.Project, in.Limit)
		return &body[[]wire.Rollout]{out}, err
	})
	type start struct {
		ProjectPath
		Body wire.StartRollout
	}
	add(r, operators, http.MethodPost, "/api/v1/projects/{project}/rollouts", "start-rollout", "Promote a release, or try again", func(ctx context.Context, in *start) (*body[wire.Rollout], error) {
		ro, err := a.Rollouts.Start(ctx, by(ctx), in.Project, in.Body.Commit, in.Body.All)
		if err != nil {
			return nil, err
		}
		return &body[wire.Rollout]{board.Rollout(ro)}, nil
	}, created)
	type one struct {
		ID string `path:"id" maxLength:"64"`
	}
	add(r, viewers, http.MethodGet, "/api/v1/rollouts/{id}", "show-rollout", "One rollout with its runs", func(ctx context.Context, in *one) (*body[wire.Rollout], error) {
		out, err := a.Board.Rollout(ctx, in.ID)
		return &body[wire.Rollout]{out}, err
	})
	add(r, operators, http.MethodPost, "/api/v1/rollouts/{id}/cancel", "cancel-rollout", "End a rollout", func(ctx context.Context, in *one) (*body[wire.Rollout], error) {
		ro, err := a.Rollouts.Cancel(ctx, by(ctx), in.ID)
		if err != nil {
			return nil, err
		}
		return &body[wire.Rollout]{board.Rollout(ro)}, nil
	})
}

type RunPath struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *API) runRoutes(r *routes) {
	type list struct {
		ProjectPath
		Environment string `query:"environment" maxLength:"63"`
		Stack       string `query:"stack" maxLength:"70"`
		Rollout     string `query:"rollout" maxLength:"64"`
		Limit       int    `query:"limit" minimum:"1" maximum:"10000" default:"100"`
	}
	add(r, viewers, http.MethodGet, "/api/v1/projects/{project}/runs", "list-runs", "Runs, newest first", func(ctx context.Context, in *list) (*body[[]wire.Run], error) {
		out, err := a.Board.AllRuns(ctx, core.RunFilter{Project: in.Project, Environment: in.Environment, Stack: in.Stack, Rollout: in.Rollout, Limit: in.Limit})
		return &body[[]wire.Run]{sees(ctx, out, runPlace)}, err
	})
	add(r, viewers, http.MethodGet, "/api/v1/runs/{id}", "show-run", "One run", func(ctx context.Context, in *RunPath) (*body[wire.Run], error) {
		out, err := a.Board.Run(ctx, in.ID, by(ctx))
		return &body[wire.Run]{out}, err
	})
	add(r, viewers, http.MethodGet, "/api/v1/runs/{id}/plan", "show-plan", "A run's plan, masked", func(ctx context.Context, in *RunPath) (*body[*wire.Plan], error) {
		out, err := a.Board.Plan(ctx, in.ID)
		return &body[*wire.Plan]{out}, err
	})
	type logs struct {
		RunPath
		After int64 `query:"after" minimum:"0"`
		Limit int   `query:"limit" minimum:"1" maximum:"1000" default:"500"`
	}
	add(r, viewers, http.MethodGet, "/api/v1/runs/{id}/logs", "run-logs", "Chunks of a run's log", func(ctx context.Context, in *logs) (*body[[]wire.LogChunk], error) {
		out, _, err := a.Board.Logs(ctx, in.ID, in.After, in.Limit)
		return &body[[]wire.LogChunk]{out}, err
	})
	type reason struct {
		RunPath
		Body *wire.Reason `required:"false"`
	}
	decide := func(path, id, summary string, f func(ctx context.Context, by, run, reason string) (core.Run, error)) {
		add(r, operators, http.MethodPost, "/api/v1/runs/{id}/"+path, id, summary, func(ctx context.Context, in *reason) (*body[wire.Run], error) {
			why := ""
			if in.Body != nil {
				why = in.Body.Reason
			}
			run, err := f(ctx, by(ctx), in.ID, why)
			if err != nil {
				return nil, err
			}
			return &body[wire.Run]{board.Run(run)}, nil
		})
	}
	decide("cancel", "cancel-run", "Stop a run", func(ctx context.Context, by, run, _ string) (core.Run, error) { return a.Runs.Cancel(ctx, by, run) })
	type recover struct {
		RunPath
		Body *wire.Recover `required:"false"`
	}
	add(r, operators, http.MethodPost, "/api/v1/runs/{id}/recover", "recover-run", "Find out about an unknown outcome", func(ctx context.Context, in *recover) (*body[wire.Run], error) {
		unlock := ""
		if in.Body != nil {
			unlock = in.Body.Unlock
		}
		run, err := a.Runs.Recover(ctx, by(ctx), in.ID, unlock)
		if err != nil {
			return nil, err
		}
		return &body[wire.Run]{board.Run(run)}, nil
	})
	decide("abandon", "abandon-run", "Give up a runner that does not answer; in an apply the outcome is unknown then", a.Runs.Abandon)
	r.raw(viewers, http.MethodGet, "/api/v1/runs/{id}/logs/stream", a.streamLogs)
	r.raw(viewers, http.MethodGet, "/api/v1/changes", a.streamChanges)
}
