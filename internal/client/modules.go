package client

import (
	"context"
	"strings"

	"github.com/terrace-cd/terrace/internal/wire"
)

func modulePath(address string, more ...string) string {
	return path(append(append([]string{"modules"}, strings.Split(address, "/")...), more...)...)
}

// Modules lists the modules of the registry.
func (c *Client) Modules(ctx context.Context) ([]wire.Module, error) {
	return get[[]wire.Module](ctx, c, path("modules"))
}

// AddModule adds a module to the registry.
func (c *Client) AddModule(ctx context.Context, m wire.AddModule) (wire.Module, error) {
	return post[wire.Module](ctx, c, path("modules"), m)
}

// Module shows a module, with the documentation of a version, the newest for "".
func (c *Client) Module(ctx context.Context, address, version string) (out wire.ShownModule, err error) {
	err = c.do(ctx, request{method: "GET", path: modulePath(address), query: query("version", version)}, nil, &out)
	return out, err
}

// RefreshModule reads a module's tags now.
func (c *Client) RefreshModule(ctx context.Context, address string) (wire.Module, error) {
	return post[wire.Module](ctx, c, modulePath(address, "refresh"), struct{}{})
}

// RemoveModule takes a module out of the registry.
func (c *Client) RemoveModule(ctx context.Context, address string) error {
	return c.do(ctx, request{method: "DELETE", path: modulePath(address)}, nil, nil)
}

// ModuleUses tells who uses which version of the registry's modules in a project.
func (c *Client) ModuleUses(ctx context.Context, project string) ([]wire.ModuleUse, error) {
	return get[[]wire.ModuleUse](ctx, c, path("projects", project, "modules"))
}

// RunModule fetches a version of a module for a run.
func (c *Client) RunModule(ctx context.Context, run, address, version string) (out wire.ModuleArchive, err error) {
	segments := append([]string{"runs", run, "modules"}, strings.Split(address, "/")...)
	err = c.insist(ctx, request{method: "GET", path: path(append(segments, version)...)}, nil, &out)
	return out, err
}
