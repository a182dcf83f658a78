package client

import (
	"context"
	"fmt"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Previews lists the newest previews of a project, and its open pull requests; of one pull
// request alone unless that is 0.
func (c *Client) Previews(ctx context.Context, project string, pull int64, limit int) (wire.Previews, error) {
	return get[wire.Previews](ctx, c, path("projects", project, "previews"), "pull", fmt.Sprint(pull), "limit", fmt.Sprint(limit))
}

// Preview returns one.
func (c *Client) Preview(ctx context.Context, project, id string) (wire.Preview, error) {
	return get[wire.Preview](ctx, c, path("projects", project, "previews", id))
}

// StartPreview begins one.
func (c *Client) StartPreview(ctx context.Context, project string, ask wire.StartPreview) (wire.Preview, error) {
	return post[wire.Preview](ctx, c, path("projects", project, "previews"), ask)
}

// CancelPreview stops one.
func (c *Client) CancelPreview(ctx context.Context, project, id string) (wire.Preview, error) {
	return post[wire.Preview](ctx, c, path("projects", project, "previews", id, "cancel"), struct{}{})
}

// AllowPull lets the newest commit of a fork be previewed; commit, unless it is "", has to be it.
func (c *Client) AllowPull(ctx context.Context, project string, number int64, commit string) (wire.Preview, error) {
	return post[wire.Preview](ctx, c, path("projects", project, "pulls", fmt.Sprint(number), "allow"), wire.AllowPull{Commit: commit})
}

// SetForge says where a project's repository is hosted.
func (c *Client) SetForge(ctx context.Context, project string, f wire.SetForge) (out wire.Project, err error) {
	err = c.do(ctx, request{method: "PUT", path: path("projects", project, "forge")}, f, &out)
	return out, err
}

// RemoveForge forgets that.
func (c *Client) RemoveForge(ctx context.Context, project string) (out wire.Project, err error) {
	err = c.do(ctx, request{method: "DELETE", path: path("projects", project, "forge")}, nil, &out)
	return out, err
}
