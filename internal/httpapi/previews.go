package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/forge"
	"github.com/terrace-cd/terrace/internal/service/previews"
	"github.com/terrace-cd/terrace/internal/wire"
)

// previewRoutes are about what commits would do that are on no tracked branch. To run a
// branch's code takes a developer of the whole project: it is planned in every environment.
func (a *API) previewRoutes(r *routes) {
	const all = "/api/v1/projects/{project}/previews"
	type path struct {
		ProjectPath
		ID string `path:"id" maxLength:"64"`
	}
	type list struct {
		ProjectPath
		Pull  int64 `query:"pull" minimum:"0" doc:"only those of a pull request"`
		Limit int   `query:"limit" minimum:"1" maximum:"200" default:"20"`
	}
	add(r, viewers, http.MethodGet, all, "list-previews", "Previews, newest first, and the pull requests that are open", func(ctx context.Context, in *list) (*body[wire.Previews], error) {
		found, pulls, err := a.Previews.List(ctx, in.Project, in.Pull, in.Limit)
		if err != nil {
			return nil, err
		}
		out, err := a.Board.Previews(ctx, found, pulls)
		return &body[wire.Previews]{out}, err
	})
	type start struct {
		ProjectPath
		Body wire.StartPreview
	}
	add(r, developers, http.MethodPost, all, "start-preview", "Plan what a branch, or a pull request, would do", func(ctx context.Context, in *start) (*body[wire.Preview], error) {
		pv, err := a.Previews.Start(ctx, by(ctx), previews.Ask{Project: in.Project, Pull: in.Body.Pull, Branch: in.Body.Branch})
		return a.preview(ctx, pv, err)
	}, created)
	add(r, viewers, http.MethodGet, all+"/{id}", "show-preview", "One preview", func(ctx context.Context, in *path) (*body[wire.Preview], error) {
		pv, err := a.Previews.Get(ctx, in.Project, in.ID)
		return a.preview(ctx, pv, err)
	})
	add(r, developers, http.MethodPost, all+"/{id}/cancel", "cancel-preview", "Stop a preview", func(ctx context.Context, in *path) (*body[wire.Preview], error) {
		pv, err := a.Previews.Cancel(ctx, by(ctx), in.Project, in.ID)
		return a.preview(ctx, pv, err)
	})
	type allow struct {
		ProjectPath
		Number int64 `path:"number" minimum:"1"`
		Body   wire.AllowPull
	}
	add(r, developers, http.MethodPost, "/api/v1/projects/{project}/pulls/{number}/allow", "allow-pull", "Let the newest commit of a fork be previewed", func(ctx context.Context, in *allow) (*body[wire.Preview], error) {
		pv, err := a.Previews.Allow(ctx, by(ctx), in.Project, in.Number, in.Body.Commit)
		return a.preview(ctx, pv, err)
	})
	type set struct {
		ProjectPath
		Body wire.SetForge
	}
	const forgePath = "/api/v1/projects/{project}/forge"
	add(r, admins, http.MethodPut, forgePath, "set-forge", "Say where a project's repository is hosted, and as whom Terrace is there", func(ctx context.Context, in *set) (*body[wire.Project], error) {
		p, err := a.Previews.SetForge(ctx, by(ctx), in.Project, forgeConfig(in.Body))
		return a.project(ctx, p, err)
	})
	add(r, admins, http.MethodDelete, forgePath, "remove-forge", "Forget where a project's repository is hosted", func(ctx context.Context, in *ProjectPath) (*body[wire.Project], error) {
		p, err := a.Previews.RemoveForge(ctx, by(ctx), in.Project)
		return a.project(ctx, p, err)
	})
}

func forgeConfig(f wire.SetForge) forge.Config {
	c := forge.Config{Kind: f.Kind, URL: f.URL, Repo: f.Repo, Token: f.Token}
	if f.App != nil {
		c.App = &forge.App{ID: f.App.ID, Installation: f.App.Installation, Key: f.App.Key}
	}
	return c
}

func (a *API) preview(ctx context.Context, pv core.Preview, err error) (*body[wire.Preview], error) {
	if err != nil {
		return nil, err
	}
	out, err := a.Board.Preview(ctx, pv)
	return &body[wire.Preview]{out}, err
}

func (a *API) project(ctx context.Context, p core.Project, err error) (*body[wire.Project], error) {
	if err != nil {
		return nil, err
	}
	out, err := a.Board.ProjectOf(ctx, p, true)
	return &body[wire.Project]{out}, err
}
