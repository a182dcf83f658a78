package plan

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// planned is the part of the engine's JSON that says how resources will be. Their attributes
// stay as they are written.
type planned struct {
	Changes []struct {
		Address  string          `json:"address"`
		Previous string          `json:"previous_address"`
		Module   string          `json:"module_address"`
		Mode     string          `json:"mode"`
		Type     string          `json:"type"`
		Name     string          `json:"name"`
		Index    json.RawMessage `json:"index"`
		Deposed  string          `json:"deposed"`
		Change   struct {
			Actions   []string        `json:"actions"`
			After     json.RawMessage `json:"after"`
			Unknown   json.RawMessage `json:"after_unknown"`
			Sensitive json.RawMessage `json:"after_sensitive"`
		} `json:"change"`
	} `json:"resource_changes"`
	Prior struct {
		Values struct {
			Root priorModule `json:"root_module"`
		} `json:"values"`
	} `json:"prior_state"`
}

type priorModule struct {
	Address   string `json:"address"`
	Resources []struct {
		Address   string          `json:"address"`
		Mode      string          `json:"mode"`
		Type      string          `json:"type"`
		Name      string          `json:"name"`
		Index     json.RawMessage `json:"index"`
		Deposed   string          `json:"deposed_key"`
		Values    json.RawMessage `json:"values"`
		Sensitive json.RawMessage `json:"sensitive_values"`
	} `json:"resources"`
	Children []priorModule `json:"child_modules"`
}

// Resources are the instances of managed resources of these types as the engine's JSON says
// they will be after the apply, by address; those that will be gone are not among them. What
// the plan leaves out stays as it is. An Invalid error says what is wrong with the JSON.
func Resources(data []byte, types []string) ([]wire.PlannedResource, error) {
	if len(types) == 0 {
		return nil, nil
	}
	var doc planned
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, core.Errorf(core.Invalid, "the engine's plan is not the JSON it should be: %w", err)
	}
	var out []wire.PlannedResource
	told := map[string]bool{}
	for _, c := range doc.Changes {
		if c.Mode != "managed" || c.Deposed != "" || !slices.Contains(types, c.Type) {
			continue
		}
		told[c.Address], told[c.Previous] = true, true
		if len(c.Change.After) == 0 || string(c.Change.After) == "null" {
			continue // deleted or forgotten
		}
		out = append(out, wire.PlannedResource{Address: c.Address, Type: c.Type, Name: c.Name, Key: c.Index, Module: c.Module,
			Values: c.Change.After, Unknown: c.Change.Unknown, Sensitive: c.Change.Sensitive})
	}
	var walk func(priorModule)
	walk = func(m priorModule) {
		for _, r := range m.Resources {
			if r.Mode == "managed" && r.Deposed == "" && slices.Contains(types, r.Type) && !told[r.Address] && len(r.Values) > 0 {
				out = append(out, wire.PlannedResource{Address: r.Address, Type: r.Type, Name: r.Name, Key: r.Index, Module: m.Address, Values: r.Values, Sensitive: r.Sensitive})
			}
		}
		for _, child := range m.Children {
			walk(child)
		}
	}
	walk(doc.Prior.Values.Root)
	slices.SortFunc(out, func(a, b wire.PlannedResource) int { return strings.Compare(a.Address, b.Address) })
	return out, nil
}
