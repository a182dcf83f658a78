package client

import (
	"context"
	"strings"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Candidate says which release promoting an environment means, and what is in its way.
func (c *Client) Candidate(ctx context.Context, project, environment string, p wire.Promote) (wire.Candidate, error) {
	return get[wire.Candidate](ctx, c, path("projects", project, "environments", environment, "candidate"),
		"release", number(p.Release), "skip_gate", strings.Join(p.SkipGate, ","))
}

// Promote lets a release enter an environment on purpose.
func (c *Client) Promote(ctx context.Context, project, environment string, p wire.Promote) (wire.Promoted, error) {
	return post[wire.Promoted](ctx, c, path("projects", project, "environments", environment, "promote"), p)
}

// PendingSkips lists the skips of a project that wait for a second person.
func (c *Client) PendingSkips(ctx context.Context, project string) ([]wire.PendingSkip, error) {
	return get[[]wire.PendingSkip](ctx, c, path("projects", project, "skips"))
}

// AgreeToSkip is the second person's word on the skips of a stage.
func (c *Client) AgreeToSkip(ctx context.Context, stage, reason string) error {
	return c.do(ctx, request{method: "POST", path: path("stages", stage, "agree")}, wire.Reason{Reason: reason}, nil)
}
