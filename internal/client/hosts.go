package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// KnownHosts lists the hosts of an instance.
func (c *Client) KnownHosts(ctx context.Context, project, environment, stack string) ([]wire.Host, error) {
	return get[[]wire.Host](ctx, c, path("projects", project, "hosts", environment, stack))
}

// ForgetHost forgets the SSH host keys of one.
func (c *Client) ForgetHost(ctx context.Context, project, environment, stack, host string) error {
	return c.do(ctx, request{method: "DELETE", path: path("projects", project, "hosts", environment, stack, host)}, nil, nil)
}
