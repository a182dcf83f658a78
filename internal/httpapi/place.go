package httpapi

import (
	"context"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// place is what a request is about: an environment of a project, a project as a whole, or
// the server.
type place struct{ project, environment string }

// owner finds the place of what a route names by its ID.
type owner struct {
	prefix string // of the route's pattern
	find   func(a *API, ctx context.Context, param func(string) string) (place, error)
}

// owners are asked before a role is: by the ID alone nobody can tell where it holds.
var owners = []owner{
	{onRun, func(a *API, ctx context.Context, param func(string) string) (at place, err error) {
		err = a.Store.Peek(ctx, func(tx core.Tx) error {
			run, err := tx.Run(param("id"))
			at = place{run.Project, run.Environment}
			return err
		})
		return at, err
	}},
	{onRollout, func(a *API, ctx context.Context, param func(string) string) (at place, err error) {
		err = a.Store.Peek(ctx, func(tx core.Tx) error {
			rollout, err := tx.Rollout(param("id"))
			at = place{project: rollout.Project}
			return err
		})
		return at, err
	}},
	{onStage, func(a *API, ctx context.Context, param func(string) string) (at place, err error) {
		err = a.Store.Peek(ctx, func(tx core.Tx) error {
			stage, err := tx.Stage(param("id"))
			at = place{stage.Project, stage.Environment}
			return err
		})
		return at, err
	}},
	{onSandbox, func(_ *API, _ context.Context, param func(string) string) (place, error) {
		return place{core.SandboxProject(param("project"), param("sandbox")), param("sandbox")}, nil
	}},
	{"/api/v1/projects/{project}/exceptions/{id}", func(a *API, ctx context.Context, param func(string) string) (place, error) {
		e, err := a.Access.Exception(ctx, param("project"), param("id"))
		return place{e.Project, e.Environment}, err
	}},
	{"/api/v1/projects/{project}/replacements/{id}", func(a *API, ctx context.Context, param func(string) string) (at place, err error) {
		err = a.Store.Peek(ctx, func(tx core.Tx) error {
			all, err := tx.Replacements(param("project"), false)
			i := slices.IndexFunc(all, func(r core.Replacement) bool { return r.ID == param("id") })
			if err == nil && i < 0 {
				return core.Errorf(core.NotFound, "%s has no replacement %s; terrace replace list has them", param("project"), param("id"))
			}
			if err == nil {
				at = place{all[i].Project, all[i].Environment}
			}
			return err
		})
		return at, err
	}},
}

// where finds the place of a request from the names in its path. A role that a route takes
// holds there: one for an environment does not let anybody do what concerns its whole
// project.
func (a *API) where(ctx context.Context, pattern string, param func(string) string) (place, error) {
	for _, o := range owners {
		if pattern == o.prefix || strings.HasPrefix(pattern, o.prefix+"/") {
			return o.find(a, ctx, param)
		}
	}
	return place{param("project"), param("environment")}, nil
}

// may refuses a person who has not a role somewhere; routes whose place is not in their path
// ask it themselves.
func may(ctx context.Context, role core.Role, project, environment string) error {
	k := identified(ctx)
	if k.err != nil {
		return k.err
	}
	return k.identity.May(role, project, environment)
}

// sees keeps of a list what the caller may look at.
func sees[T any](ctx context.Context, all []T, at func(T) place) []T {
	out := make([]T, 0, len(all))
	for _, v := range all {
		if p := at(v); may(ctx, core.RoleViewer, p.project, p.environment) == nil {
			out = append(out, v)
		}
	}
	return out
}

func projectPlace(p wire.Project) place { return place{project: p.Name} }

func runPlace(r wire.Run) place { return instancePlace(r.Project, r.Instance) }

func instancePlace(project, instance string) place {
	_, environment, _ := strings.Cut(instance, "@")
	return place{project, environment}
}

// mayReadEvents lets whoever looks at a project read its events; those of all projects, and
// of the server, are for who looks at everything.
func mayReadEvents(ctx context.Context, project string) error {
	if project != "" {
		return may(ctx, core.RoleViewer, project, "")
	}
	k := identified(ctx)
	if k.err != nil {
		return k.err
	}
	return k.identity.MayEverywhere(core.RoleViewer)
}

func approvalPlace(a wire.Approval) place { return instancePlace(a.Project, a.Instance) }
