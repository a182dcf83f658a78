package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/access"
	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) exceptionRoutes(r *routes) {
	const all = "/api/v1/projects/{project}/exceptions"
	type except struct {
		InstancePath
		Body wire.Except
	}
	add(r, viewers, http.MethodGet, all, "list-exceptions", "Exceptions from protection, newest first", func(ctx context.Context, in *ProjectPath) (*body[[]wire.Exception], error) {
		exceptions, err := a.Access.Exceptions(ctx, in.Project)
		out := []wire.Exception{}
		for _, e := range exceptions {
			out = append(out, wireException(e))
		}
		return &body[[]wire.Exception]{out}, err
	})
	add(r, operators, http.MethodPost, all+"/{environment}/{stack}", "create-exception", "Let one apply do to a protected address what is forbidden", func(ctx context.Context, in *except) (*body[wire.Exception], error) {
		span, err := duration(in.Body.For, "2h")
		if err != nil {
			return nil, err
		}
		e, err := a.Access.Except(ctx, by(ctx), core.Exception{Project: in.Project, Stack: in.Stack, Environment: in.Environment, Address: in.Body.Address, Reason: in.Body.Reason}, span)
		return &body[wire.Exception]{wireException(e)}, err
	}, created)
	type one struct {
		ProjectPath
		ID string `path:"id" maxLength:"64"`
	}
	add(r, operators, http.MethodPost, all+"/{id}/approve", "confirm-exception", "Confirm an exception that somebody else made", func(ctx context.Context, in *one) (*body[wire.Exception], error) {
		e, err := a.Access.ConfirmException(ctx, by(ctx), in.Project, in.ID)
		return &body[wire.Exception]{wireException(e)}, err
	})
	add(r, operators, http.MethodDelete, all+"/{id}", "end-exception", "Take an exception back", func(ctx context.Context, in *one) (*none, error) {
		return &none{}, a.Access.EndException(ctx, by(ctx), in.Project, in.ID)
	})
}

func wireException(e access.Listed) wire.Exception {
	out := wire.Exception{ID: e.ID, Instance: core.InstanceName(e.Stack, e.Environment), Address: e.Address, Reason: e.Reason, By: e.By, ConfirmedBy: e.ConfirmedBy,
		Created: e.Created, Expires: e.Expires, UsedBy: e.UsedBy, Status: string(e.Status)}
	if !e.Ended.IsZero() {
		out.Ended = &e.Ended
	}
	return out
}
