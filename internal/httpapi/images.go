package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/wire"
)

func (a *API) imageRoutes(r *routes) {
	const all = "/api/v1/projects/{project}/images"
	add(r, viewers, http.MethodGet, all, "list-images", "Images that were built, by name, newest first, and where each is", func(ctx context.Context, in *ProjectPath) (*body[[]wire.Image], error) {
		list, err := a.Runs.Images(ctx, in.Project)
		for i := range list {
			list[i].UsedIn = sees(ctx, list[i].UsedIn, func(instance string) place { return instancePlace(in.Project, instance) })
		}
		return &body[[]wire.Image]{list}, err
	})
	type forget struct {
		ProjectPath
		Name  string `path:"name" maxLength:"63"`
		Image string `query:"image" required:"true" minLength:"1" maxLength:"512" doc:"its digest, of which the first 8 characters are enough, or its id"`
	}
	add(r, operators, http.MethodDelete, all+"/{name}", "forget-image", "Have an image built again when it is wanted next", func(ctx context.Context, in *forget) (*body[[]wire.Image], error) {
		list, err := a.Runs.ForgetImage(ctx, by(ctx), in.Project, in.Name, in.Image)
		return &body[[]wire.Image]{list}, err
	})
}
