package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Except lets one apply do to one protected address what rule 13 forbids.
func (c *Client) Except(ctx context.Context, project, environment, stack string, e wire.Except) (wire.Exception, error) {
	return post[wire.Exception](ctx, c, path("projects", project, "exceptions", environment, stack), e)
}

// Exceptions lists a project's exceptions, newest first.
func (c *Client) Exceptions(ctx context.Context, project string) ([]wire.Exception, error) {
	return get[[]wire.Exception](ctx, c, path("projects", project, "exceptions"))
}

// ConfirmException is the second person's word.
func (c *Client) ConfirmException(ctx context.Context, project, id string) (wire.Exception, error) {
	return post[wire.Exception](ctx, c, path("projects", project, "exceptions", id, "approve"), struct{}{})
}

// EndException takes an exception back.
func (c *Client) EndException(ctx context.Context, project, id string) error {
	return c.do(ctx, request{method: "DELETE", path: path("projects", project, "exceptions", id)}, nil, nil)
}
