package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Verify asks whether what is there works: at an instance, or, without a stack, everywhere
// in an environment.
func (c *Client) Verify(ctx context.Context, project, environment, stack string) (wire.Verifications, error) {
	to := path("projects", project, "verifications", environment)
	if stack != "" {
		to = path("projects", project, "verifications", environment, stack)
	}
	return post[wire.Verifications](ctx, c, to, struct{}{})
}
