package client

import (
	"context"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Images lists the images of a project that were built.
func (c *Client) Images(ctx context.Context, project string) ([]wire.Image, error) {
	return get[[]wire.Image](ctx, c, path("projects", project, "images"))
}

// ForgetImage has an image, by its digest or id, built again when it is wanted next.
func (c *Client) ForgetImage(ctx context.Context, project, name, image string) (out []wire.Image, err error) {
	err = c.do(ctx, request{method: "DELETE", path: path("projects", project, "images", name), query: query("image", image)}, nil, &out)
	return out, err
}
