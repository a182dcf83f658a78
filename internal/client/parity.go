package client

import (
	"context"
	"net/url"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Parity compares two environments, or with a stack that alone.
func (c *Client) Parity(ctx context.Context, project, a, b, stack string) (wire.Parity, error) {
	where := path("projects", project, "parity", a, b)
	if stack != "" {
		where += "?stack=" + url.QueryEscape(stack)
	}
	return get[wire.Parity](ctx, c, where)
}
