package httpapi

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/wire"
)

// inventoryRoutes give people's own Ansible the hosts that runs use.
func (a *API) inventoryRoutes(r *routes) {
	add(r, developers, http.MethodGet, "/api/v1/projects/{project}/inventory/{environment}/{stack}", "inventory", "An instance's hosts as an Ansible inventory", a.inventory)
	type variables struct {
		InstancePath
		Commit string `query:"commit" maxLength:"64" doc:"a commit, the start of one, or a number; default: the newest release"`
	}
	add(r, viewers, http.MethodGet, "/api/v1/projects/{project}/variables/{environment}/{stack}", "variables", "An instance's variables and where their values are written, sensitive ones masked", func(ctx context.Context, in *variables) (*body[wire.Variables], error) {
		out, err := a.Board.Variables(ctx, in.Project, in.Environment, in.Stack, in.Commit)
		return &body[wire.Variables]{out}, err
	})
}

type InstancePath struct {
	ProjectPath
	Environment string `path:"environment" maxLength:"63"`
	Stack       string `path:"stack" maxLength:"63"`
}

// inventory evaluates the ansible block of the release that the instance runs.
func (a *API) inventory(ctx context.Context, in *InstancePath) (*body[json.RawMessage], error) {
	p, err := a.Projects.Get(ctx, in.Project)
	if err != nil {
		return nil, err
	}
	var instance core.InstanceState
	var release core.Release
	if err := a.Store.View(ctx, func(tx core.Tx) (err error) {
		if instance, err = tx.Instance(in.Project, in.Stack, in.Environment); err != nil {
			return err
		}
		if instance.Commit == "" {
			return core.Errorf(core.NotFound, "nothing was applied at %s yet, so it has no hosts", core.InstanceName(in.Stack, in.Environment))
		}
		release, err = tx.Release(in.Project, instance.Commit)
		return err
	}); err != nil {
		return nil, err
	}
	cfg, err := a.Wanted.Config(ctx, p, release.Commit)
	if err != nil {
		return nil, err
	}
	after, err := a.Wanted.After(ctx, p, release, cfg, in.Environment, in.Stack)
	if err != nil {
		return nil, err
	}
	if after.Ansible == nil {
		return nil, core.Errorf(core.NotFound, "the stack %s has no ansible block, so it has no inventory", in.Stack)
	}
	out, err := runs.Inventory(after.Ansible.Inventory)
	return &body[json.RawMessage]{out}, err
}
