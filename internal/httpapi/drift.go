package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) driftRoutes(r *routes) {
	const all = "/api/v1/projects/{project}/drift"
	type look struct {
		ProjectPath
		Body wire.Look
	}
	add(r, viewers, http.MethodGet, all, "list-drift", "What is known of the drift of each instance", func(ctx context.Context, in *ProjectPath) (*body[[]wire.DriftStatus], error) {
		out, err := a.Drift.List(ctx, in.Project)
		return &body[[]wire.DriftStatus]{out}, err
	})
	add(r, operators, http.MethodPost, all, "look", "Look at what is there, without changing anything", func(ctx context.Context, in *look) (*body[wire.Looks], error) {
		out, err := a.Drift.Look(ctx, by(ctx), in.Project, in.Body)
		return &body[wire.Looks]{out}, err
	}, created)
	type fix struct {
		ProjectPath
		Environment string `path:"environment" maxLength:"63"`
		Body        wire.Repair
	}
	add(r, operators, http.MethodPost, "/api/v1/projects/{project}/repairs/{environment}", "repair", "Run the release that is there again at what drifted, through every gate", func(ctx context.Context, in *fix) (*body[wire.Rollout], error) {
		out, err := a.Drift.Fix(ctx, by(ctx), in.Project, in.Environment, in.Body.Stacks)
		return &body[wire.Rollout]{out}, err
	}, created)
	add(r, viewers, http.MethodGet, all+"/{environment}/{stack}", "show-drift", "How what is there differs from an instance's state, sensitive values masked", func(ctx context.Context, in *InstancePath) (*body[wire.DriftReport], error) {
		out, err := a.Drift.Show(ctx, in.Project, in.Stack, in.Environment)
		return &body[wire.DriftReport]{out}, err
	})
}
