package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/service/rollouts"
	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) rollbackRoutes(r *routes) {
	type rollback struct {
		ProjectPath
		Environment string `path:"environment" maxLength:"63"`
		Body        wire.GoBack
	}
	add(r, operators, http.MethodPost, "/api/v1/projects/{project}/environments/{environment}/rollback", "rollback", "Take an environment back to a release that was verified there", func(ctx context.Context, in *rollback) (*body[wire.Rollback], error) {
		ask := rollouts.Back{Project: in.Project, Environment: in.Environment, To: in.Body.To, Reason: in.Body.Reason}
		out := wire.Rollback{Environment: in.Environment, Previews: []wire.Run{}, Removed: []string{}}
		if in.Body.DryRun {
			way, err := a.Rollouts.LookBack(ctx, by(ctx), ask)
			if err != nil {
				return nil, err
			}
			out.From, out.To, out.Removed = way.From, board.Release(way.To), append(out.Removed, way.Removed...)
			for _, run := range way.Previews {
				out.Previews = append(out.Previews, board.Run(run))
			}
			return &body[wire.Rollback]{out}, nil
		}
		way, err := a.Rollouts.RollBack(ctx, by(ctx), ask)
		if err != nil {
			return nil, err
		}
		rollout := board.Rollout(way.Rollout)
		out.From, out.To, out.Rollout = way.From, board.Release(way.To), &rollout
		return &body[wire.Rollback]{out}, nil
	})
}
