package plan

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Drift reads a plan that only looks (-refresh-only): how what is there differs from the
// state. The values come with it as they are, for whoever seals them; the drift itself is
// masked. An Invalid error says what is wrong with the engine's JSON.
func Drift(data []byte) (looked wire.Looked, sensitive []string, err error) {
	doc, err := decode(data)
	if err != nil {
		return looked, nil, err
	}
	looked.Drift.Resources = []wire.DriftedResource{}
	secrets := map[string]bool{}
	for _, rc := range doc.ResourceDrift {
		what := map[string]string{"update": "changed", "delete": "gone"}[rc.Change.action()]
		if what == "" || rc.Mode == "data" { // another address alone is no difference
			collect(rc.Change.After, rc.Change.AfterSensitive, secrets)
			continue
		}
		r, _ := rc.read(secrets)
		if what == "gone" {
			r.Attrs = []wire.AttrChange{} // all of them
		}
		looked.Drift.Resources = append(looked.Drift.Resources, wire.DriftedResource{Address: r.Address, Type: r.Type, What: what, Attrs: r.Attrs})
		if looked.Values == nil {
			looked.Values = map[string][]wire.DriftValue{}
		}
		looked.Values[r.Address] = rc.Change.values()
	}
	for _, name := range slices.Sorted(maps.Keys(doc.OutputChanges)) {
		c := doc.OutputChanges[name]
		if c.action() == "no-op" {
			collect(c.After, c.AfterSensitive, secrets)
			continue
		}
		looked.Drift.Outputs = append(looked.Drift.Outputs, differ{change: c, secrets: secrets}.leaf(name, c.Before, c.After, c.AfterUnknown, c.BeforeSensitive, c.AfterSensitive))
	}
	return looked, slices.Sorted(maps.Keys(secrets)), nil
}

// values are what attributes lists, as it is.
func (c change) values() (out []wire.DriftValue) {
	d := differ{change: c, secrets: map[string]bool{}}
	d.each = func(path string, before, after any) {
		out = append(out, wire.DriftValue{Path: path, Before: raw(before), After: raw(after)})
	}
	d.attributes()
	return out
}

// raw encodes again what was decoded from JSON.
func raw(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return json.RawMessage("null")
	}
	return b
}
