package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Drift tells of each instance of a project what is known of its drift.
func (c *Client) Drift(ctx context.Context, project string) ([]wire.DriftStatus, error) {
	return get[[]wire.DriftStatus](ctx, c, path("projects", project, "drift"))
}

// Look starts looks at what is there.
func (c *Client) Look(ctx context.Context, project string, look wire.Look) (wire.Looks, error) {
	return post[wire.Looks](ctx, c, path("projects", project, "drift"), look)
}

// Repair runs the release that is in an environment again at what drifted.
func (c *Client) Repair(ctx context.Context, project, environment string, repair wire.Repair) (wire.Rollout, error) {
	return post[wire.Rollout](ctx, c, path("projects", project, "repairs", environment), repair)
}

// ShowDrift returns what the newest look at an instance found.
func (c *Client) ShowDrift(ctx context.Context, project, environment, stack string) (wire.DriftReport, error) {
	return get[wire.DriftReport](ctx, c, path("projects", project, "drift", environment, stack))
}
