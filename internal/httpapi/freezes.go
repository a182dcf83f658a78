package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) freezeRoutes(r *routes) {
	const all = "/api/v1/projects/{project}/freezes"
	type freeze struct {
		ProjectPath
		Body wire.SetFreeze
	}
	add(r, viewers, http.MethodGet, all, "list-freezes", "Freezes that people set, newest first, and those that configurations write", func(ctx context.Context, in *ProjectPath) (*body[[]wire.Freeze], error) {
		out, err := a.Board.Freezes(ctx, in.Project)
		return &body[[]wire.Freeze]{out}, err
	})
	add(r, operators, http.MethodPost, all, "create-freeze", "Let nothing change in an environment, or in any", func(ctx context.Context, in *freeze) (*body[wire.Freeze], error) {
		f := core.Freeze{Project: in.Project, Environment: in.Body.Environment, From: in.Body.From, Until: in.Body.Until, Reason: in.Body.Reason}
		var lifetime time.Duration
		if in.Body.For != "" {
			var err error
			if lifetime, err = time.ParseDuration(in.Body.For); err != nil || lifetime <= 0 || !f.Until.IsZero() {
				return nil, core.Errorf(core.Invalid, "a freeze lasts until a time or for a duration, as 48h, and not both; %q cannot be taken", in.Body.For)
			}
		}
		f, err := a.Access.Freeze(ctx, by(ctx), f, lifetime)
		return &body[wire.Freeze]{board.Freeze(f, f.Created)}, err
	}, created)
	lifted := func(freezes []core.Freeze) *body[[]wire.Freeze] {
		out := []wire.Freeze{}
		for _, f := range freezes {
			out = append(out, board.Freeze(f, f.Lifted))
		}
		return &body[[]wire.Freeze]{out}
	}
	type many struct {
		ProjectPath
		Environment string `query:"environment" maxLength:"63" doc:"missing: what freezes all environments at once"`
	}
	add(r, operators, http.MethodDelete, all, "unfreeze", "Lift the freezes that people set on an environment, or on all", func(ctx context.Context, in *many) (*body[[]wire.Freeze], error) {
		freezes, err := a.Access.Unfreeze(ctx, by(ctx), in.Project, in.Environment, "")
		return lifted(freezes), err
	})
	type one struct {
		ProjectPath
		ID string `path:"id" minLength:"1" maxLength:"64"`
	}
	add(r, operators, http.MethodDelete, all+"/{id}", "lift-freeze", "Lift one freeze", func(ctx context.Context, in *one) (*body[[]wire.Freeze], error) {
		freezes, err := a.Access.Unfreeze(ctx, by(ctx), in.Project, "", in.ID)
		return lifted(freezes), err
	})
}
