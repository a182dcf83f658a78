package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Freeze lets nothing change in an environment, or in any.
func (c *Client) Freeze(ctx context.Context, project string, f wire.SetFreeze) (wire.Freeze, error) {
	return post[wire.Freeze](ctx, c, path("projects", project, "freezes"), f)
}

// Freezes lists a project's freezes.
func (c *Client) Freezes(ctx context.Context, project string) ([]wire.Freeze, error) {
	return get[[]wire.Freeze](ctx, c, path("projects", project, "freezes"))
}

// Unfreeze lifts what people set on an environment, "" for what freezes all at once.
func (c *Client) Unfreeze(ctx context.Context, project, environment string) ([]wire.Freeze, error) {
	return c.lift(ctx, path("projects", project, "freezes"), "environment", environment)
}

// LiftFreeze lifts one freeze.
func (c *Client) LiftFreeze(ctx context.Context, project, id string) ([]wire.Freeze, error) {
	return c.lift(ctx, path("projects", project, "freezes", id))
}

func (c *Client) lift(ctx context.Context, path string, q ...string) (out []wire.Freeze, err error) {
	err = c.do(ctx, request{method: "DELETE", path: path, query: query(q...)}, nil, &out)
	return out, err
}
