package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) parityRoutes(r *routes) {
	type two struct {
		ProjectPath
		A     string `path:"a" maxLength:"63"`
		B     string `path:"b" maxLength:"63"`
		Stack string `query:"stack" maxLength:"63" doc:"only this stack"`
	}
	add(r, viewers, http.MethodGet, "/api/v1/projects/{project}/parity/{a}/{b}", "parity", "How alike two environments are, and what differs", func(ctx context.Context, in *two) (*body[wire.Parity], error) {
		out, err := a.Likeness.Report(ctx, in.Project, in.A, in.B, in.Stack)
		return &body[wire.Parity]{out}, err
	})
}
