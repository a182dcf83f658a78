package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// ModulePath names a module of the registry.
type ModulePath struct {
	Namespace string `path:"namespace" maxLength:"64"`
	Name      string `path:"name" maxLength:"64"`
	System    string `path:"system" maxLength:"64"`
}

func (p ModulePath) address() string { return p.Namespace + "/" + p.Name + "/" + p.System }

func (a *API) moduleRoutes(r *routes) {
	const all, one = "/api/v1/modules", "/api/v1/modules/{namespace}/{name}/{system}"
	add(r, viewers, http.MethodGet, all, "list-modules", "Modules of the registry, by address", func(ctx context.Context, _ *struct{}) (*body[[]wire.Module], error) {
		modules, err := a.Modules.List(ctx)
		out := []wire.Module{}
		for _, m := range modules {
			out = append(out, a.Modules.Wire(m))
		}
		return &body[[]wire.Module]{out}, err
	})
	type adding struct{ Body wire.AddModule }
	add(r, admins, http.MethodPost, all, "add-module", "Serve a folder of a repository as a module, in one version for each tag", func(ctx context.Context, in *adding) (*body[wire.Module], error) {
		m, err := a.Modules.Add(ctx, by(ctx), core.Module{Address: in.Body.Address, Repo: in.Body.Repo, Path: in.Body.Path, Tags: in.Body.Tags})
		return &body[wire.Module]{a.Modules.Wire(m)}, err
	}, created)
	type showing struct {
		ModulePath
		Version string `query:"version" maxLength:"100" doc:"default: the newest"`
	}
	add(r, viewers, http.MethodGet, one, "show-module", "A module: versions, documentation, and who uses it", func(ctx context.Context, in *showing) (*body[wire.ShownModule], error) {
		out, err := a.shownModule(ctx, in.address(), in.Version)
		return &body[wire.ShownModule]{out}, err
	})
	add(r, developers, http.MethodPost, one+"/refresh", "refresh-module", "Read a module's tags now", func(ctx context.Context, in *ModulePath) (*body[wire.Module], error) {
		if err := a.Modules.Refresh(ctx, in.address()); err != nil {
			return nil, err
		}
		m, err := a.Modules.Get(ctx, in.address())
		return &body[wire.Module]{a.Modules.Wire(m)}, err
	})
	add(r, admins, http.MethodDelete, one, "remove-module", "Serve a module no more", func(ctx context.Context, in *ModulePath) (*none, error) {
		return &none{}, a.Modules.Remove(ctx, by(ctx), in.address())
	})
	add(r, viewers, http.MethodGet, "/api/v1/projects/{project}/modules", "module-uses", "Which version of the registry's modules each instance gets and has, and which an upgrade would touch", func(ctx context.Context, in *ProjectPath) (*body[[]wire.ModuleUse], error) {
		uses, err := a.Modules.Uses(ctx, in.Project)
		return &body[[]wire.ModuleUse]{sees(ctx, uses, usePlace)}, err
	})
	type fetching struct {
		RunPath
		ModulePath
		Version string `path:"version" maxLength:"100"`
	}
	add(r, forRunners, http.MethodGet, "/api/v1/runs/{id}/modules/{namespace}/{name}/{system}/{version}", "run-module", "A version of a module that the run's release got", func(ctx context.Context, in *fetching) (*body[wire.ModuleArchive], error) {
		out, err := a.Runs.Module(ctx, runner(ctx), in.ID, in.address(), in.Version)
		return &body[wire.ModuleArchive]{out}, err
	})
	a.protocolRoutes(r)
}

// shownModule is a module with those of its users that the caller may look at.
func (a *API) shownModule(ctx context.Context, address, version string) (wire.ShownModule, error) {
	out, err := a.Modules.Show(ctx, address, version, func(project string) bool { return may(ctx, core.RoleViewer, project, "") == nil })
	out.Users = sees(ctx, out.Users, usePlace)
	return out, err
}

func usePlace(u wire.ModuleUse) place { return instancePlace(u.Project, u.Instance) }

// protocolRoutes are what engines ask: the module registry protocol, and how they find it.
// See https://opentofu.org/docs/internals/module-registry-protocol/. An archive is fetched
// without credentials, at an address that was given out for it a moment ago.
func (a *API) protocolRoutes(r *routes) {
	const base = "/modules/v1/"
	const one = base + "{namespace}/{name}/{system}"
	address := func(req *http.Request) string {
		return ModulePath{req.PathValue("namespace"), req.PathValue("name"), req.PathValue("system")}.address()
	}
	r.raw(forAll, http.MethodGet, "/.well-known/terraform.json", func(w http.ResponseWriter, _ *http.Request) error {
		writeJSON(w, http.StatusOK, map[string]string{"modules.v1": base})
		return nil
	})
	r.raw(viewers, http.MethodGet, one+"/versions", func(w http.ResponseWriter, req *http.Request) error {
		m, err := a.Modules.Get(req.Context(), address(req))
		if err != nil {
			return err
		}
		var versions []moduleVersion
		for _, v := range m.Versions {
			if !v.Gone {
				versions = append(versions, moduleVersion{v.Version})
			}
		}
		writeJSON(w, http.StatusOK, versionsAnswer(versions))
		return nil
	})
	r.raw(viewers, http.MethodGet, one+"/{version}/download", func(w http.ResponseWriter, req *http.Request) error {
		link, folder, err := a.Modules.Link(req.Context(), address(req), req.PathValue("version"), time.Now())
		if err != nil {
			return err
		}
		location := "./" + link + "/module.tar.gz"
		if folder != "" {
			location += "//" + folder
		}
		w.Header().Set("X-Terraform-Get", location)
		w.WriteHeader(http.StatusNoContent)
		return nil
	})
	r.raw(forAll, http.MethodGet, one+"/{version}/{link}/module.tar.gz", func(w http.ResponseWriter, req *http.Request) error {
		p, err := a.Modules.Open(req.Context(), address(req), req.PathValue("version"), req.PathValue("link"), time.Now())
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/gzip")
		w.Header().Set("Content-Length", strconv.Itoa(len(p.Archive)))
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write(p.Archive) // the client is gone; there is nobody to tell
		return nil
	})
}

type moduleVersion struct {
	Version string `json:"version"`
}

type listedVersions struct {
	Versions []moduleVersion `json:"versions"`
}

// versionsAnswer is a list of versions as the protocol wants it.
func versionsAnswer(versions []moduleVersion) map[string][]listedVersions {
	if versions == nil {
		versions = []moduleVersion{}
	}
	return map[string][]listedVersions{"modules": {{versions}}}
}
