package config

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/terrace-cd/terrace/internal/core"
)

// Own is what an instance has itself, as what follows its apply sees it.
type Own struct {
	Outputs   map[string]cty.Value
	Resources []Resource
}

// Resource is an instance of a managed resource.
type Resource struct {
	Address string
	Type    string
	Name    string
	Key     cty.Value // of count or for_each; null, a number or a string
	Module  string    // its address, "" for the root module
	// Value has the attributes. Sensitive ones carry SensitiveMark; of a plan, those that
	// only its apply tells are unknown.
	Value cty.Value
}

// PlannedResource is a resource as a plan says it will be: see the wire's type of that name,
// which converts to this one.
type PlannedResource struct {
	Address   string
	Type      string
	Name      string
	Key       json.RawMessage
	Module    string
	Values    json.RawMessage
	Unknown   json.RawMessage
	Sensitive json.RawMessage
}

// Resource reads p. Invalid when it is not as engines write it.
func (p PlannedResource) Resource() (Resource, error) {
	r := Resource{Address: p.Address, Type: p.Type, Name: p.Name, Module: p.Module}
	parts := [4]any{}
	for i, text := range []json.RawMessage{p.Key, p.Values, p.Unknown, p.Sensitive} {
		if len(text) == 0 {
			continue
		}
		if err := decodeNumbers(text, &parts[i]); err != nil {
			return r, core.Errorf(core.Invalid, "%s in the plan is not JSON: %w", p.Address, err)
		}
	}
	if parts[1] == nil {
		parts[1] = map[string]any{} // nothing of it is known yet
	}
	if _, ok := parts[1].(map[string]any); !ok {
		return r, core.Errorf(core.Invalid, "%s in the plan has no attributes", p.Address)
	}
	r.Key, r.Value = asValue(parts[0], spots{}, spots{}), asValue(parts[1], spotsOf(parts[2]), spotsOf(parts[3]))
	return r, nil
}

// ResourcesFromState reads the instances of managed resources of these types in a state file
// of version 4, in the file's order, without objects that are deposed. Invalid when it is no
// such file.
func ResourcesFromState(stateJSON []byte, types []string) ([]Resource, error) {
	var state struct {
		Version   int `json:"version"`
		Resources []struct {
			Module    string            `json:"module"`
			Mode      string            `json:"mode"`
			Type      string            `json:"type"`
			Name      string            `json:"name"`
			Instances []json.RawMessage `json:"instances"`
		} `json:"resources"`
	}
	if err := json.Unmarshal(stateJSON, &state); err != nil {
		return nil, core.Errorf(core.Invalid, "the state is not JSON: %w", err)
	}
	if state.Version != 4 {
		return nil, core.Errorf(core.Invalid, "the state has version %d; version 4 is understood, which engines write since Terraform 0.12", state.Version)
	}
	var out []Resource
	for _, r := range state.Resources {
		if r.Mode != "managed" || !slices.Contains(types, r.Type) {
			continue
		}
		address := r.Type + "." + r.Name
		if r.Module != "" {
			address = r.Module + "." + address
		}
		for _, text := range r.Instances {
			var i struct {
				Key        any              `json:"index_key"`
				Deposed    string           `json:"deposed"`
				Attributes map[string]any   `json:"attributes"`
				Sensitive  [][]sensitiveRef `json:"sensitive_attributes"`
			}
			if err := decodeNumbers(text, &i); err != nil {
				return nil, core.Errorf(core.Invalid, "%s in the state cannot be read: %w", address, err)
			}
			if i.Deposed != "" || i.Attributes == nil {
				continue
			}
			one := Resource{Address: address + key(i.Key), Type: r.Type, Name: r.Name, Module: r.Module, Key: asValue(i.Key, spots{}, spots{})}
			var sensitive spots
			for _, steps := range i.Sensitive {
				sensitive.add(steps)
			}
			one.Value = asValue(unwrapped(i.Attributes), spots{}, sensitive)
			out = append(out, one)
		}
	}
	return out, nil
}

// unwrapped takes the types out of a value of a state: an attribute that may be of any type,
// as the input of terraform_data, is there as { "value": …, "type": … }. In plans it is not.
func unwrapped(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = unwrapped(v[i])
		}
	case map[string]any:
		if value, kind := v["value"], v["type"]; len(v) == 2 && kind != nil && isOf(value, kind) {
			return value
		}
		for name := range v {
			v[name] = unwrapped(v[name])
		}
	}
	return v
}

// isOf reports whether value is of a type, as its JSON.
func isOf(value, kind any) bool {
	v, err := json.Marshal(value)
	if err != nil {
		return false
	}
	k, err := json.Marshal(kind)
	if err != nil {
		return false
	}
	t, err := ctyjson.UnmarshalType(k)
	if err != nil {
		return false
	}
	_, err = ctyjson.Unmarshal(v, t)
	return err == nil
}

// decodeNumbers decodes JSON with its numbers as they are written.
func decodeNumbers(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}

// key writes the key of count or for_each as addresses have it.
func key(k any) string {
	switch k := k.(type) {
	case json.Number:
		return "[" + k.String() + "]"
	case string:
		return "[" + strconv.Quote(k) + "]"
	}
	return ""
}

// sensitiveRef is a step of a path in sensitive_attributes: the name of an attribute, or an
// index, which is an object with the value.
type sensitiveRef struct {
	Value any `json:"value"`
}

// spots are places in a value: all of it, or some in it, by the name of an attribute or the
// number of an element. The zero value is no place.
type spots struct {
	all   bool
	inner map[string]spots
}

func (s spots) at(name string) spots { return s.inner[name] }

// add adds the place at the end of a path. A step that is not understood means everything
// from there on.
func (s *spots) add(steps []sensitiveRef) {
	if len(steps) == 0 {
		s.all = true
		return
	}
	step := steps[0].Value
	if index, ok := step.(map[string]any); ok {
		step = index["value"]
	}
	name, ok := step.(string)
	if n, isNumber := step.(json.Number); isNumber {
		name, ok = n.String(), true
	}
	if !ok {
		s.all = true
		return
	}
	inner := s.inner[name]
	inner.add(steps[1:])
	if s.inner == nil {
		s.inner = map[string]spots{}
	}
	s.inner[name] = inner
}

// spotsOf reads what the JSON of plans has beside a value: true at the places.
func spotsOf(v any) (s spots) {
	each := func(name string, v any) {
		if inner := spotsOf(v); inner.all || inner.inner != nil {
			if s.inner == nil {
				s.inner = map[string]spots{}
			}
			s.inner[name] = inner
		}
	}
	switch v := v.(type) {
	case bool:
		s.all = v
	case map[string]any:
		for name, inner := range v {
			each(name, inner)
		}
	case []any:
		for i, inner := range v {
			each(strconv.Itoa(i), inner)
		}
	}
	return s
}

// asValue makes an object, a tuple or a simple value of JSON. What is unknown has no value in
// it, or null.
func asValue(v any, unknown, sensitive spots) cty.Value {
	out := unmarked(v, unknown, sensitive)
	if sensitive.all {
		out = out.Mark(SensitiveMark)
	}
	return out
}

func unmarked(v any, unknown, sensitive spots) cty.Value {
	if unknown.all {
		return cty.DynamicVal
	}
	switch v := v.(type) {
	case bool:
		return cty.BoolVal(v)
	case string:
		return cty.StringVal(v)
	case json.Number:
		if n, err := cty.ParseNumberVal(v.String()); err == nil {
			return n
		}
		return cty.StringVal(v.String()) // an exponent beyond all bounds
	case []any:
		items := make([]cty.Value, len(v))
		for i, inner := range v {
			name := strconv.Itoa(i)
			items[i] = asValue(inner, unknown.at(name), sensitive.at(name))
		}
		return cty.TupleVal(items)
	case map[string]any:
		attrs := make(map[string]cty.Value, len(v)+len(unknown.inner))
		for name, inner := range v {
			attrs[name] = asValue(inner, unknown.at(name), sensitive.at(name))
		}
		for name, inner := range unknown.inner {
			if _, ok := attrs[name]; !ok {
				attrs[name] = asValue(nil, inner, sensitive.at(name))
			}
		}
		return cty.ObjectVal(attrs)
	}
	if len(unknown.inner) > 0 {
		return cty.DynamicVal // something of it is known only later, and nothing now
	}
	return cty.NullVal(cty.DynamicPseudoType)
}
