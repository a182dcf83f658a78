package runs

import (
	"encoding/json"
	"slices"

	"github.com/terrace-cd/terrace/internal/config"
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
