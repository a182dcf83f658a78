package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Approvals lists the runs that wait for approvals, the longest waiting first; project ""
// means every one.
func (c *Client) Approvals(ctx context.Context, project string) ([]wire.Approval, error) {
	return get[[]wire.Approval](ctx, c, "/approvals", "project", project)
}

// Approve says yes to the plan of a run that waits for approvals.
func (c *Client) Approve(ctx context.Context, run string, b wire.Ballot) (wire.Run, error) {
	return post[wire.Run](ctx, c, path("runs", run, "approve"), b)
}

// Reject says no to it, which ends the run.
func (c *Client) Reject(ctx context.Context, run string, b wire.Ballot) (wire.Run, error) {
	return post[wire.Run](ctx, c, path("runs", run, "reject"), b)
}
