package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Sandboxes lists the sandboxes of a project, by name.
func (c *Client) Sandboxes(ctx context.Context, project string) ([]wire.Sandbox, error) {
	return get[[]wire.Sandbox](ctx, c, path("projects", project, "sandboxes"))
}

// CreateSandbox makes a sandbox.
func (c *Client) CreateSandbox(ctx context.Context, project string, ask wire.CreateSandbox) (wire.Sandbox, error) {
	return post[wire.Sandbox](ctx, c, path("projects", project, "sandboxes"), ask)
}

// Sandbox returns one.
func (c *Client) Sandbox(ctx context.Context, project, name string) (wire.Sandbox, error) {
	return get[wire.Sandbox](ctx, c, path("projects", project, "sandboxes", name))
}

// ExtendSandbox moves the end of one.
func (c *Client) ExtendSandbox(ctx context.Context, project, name string, ask wire.ExtendSandbox) (wire.Sandbox, error) {
	return post[wire.Sandbox](ctx, c, path("projects", project, "sandboxes", name, "extend"), ask)
}

// SetSandbox changes the variables that one has of its own.
func (c *Client) SetSandbox(ctx context.Context, project, name string, ask wire.SetSandbox) (wire.Sandbox, error) {
	return post[wire.Sandbox](ctx, c, path("projects", project, "sandboxes", name, "variables"), ask)
}

// DestroySandbox begins the end of one.
func (c *Client) DestroySandbox(ctx context.Context, project, name string) (out wire.Sandbox, err error) {
	err = c.do(ctx, request{method: "DELETE", path: path("projects", project, "sandboxes", name)}, nil, &out)
	return out, err
}

// SandboxShell returns with what an engine works on a stack of a sandbox.
func (c *Client) SandboxShell(ctx context.Context, project, name, stack string) (wire.SandboxShell, error) {
	return post[wire.SandboxShell](ctx, c, path("projects", project, "sandboxes", name, "shell", stack), struct{}{})
}

// Variables lists those of an instance, as a release sets them; commit "" is the newest.
func (c *Client) Variables(ctx context.Context, project, environment, stack, commit string) (wire.Variables, error) {
	return get[wire.Variables](ctx, c, path("projects", project, "variables", environment, stack), "commit", commit)
}
