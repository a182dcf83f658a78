package httpapi

import (
	"context"
	"net/http"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/access"
	"github.com/terrace-cd/terrace/internal/service/sandboxes"
	"github.com/terrace-cd/terrace/internal/wire"
)

// onSandbox names one sandbox of a project.
const onSandbox = "/api/v1/projects/{project}/sandboxes/{sandbox}"

// SandboxPath names a sandbox.
type SandboxPath struct {
	ProjectPath
	Sandbox string `path:"sandbox" maxLength:"63"`
}

func (a *API) sandboxRoutes(r *routes) {
	const all = "/api/v1/projects/{project}/sandboxes"
	add(r, viewers, http.MethodGet, all, "list-sandboxes", "Sandboxes of a project, by name", func(ctx context.Context, in *ProjectPath) (*body[[]wire.Sandbox], error) {
		out, err := a.Board.Sandboxes(ctx, in.Project)
		base := func(b wire.Sandbox) place { return place{b.Project, b.Base} }
		return &body[[]wire.Sandbox]{sees(ctx, out, base)}, err
	})
	type create struct {
		ProjectPath
		Body wire.CreateSandbox
	}
	add(r, viewers, http.MethodPost, all, "create-sandbox", "Make a sandbox; takes a developer of its base", func(ctx context.Context, in *create) (*body[wire.Sandbox], error) {
		if err := may(ctx, core.RoleDeveloper, in.Project, in.Body.Base); err != nil {
			return nil, err
		}
		ask := sandboxes.Ask{Project: in.Project, Name: in.Body.Name, Base: in.Body.Base, Branch: in.Body.Branch, Stacks: in.Body.Stacks, Variables: in.Body.Variables}
		var err error
		if in.Body.For != "" {
			if ask.For, err = duration(in.Body.For, "8h"); err != nil {
				return nil, err
			}
		}
		p, err := a.Sandboxes.Create(ctx, by(ctx), ask)
		if err != nil {
			return nil, err
		}
		return a.sandbox(ctx, p)
	}, created)
	add(r, viewers, http.MethodGet, onSandbox, "show-sandbox", "One sandbox", func(ctx context.Context, in *SandboxPath) (*body[wire.Sandbox], error) {
		p, err := a.Sandboxes.Get(ctx, in.Project, in.Sandbox)
		if err != nil {
			return nil, err
		}
		return a.sandbox(ctx, p)
	})
	type extend struct {
		SandboxPath
		Body wire.ExtendSandbox
	}
	add(r, operators, http.MethodPost, onSandbox+"/extend", "extend-sandbox", "Move the end of a sandbox", func(ctx context.Context, in *extend) (*body[wire.Sandbox], error) {
		span, err := duration(in.Body.For, "8h")
		if err != nil {
			return nil, err
		}
		p, err := a.Sandboxes.Extend(ctx, by(ctx), in.Project, in.Sandbox, span)
		if err != nil {
			return nil, err
		}
		return a.sandbox(ctx, p)
	})
	type set struct {
		SandboxPath
		Body wire.SetSandbox
	}
	add(r, operators, http.MethodPost, onSandbox+"/variables", "set-sandbox", "Change the variables that a sandbox has of its own, and apply its newest commit with them", func(ctx context.Context, in *set) (*body[wire.Sandbox], error) {
		p, err := a.Sandboxes.Set(ctx, by(ctx), in.Project, in.Sandbox, in.Body.Variables, in.Body.Unset)
		if err != nil {
			return nil, err
		}
		return a.sandbox(ctx, p)
	})
	add(r, operators, http.MethodDelete, onSandbox, "destroy-sandbox", "Destroy all that is in a sandbox, and forget it", func(ctx context.Context, in *SandboxPath) (*body[wire.Sandbox], error) {
		p, err := a.Sandboxes.Destroy(ctx, by(ctx), in.Project, in.Sandbox, by(ctx)+" asked for it")
		if err != nil {
			return nil, err
		}
		return a.sandbox(ctx, p)
	})
	type shell struct {
		SandboxPath
		Stack string `path:"stack" maxLength:"63"`
	}
	add(r, admins, http.MethodPost, onSandbox+"/shell/{stack}", "sandbox-shell", "What plain tofu needs to work on a stack in a sandbox, with its secrets; for its owner", func(ctx context.Context, in *shell) (*body[wire.SandboxShell], error) {
		out, err := a.Sandboxes.Shell(ctx, by(ctx), in.Project, in.Sandbox, in.Stack)
		return &body[wire.SandboxShell]{out}, err
	})
}

func (a *API) sandbox(ctx context.Context, p core.Project) (*body[wire.Sandbox], error) {
	out, err := a.Board.Sandbox(ctx, p)
	return &body[wire.Sandbox]{out}, err
}

// permits is May for places that may be in a sandbox: whoever may look at its base may look at
// it, and its owner may do everything there while they are a developer of the base.
func (a *API) permits(ctx context.Context, who access.Identity, role core.Role, at place) error {
	denied := who.May(role, at.project, at.environment)
	if _, _, boxed := core.SandboxOf(at.project); denied == nil || !boxed {
		return denied
	}
	var p core.Project
	if err := a.Store.Peek(ctx, func(tx core.Tx) (err error) {
		p, err = tx.Project(at.project)
		return err
	}); err != nil || p.Sandbox == nil {
		return denied
	}
	needs := core.RoleDeveloper
	switch {
	case role == core.RoleViewer:
		needs = role
	case p.Sandbox.Owner != who.Name():
		return denied
	}
	return who.May(needs, p.Sandbox.Of, p.Sandbox.Base)
}

// rehome points a request that names a project and an environment that is one of its
// sandboxes at the sandbox.
func (a *API) rehome(req *http.Request) error {
	project, environment := req.PathValue("project"), req.PathValue("environment")
	if environment == "" {
		environment = req.URL.Query().Get("environment")
	}
	if project == "" || environment == "" || !core.ValidName(project) || !core.ValidName(environment) {
		return nil
	}
	key := core.SandboxProject(project, environment)
	err := a.Store.Peek(req.Context(), func(tx core.Tx) error {
		_, err := tx.Project(key)
		return err
	})
	switch core.CodeOf(err) {
	case core.NotFound:
		return nil
	case "":
		req.SetPathValue("project", key)
	}
	return err
}
