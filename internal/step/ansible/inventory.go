package ansible

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// staticInventory turns Ansible's dynamic form (--list with _meta.hostvars) into the
// static one, which a file can hold.
func staticInventory(list json.RawMessage) ([]byte, error) {
	type group struct {
		Hosts    []string       `json:"hosts"`
		Vars     map[string]any `json:"vars"`
		Children []string       `json:"children"`
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(list, &raw); err != nil {
		return nil, err
	}
	var meta struct {
		Hostvars map[string]map[string]any `json:"hostvars"`
	}
	hosts := map[string]any{}
	groups := map[string]any{}
	all := map[string]any{"hosts": hosts, "children": groups}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		if name == "_meta" {
			if err := decode(raw[name], &meta); err != nil {
				return nil, err
			}
			continue
		}
		var g group
		if err := decode(raw[name], &g); err != nil {
			// The short form: a list of hosts.
			if json.Unmarshal(raw[name], &g.Hosts) != nil {
				return nil, fmt.Errorf("group %s: %w", name, err)
			}
		}
		members, children := map[string]any{}, map[string]any{}
		for _, host := range g.Hosts {
			members[host] = map[string]any{}
			hosts[host] = map[string]any{}
		}
		for _, child := range g.Children {
			children[child] = map[string]any{}
		}
		vars, _ := data(g.Vars).(map[string]any)
		switch name {
		case "all":
			all["vars"] = vars
		default:
			groups[name] = map[string]any{"hosts": members, "vars": vars, "children": children}
		}
	}
	for host, vars := range meta.Hostvars {
		hosts[host] = data(vars)
	}
	return json.Marshal(map[string]any{"all": all})
}

func decode(text json.RawMessage, out any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber() // a big number stays what it is
	return d.Decode(out)
}

// data marks every string that Ansible would take for a template as none.
func data(value any) any {
	switch v := value.(type) {
	case string:
		if strings.Contains(v, "{{") || strings.Contains(v, "{%") || strings.Contains(v, "{#") {
			return map[string]any{"__ansible_unsafe": v}
		}
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = data(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for key := range v {
			out[key] = data(v[key])
		}
		return out
	}
	return value
}
