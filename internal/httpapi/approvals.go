package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) approvalRoutes(r *routes) {
	type list struct {
		Project string `query:"project" maxLength:"63" doc:"default: every project"`
	}
	add(r, viewers, http.MethodGet, "/api/v1/approvals", "list-approvals", "Runs that wait for approvals, oldest first", func(ctx context.Context, in *list) (*body[[]wire.Approval], error) {
		out, err := a.Board.Approvals(ctx, in.Project, by(ctx))
		return &body[[]wire.Approval]{sees(ctx, out, approvalPlace)}, err
	})
	type ballot struct {
		RunPath
		Body *wire.Ballot `required:"false"`
	}
	vote := func(verb, summary string, approves bool) {
		add(r, operators, http.MethodPost, "/api/v1/runs/{id}/"+verb, verb+"-run", summary, func(ctx context.Context, in *ballot) (*body[wire.Run], error) {
			b := runs.Ballot{Approves: approves}
			if in.Body != nil {
				b.Reason, b.Plan = in.Body.Reason, in.Body.Plan
			}
			run, err := a.Runs.Vote(ctx, by(ctx), in.ID, b)
			if err != nil {
				return nil, err
			}
			return &body[wire.Run]{board.Run(run)}, nil
		})
	}
	vote("approve", "Say yes to a plan that waits for approvals", true)
	vote("reject", "Say no to it, which ends its run", false)
}
