package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Guardrails returns a version of the guardrails with its files, the newest for 0. While
// there are none, that is version 0.
func (c *Client) Guardrails(ctx context.Context, version int64) (wire.Guardrails, error) {
	return get[wire.Guardrails](ctx, c, "/guardrails", "version", number(version))
}

// GuardrailsHistory lists every version, newest first, without files.
func (c *Client) GuardrailsHistory(ctx context.Context) ([]wire.Guardrails, error) {
	return get[[]wire.Guardrails](ctx, c, "/guardrails/history")
}

// SetGuardrails stores a new version.
func (c *Client) SetGuardrails(ctx context.Context, g wire.SetGuardrails) (out wire.Guardrails, err error) {
	err = c.do(ctx, request{method: "PUT", path: "/guardrails"}, g, &out)
	return out, err
}
