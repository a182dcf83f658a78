package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// ForgetState drops what is known of a state in the stack's own backend.
func (c *Client) ForgetState(ctx context.Context, project, environment, stack, reason string) error {
	return c.do(ctx, request{method: "POST", path: path("projects", project, "states", environment, stack, "forget")}, wire.Reason{Reason: reason}, nil)
}

// RecoverySlot lists an instance's recovery slot, newest first.
func (c *Client) RecoverySlot(ctx context.Context, project, environment, stack string) ([]wire.Recovered, error) {
	return get[[]wire.Recovered](ctx, c, path("projects", project, "states", environment, stack, "recovered"))
}

// PullRecovered returns the state in an entry of the recovery slot.
func (c *Client) PullRecovered(ctx context.Context, project, environment, stack string, id int64) ([]byte, error) {
	return get[[]byte](ctx, c, path("projects", project, "states", environment, stack, "recovered", number(id)))
}

// UseRecovered makes an entry of the recovery slot the current state.
func (c *Client) UseRecovered(ctx context.Context, project, environment, stack string, id int64) (wire.StateVersion, error) {
	return post[wire.StateVersion](ctx, c, path("projects", project, "states", environment, stack, "recovered", number(id), "use"), struct{}{})
}

// DiscardRecovered says that nobody needs an entry of the recovery slot.
func (c *Client) DiscardRecovered(ctx context.Context, project, environment, stack string, id int64, reason string) error {
	return c.do(ctx, request{method: "POST", path: path("projects", project, "states", environment, stack, "recovered", number(id), "discard")}, wire.Reason{Reason: reason}, nil)
}
