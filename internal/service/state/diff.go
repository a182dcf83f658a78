package state

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/statefile"
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
	d := differ{}
	d.secrets.Learn(old)
	d.secrets.Learn(now)
	out.Resources = append(out.Resources, d.resources(old, now)...)
	out.Outputs = append(out.Outputs, d.outputs(old, now)...)
	return out, nil
}

// contents is what a version holds; a version that says that the state was deleted, and
// none at all, hold nothing.
func (s *Service) contents(ctx context.Context, v core.StateVersion) (f statefile.File, err error) {
	if v.Blob == "" {
		return f, nil
	}
	content, err := s.content(ctx, v.Blob)
	if err != nil {
		return f, err
	}
	if f, err = statefile.Read(content); err != nil {
		return f, core.Errorf(core.Internal, "version %d cannot be read: %w", v.ID, err)
	}
	if f.Encrypted {
		return f, core.Errorf(core.Conflict, "version %d is encrypted by OpenTofu itself, so what it holds is not known here; compare what terrace state pull gives, with the engine", v.ID)
	}
	return f, nil
}

// differ compares two states without telling what is secret in either.
type differ struct{ secrets statefile.Secrets }

func (d *differ) resources(old, now statefile.File) (changes []wire.StateChange) {
	was, is := old.Instances(), now.Instances()
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
			c.Attributes = d.attributes(statefile.Flat(a.Attributes), statefile.Flat(b.Attributes), func(path string) bool { return a.Marked(path) || b.Marked(path) })
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

func (d *differ) outputs(old, now statefile.File) []wire.StateAttribute {
	was, is, sensitive := map[string]any{}, map[string]any{}, map[string]bool{}
	for name, o := range old.Outputs {
		was[name], sensitive[name] = o.Value, o.Sensitive
	}
	for name, o := range now.Outputs {
		is[name], sensitive[name] = o.Value, sensitive[name] || o.Sensitive
	}
	return d.attributes(was, is, func(name string) bool { return sensitive[name] })
}

func (d *differ) attributes(was, is map[string]any, marked func(string) bool) (all []wire.StateAttribute) {
	for _, path := range sortedKeys(was, is) {
		a, before := was[path]
		b, after := is[path]
		x, y := text(a), text(b)
		if before == after && bytes.Equal(x, y) {
			continue
		}
		change := wire.StateAttribute{Path: path, Sensitive: marked(path) || statefile.NamedSecret(path) || d.secrets.In(a) || d.secrets.In(b)}
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
