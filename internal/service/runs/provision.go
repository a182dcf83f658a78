package runs

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Inventory writes an evaluated inventory in the form of Ansible's dynamic inventory
// protocol (--list), with every host's variables under _meta.
// https://docs.ansible.com/ansible/latest/dev_guide/developing_inventory.html
func Inventory(groups map[string][]config.Host) (json.RawMessage, error) {
	type group struct {
		Hosts []string `json:"hosts"`
	}
	out := map[string]any{}
	hostvars := map[string]map[string]json.RawMessage{}
	for name, hosts := range groups {
		g := group{Hosts: []string{}}
		for _, h := range hosts {
			g.Hosts = append(g.Hosts, h.Name)
			if hostvars[h.Name] == nil {
				hostvars[h.Name] = map[string]json.RawMessage{}
			}
			for k, v := range h.Vars {
				hostvars[h.Name][k] = v
			}
		}
		out[name] = g
	}
	out["_meta"] = map[string]any{"hostvars": hostvars}
	return json.Marshal(out)
}

// hostNames lists every host once, sorted.
func hostNames(groups map[string][]config.Host) []string {
	var names []string
	for _, hosts := range groups {
		for _, h := range hosts {
			names = append(names, h.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func wireProvision(a *config.Ansible, digest string) (*wire.Provision, error) {
	inventory, err := Inventory(a.Inventory)
	if err != nil {
		return nil, err
	}
	return &wire.Provision{Digest: digest, Playbook: a.Playbook, Inventory: inventory, Hosts: hostNames(a.Inventory), Variables: a.Variables,
		Secrets: a.Secrets, Check: a.Check, Within: a.Within.String()}, nil
}

// During answers what Ansible is to do in the middle of an apply, for hosts that shall be
// ready before the engine goes on. What was provisioned then is not provisioned again
// when the apply ends, unless its outputs turn out to be others.
func (s *Service) During(ctx context.Context, c Caller, id string, during wire.During) (wire.After, error) {
	var run core.Run
	var project core.Project
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if run, err = mine(tx, c, id); err != nil {
			return err
		}
		project, err = tx.Project(run.Project)
		return err
	}); err != nil {
		return wire.After{}, err
	}
	if err := expect(run, core.RunApplying); err != nil {
		return wire.After{}, err
	}
	cfg, err := s.Wanted.Config(ctx, project, run.Release.Commit)
	if err != nil {
		return wire.After{}, err
	}
	ansible, digest, sensitive, err := s.Wanted.During(ctx, project, run.Release, cfg, run.Environment, run.Stack, during.Outputs)
	if err != nil {
		return wire.After{}, err
	}
	if ansible == nil {
		return wire.After{}, core.Errorf(core.Invalid, "the stack %s has no ansible block, so there is nothing to provision with", run.Stack)
	}
	out := wire.After{Status: string(run.Status), Mask: sensitive}
	if out.Provision, err = wireProvision(ansible, digest); err != nil {
		return wire.After{}, err
	}
	return out, s.Store.Update(ctx, func(tx core.Tx) error {
		run, err := mine(tx, c, id)
		if err != nil {
			return err
		}
		if err := expect(run, core.RunApplying); err != nil {
			return err
		}
		run.ProvisionDigest = digest
		return tx.UpdateRun(run, run.Status)
	})
}
