// Package statefile reads the state files that engines write (version 4): resources with
// their attributes, outputs, and which of their values must not be shown. It is pure.
package statefile

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/terrace-cd/terrace/internal/core"
)

// File is what a state file holds. Numbers in it are json.Number, as they were written.
type File struct {
	Version int64  `json:"version"`
	Serial  int64  `json:"serial"`
	Lineage string `json:"lineage"`
	// Engine is the version of the engine that wrote the file.
	Engine    string            `json:"terraform_version"`
	Outputs   map[string]Output `json:"outputs"`
	Resources []Resource        `json:"resources"`
	// Encrypted says that OpenTofu encrypted the state itself: nothing else can be read then.
	Encrypted There `json:"encrypted_data"`
}

// Output is an output of the root module.
type Output struct {
	Value     any  `json:"value"`
	Sensitive bool `json:"sensitive"`
}

// Resource is a resource block's part of a state.
type Resource struct {
	Module    string     `json:"module"`
	Mode      string     `json:"mode"` // "managed" or "data"
	Type      string     `json:"type"`
	Name      string     `json:"name"`
	Provider  string     `json:"provider"` // provider["registry.opentofu.org/hashicorp/aws"]
	Instances []Instance `json:"instances"`
}

// Instance is one object of a resource.
type Instance struct {
	IndexKey   json.RawMessage `json:"index_key"`
	Status     string          `json:"status"` // "tainted" or ""
	Deposed    string          `json:"deposed"`
	Attributes map[string]any  `json:"attributes"`
	Sensitive  [][]step        `json:"sensitive_attributes"`
}

// step is a step of a path in sensitive_attributes: a name, or an index.
type step struct {
	Type  string `json:"type"`
	Value any    `json:"value"`
}

// There is whether a value is there; states are large, and it is not copied.
type There bool

// UnmarshalJSON notes that there is something.
func (t *There) UnmarshalJSON(text []byte) error {
	*t = string(text) != "null"
	return nil
}

// Read reads a state file. An Invalid error says that it is none.
func Read(content []byte) (f File, err error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(&f); err != nil {
		return f, core.Errorf(core.Invalid, "this is not a state file: %w", err)
	}
	return f, nil
}

// Managed reports whether the resource is one that the engine looks after, not a data
// source.
func (r Resource) Managed() bool { return r.Mode == "managed" }

// Block is the address of the resource's block where it stands: without the keys of count
// and for_each, of modules as well.
func (r Resource) Block() string {
	a := r.Type + "." + r.Name
	if !r.Managed() {
		a = "data." + a
	}
	if r.Module != "" {
		a = WithoutKeys(r.Module) + "." + a
	}
	return a
}

// Address writes a resource instance as the engines do.
func (r Resource) Address(i Instance) string {
	a := r.Type + "." + r.Name
	if !r.Managed() {
		a = "data." + a
	}
	if r.Module != "" {
		a = r.Module + "." + a
	}
	if len(i.IndexKey) > 0 {
		a += "[" + string(i.IndexKey) + "]"
	}
	if i.Deposed != "" {
		a += " (deposed " + i.Deposed + ")"
	}
	return a
}

// WithoutKeys takes [0] and ["a"] out of an address. A key may hold any text, brackets
// included.
func WithoutKeys(address string) string {
	out := make([]byte, 0, len(address))
	inside, quoted := false, false
	for i := 0; i < len(address); i++ {
		switch c := address[i]; {
		case quoted && c == '\\':
			i++
		case inside && c == '"':
			quoted = !quoted
		case inside && !quoted && c == ']':
			inside = false
		case !inside && c == '[':
			inside = true
		case !inside:
			out = append(out, c)
		}
	}
	return string(out)
}

// Instances returns every object by its address.
func (f File) Instances() map[string]Instance {
	all := map[string]Instance{}
	for _, r := range f.Resources {
		for _, i := range r.Instances {
			all[r.Address(i)] = i
		}
	}
	return all
}

// Flat maps the paths of a value's leaves to them, as they are written in configurations:
// tags.Name, list[0]. An empty list or map is a leaf.
func Flat(value any) map[string]any {
	all := map[string]any{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(Join(path, name), inner)
			}
			if len(v) > 0 {
				return
			}
		case []any:
			for i, inner := range v {
				walk(path+"["+strconv.Itoa(i)+"]", inner)
			}
			if len(v) > 0 {
				return
			}
		}
		all[path] = value
	}
	walk("", value)
	return all
}

// Join puts a name behind a path.
func Join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
