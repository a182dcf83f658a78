package state

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Diff compares two versions of an instance's state, by resource and attribute. to 0 is
// the current version, from 0 the one before it. Values that are sensitive are compared
// and not told: those of sensitive outputs and attributes, whatever else has such a
// value, and, since states do not say of every attribute whether it is, those whose name
// says so. Errors: NotFound; Conflict when OpenTofu encrypted them.
func (s *Service) Diff(ctx context.Context, project, stack, environment string, from, to int64) (wire.StateDiff, error) {
	name := core.InstanceName(stack, environment)
	out := wire.StateDiff{Instance: name, Resources: []wire.StateChange{}, Outputs: []wire.StateAttribute{}}
	var before, after core.StateVersion
	if err := s.store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		if to == 0 {
			if err := isElsewhere(tx, project, stack, environment); err != nil {
				return err
			}
		}
		all, err := tx.StateVersions(project, stack, environment, 0) // newest first
		if err != nil {
			return err
		}
		find := func(id int64) (core.StateVersion, error) {
			for _, v := range all {
				if v.ID == id {
					return v, nil
				}
			}
			return core.StateVersion{}, core.Errorf(core.NotFound, "%s has no version %d; see: terrace state versions %[1]s", name, id)
		}
		if len(all) == 0 {
			return core.Errorf(core.NotFound, "%s has no state yet", name)
		}
		if to == 0 {
			to = all[0].ID
		}
		if after, err = find(to); err != nil {
			return err
		}
		if from == 0 {
			i := slices.IndexFunc(all, func(v core.StateVersion) bool { return v.ID == to })
			if i+1 < len(all) {
				before = all[i+1]
			}
			return nil
		}
		before, err = find(from)
		return err
	}); err != nil {
		return out, err
	}
	old, err := s.contents(ctx, before)
	if err != nil {
		return out, err
	}
	now, err := s.contents(ctx, after)
	if err != nil {
		return out, err
	}
	if before.ID != 0 {
		v := Version(before, false)
		out.From = &v
	}
	out.To = Version(after, false)
	d := differ{secret: map[string]bool{}}
	d.learn(old)
	d.learn(now)
	out.Resources = append(out.Resources, d.resources(old, now)...)
	out.Outputs = append(out.Outputs, d.outputs(old, now)...)
	return out, nil
}

// contents is what a version holds; a version that says that the state was deleted, and
// none at all, hold nothing.
func (s *Service) contents(ctx context.Context, v core.StateVersion) (f contents, err error) {
	if v.Blob == "" {
		return f, nil
	}
	content, err := s.content(ctx, v.Blob)
	if err != nil {
		return f, err
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if err := decoder.Decode(&f); err != nil {
		return f, core.Errorf(core.Internal, "version %d cannot be read: %w", v.ID, err)
	}
	if f.Encrypted {
		return f, core.Errorf(core.Conflict, "version %d is encrypted by OpenTofu itself, so what it holds is not known here; compare what terrace state pull gives, with the engine", v.ID)
	}
	return f, nil
}

// contents is a state file with its attributes.
type contents struct {
	Outputs map[string]struct {
		Value     any  `json:"value"`
		Sensitive bool `json:"sensitive"`
	} `json:"outputs"`
	Resources []struct {
		resource
		Instances []held `json:"instances"`
	} `json:"resources"`
	Encrypted there `json:"encrypted_data"`
}

// held is a resource instance with its attributes.
type held struct {
	instance
	Attributes map[string]any `json:"attributes"`
	Sensitive  [][]pathStep   `json:"sensitive_attributes"`
}

// pathStep is a step of a path in sensitive_attributes: a name, or an index.
type pathStep struct {
	Type  string `json:"type"`
	Value any    `json:"value"`
}

func (f contents) instances() map[string]held {
	all := map[string]held{}
	for _, r := range f.Resources {
		for _, i := range r.Instances {
			all[r.address(i.instance)] = i
		}
	}
	return all
}

// differ compares two states without telling what is secret in either.
type differ struct {
	secret map[string]bool // values
}

// secretName is how attributes are called that states do not always mark.
var secretName = regexp.MustCompile(`(?i)passw|secret|token|private_?key|credential|passphrase|access_?key|api_?key|connection_?string|certificate_?key|user_?data`)

// shortest is the length from which a value is looked for elsewhere: "1" or "true" would
// hide half a state.
const shortest = 6

func (d differ) learn(f contents) {
	for _, o := range f.Outputs {
		if o.Sensitive {
			d.keep(o.Value)
		}
	}
	for _, i := range f.instances() {
		for path, value := range flat(i.Attributes) {
			if i.marked(path) || secretName.MatchString(path) {
				d.keep(value)
			}
		}
	}
}

func (d differ) keep(value any) {
	for _, v := range flat(value) {
		if text, ok := v.(string); ok && len(text) >= shortest {
			d.secret[text] = true
		}
	}
}

// marked reports whether the state says that an attribute is sensitive, or what it is in.
func (i held) marked(path string) bool {
	for _, steps := range i.Sensitive {
		prefix := ""
		for _, s := range steps {
			switch v := s.Value.(type) {
			case string:
				prefix = join(prefix, v)
			case map[string]any: // an index: {"value": 0, "type": "number"}
				if n, ok := v["value"].(json.Number); ok {
					prefix += "[" + n.String() + "]"
				} else if text, ok := v["value"].(string); ok {
					prefix = join(prefix, text)
				}
			}
		}
		if path == prefix || len(path) > len(prefix) && path[:len(prefix)] == prefix && (path[len(prefix)] == '.' || path[len(prefix)] == '[') {
			return true
		}
	}
	return false
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}

// flat maps the paths of a value's leaves to them, as they are written in configurations:
// tags.Name, list[0]. An empty list or map is a leaf.
func flat(value any) map[string]any {
	all := map[string]any{}
	var walk func(path string, value any)
	walk = func(path string, value any) {
		switch v := value.(type) {
		case map[string]any:
			for name, inner := range v {
				walk(join(path, name), inner)
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

func (d differ) resources(old, now contents) (changes []wire.StateChange) {
	was, is := old.instances(), now.instances()
	for _, address := range sortedKeys(was, is) {
		a, before := was[address]
		b, after := is[address]
		c := wire.StateChange{Address: address}
		switch {
		case !before:
			c.Action = "added"
		case !after:
			c.Action = "removed"
		default:
			c.Action = "changed"
			c.Attributes = d.attributes(flat(a.Attributes), flat(b.Attributes), func(path string) bool { return a.marked(path) || b.marked(path) })
			if a.Status != b.Status {
				c.Action = cmp.Or(b.Status, "untainted")
			} else if len(c.Attributes) == 0 {
				continue
			}
		}
		changes = append(changes, c)
	}
	return changes
}

func (d differ) outputs(old, now contents) []wire.StateAttribute {
	was, is, sensitive := map[string]any{}, map[string]any{}, map[string]bool{}
	for name, o := range old.Outputs {
		was[name], sensitive[name] = o.Value, o.Sensitive
	}
	for name, o := range now.Outputs {
		is[name], sensitive[name] = o.Value, sensitive[name] || o.Sensitive
	}
	return d.attributes(was, is, func(name string) bool { return sensitive[name] })
}

func (d differ) attributes(was, is map[string]any, marked func(string) bool) (all []wire.StateAttribute) {
	for _, path := range sortedKeys(was, is) {
		a, before := was[path]
		b, after := is[path]
		x, y := text(a), text(b)
		if before == after && bytes.Equal(x, y) {
			continue
		}
		change := wire.StateAttribute{Path: path, Sensitive: marked(path) || secretName.MatchString(path) || d.secretIn(a) || d.secretIn(b)}
		if !change.Sensitive {
			if before {
				change.Before = x
			}
			if after {
				change.After = y
			}
		}
		all = append(all, change)
	}
	return all
}

func (d differ) secretIn(value any) bool {
	for _, v := range flat(value) {
		if s, ok := v.(string); ok && d.hides(s) {
			return true
		}
	}
	return false
}

func (d differ) hides(s string) bool {
	if d.secret[s] {
		return true
	}
	for secret := range d.secret {
		if bytes.Contains([]byte(s), []byte(secret)) {
			return true
		}
	}
	return false
}

func text(value any) json.RawMessage {
	out, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage("null") // what was read from JSON can be written
	}
	return out
}

func sortedKeys[V any](a, b map[string]V) []string {
	keys := maps.Clone(a)
	if keys == nil {
		keys = map[string]V{}
	}
	maps.Copy(keys, b)
	return slices.Sorted(maps.Keys(keys))
}
