package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// RollBack takes an environment back to an older release, or plans it (DryRun).
func (c *Client) RollBack(ctx context.Context, project, environment string, ask wire.GoBack) (wire.Rollback, error) {
	return post[wire.Rollback](ctx, c, path("projects", project, "environments", environment, "rollback"), ask)
}
