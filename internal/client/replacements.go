package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Replace asks the next run of an instance to replace resources.
func (c *Client) Replace(ctx context.Context, project, environment, stack string, r wire.Replace) ([]wire.Replacement, error) {
	return post[[]wire.Replacement](ctx, c, path("projects", project, "replacements", environment, stack), r)
}

// Replacements lists what people asked to be replaced, newest first.
func (c *Client) Replacements(ctx context.Context, project string) ([]wire.Replacement, error) {
	return get[[]wire.Replacement](ctx, c, path("projects", project, "replacements"))
}

// EndReplacement takes a replacement back that was not done.
func (c *Client) EndReplacement(ctx context.Context, project, id string) error {
	return c.do(ctx, request{method: "DELETE", path: path("projects", project, "replacements", id)}, nil, nil)
}
