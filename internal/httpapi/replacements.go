package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) replacementRoutes(r *routes) {
	const all = "/api/v1/projects/{project}/replacements"
	type replace struct {
		InstancePath
		Body wire.Replace
	}
	add(r, viewers, http.MethodGet, all, "list-replacements", "What people asked to be replaced, newest first", func(ctx context.Context, in *ProjectPath) (*body[[]wire.Replacement], error) {
		list, err := a.Runs.Replacements(ctx, in.Project)
		return &body[[]wire.Replacement]{wireReplacements(list)}, err
	})
	add(r, operators, http.MethodPost, all+"/{environment}/{stack}", "create-replacements", "Have resources replaced by the next run of an instance", func(ctx context.Context, in *replace) (*body[[]wire.Replacement], error) {
		list, err := a.Runs.Replace(ctx, by(ctx), in.Project, in.Stack, in.Environment, in.Body.Addresses, in.Body.Reason)
		return &body[[]wire.Replacement]{wireReplacements(list)}, err
	}, created)
	type one struct {
		ProjectPath
		ID string `path:"id" maxLength:"64"`
	}
	add(r, operators, http.MethodDelete, all+"/{id}", "end-replacement", "Take a replacement back that was not done", func(ctx context.Context, in *one) (*none, error) {
		return &none{}, a.Runs.TakeBack(ctx, by(ctx), in.Project, in.ID)
	})
}

func wireReplacements(list []core.Replacement) []wire.Replacement {
	out := []wire.Replacement{}
	for _, r := range list {
		w := wire.Replacement{ID: r.ID, Instance: core.InstanceName(r.Stack, r.Environment), Address: r.Address, Reason: r.Reason, By: r.By,
			Created: r.Created, Run: r.Run, EndedBy: r.TakenBack, Status: "open"}
		switch {
		case r.TakenBack != "":
			w.Status = "ended"
		case !r.Open():
			w.Status = "done"
		}
		if !r.Ended.IsZero() {
			w.Ended = &r.Ended
		}
		out = append(out, w)
	}
	return out
}
