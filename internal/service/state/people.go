package state

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// List returns the current state version of every instance that has a state.
func (s *Service) List(ctx context.Context, project string) (out []wire.StateVersion, err error) {
	err = s.store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		all, err := tx.CurrentStates(project)
		if err != nil {
			return err
		}
		out = make([]wire.StateVersion, 0, len(all))
		for _, v := range all {
			switch err := isElsewhere(tx, project, v.Stack, v.Environment); core.CodeOf(err) {
			case core.Conflict: // its versions are history
			case "":
				out = append(out, Version(v, true))
			default:
				return err
			}
		}
		return nil
	})
	return out, err
}

// Version converts a state version.
func Version(v core.StateVersion, current bool) wire.StateVersion {
	return wire.StateVersion{ID: v.ID, Instance: core.InstanceName(v.Stack, v.Environment), Serial: v.Serial, Lineage: v.Lineage, MD5: v.MD5,
		Size: v.Size, Resources: v.Resources, Run: v.Run, By: v.By, Created: v.Created, Current: current}
}

// Versions returns an instance's state versions, newest first; limit 0 means all.
func (s *Service) Versions(ctx context.Context, project, stack, environment string, limit int) (out []wire.StateVersion, err error) {
	err = s.store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		current, err := tx.CurrentState(project, stack, environment)
		if err != nil && core.CodeOf(err) != core.NotFound {
			return err
		}
		all, err := tx.StateVersions(project, stack, environment, limit)
		if err != nil {
			return err
		}
		if len(all) == 0 { // otherwise they are what was before, and may be looked at
			if err := isElsewhere(tx, project, stack, environment); err != nil {
				return err
			}
		}
		out = make([]wire.StateVersion, 0, len(all))
		for _, v := range all {
			out = append(out, Version(v, v.ID == current.ID))
		}
		return nil
	})
	return out, err
}

// Show returns what may be seen of an instance's state: its version, lock and
// recovery slot, its resources without their attributes, and its outputs without the
// sensitive values.
func (s *Service) Show(ctx context.Context, project, stack, environment string) (wire.State, error) {
	out := wire.State{Instance: core.InstanceName(stack, environment)}
	var current core.StateVersion
	if err := s.store.View(ctx, func(tx core.Tx) (err error) {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		if err := checkNames(project, stack, environment); err != nil {
			return err
		}
		if err := isElsewhere(tx, project, stack, environment); err != nil {
			return err
		}
		lock, err := tx.Lock(project, stack, environment)
		if err == nil {
			out.Lock = &wire.Lock{ID: lock.ID, By: lock.By, Run: lock.Run, Fence: lock.Fence, Created: lock.Created, Info: lock.Info}
		} else if core.CodeOf(err) != core.NotFound {
			return err
		}
		slot, err := tx.Recovereds(project, stack, environment)
		if err != nil {
			return err
		}
		for _, r := range slot {
			out.Recovered = append(out.Recovered, recovered(r))
		}
		current, err = tx.CurrentState(project, stack, environment)
		if core.CodeOf(err) == core.NotFound {
			return nil
		}
		return err
	}); err != nil || current.ID == 0 {
		return out, err
	}
	version := Version(current, true)
	out.Current = &version
	content, err := s.content(ctx, current.Blob)
	if err != nil {
		return out, err
	}
	var f struct {
		file
		Outputs outputs `json:"outputs"`
	}
	if err := json.Unmarshal(content, &f); err != nil {
		return out, core.Errorf(core.Internal, "the state of %s cannot be read: %w", out.Instance, err)
	}
	for _, r := range f.Resources {
		for _, i := range r.Instances {
			out.Resources = append(out.Resources, wire.StateResource{Address: r.address(i), Type: r.Type, Provider: r.Provider, Tainted: i.Status == "tainted"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(f.Outputs)) {
		o := wire.StateOutput{Name: name, Sensitive: f.Outputs[name].Sensitive, Value: json.RawMessage("null")}
		if v := f.Outputs[name].Value; !o.Sensitive && len(v) > 0 {
			o.Value = v
		}
		out.Outputs = append(out.Outputs, o)
	}
	return out, nil
}

// Current returns the current state version without its content. NotFound when there
// is none.
func (s *Service) Current(ctx context.Context, project, stack, environment string) (v core.StateVersion, err error) {
	err = s.store.View(ctx, func(tx core.Tx) error {
		v, err = tx.CurrentState(project, stack, environment)
		return err
	})
	return v, err
}

// Content returns what a version holds, with all that is secret in it, for those who show
// none of it.
func (s *Service) Content(ctx context.Context, v core.StateVersion) ([]byte, error) {
	return s.content(ctx, v.Blob)
}

// Pull returns a stored state with all that is secret in it, for a person; version 0
// is the current one.
func (s *Service) Pull(ctx context.Context, c Caller, project, stack, environment string, version int64) ([]byte, core.StateVersion, error) {
	if !c.Person {
		return nil, core.StateVersion{}, core.Errorf(core.Denied, "only a person may pull a state")
	}
	var v core.StateVersion
	if err := s.store.View(ctx, func(tx core.Tx) (err error) {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		if version == 0 {
			if err := isElsewhere(tx, project, stack, environment); err != nil {
				return err
			}
			v, err = tx.CurrentState(project, stack, environment)
		} else {
			v, err = tx.StateVersion(project, stack, environment, version)
		}
		if err == nil && v.Blob == "" {
			err = core.Errorf(core.NotFound, "version %d says that the state of %s was deleted; pull an older one: terrace state versions %[2]s", v.ID, core.InstanceName(stack, environment))
		}
		return err
	}); err != nil {
		return nil, core.StateVersion{}, err
	}
	content, err := s.content(ctx, v.Blob)
	return content, v, err
}

// Delete ends a state that has no resources left, so that the next write may begin a
// new lineage. Its versions stay. Without a state it succeeds. Errors: Conflict while
// there are resources or a lock; Denied for runs.
func (s *Service) Delete(ctx context.Context, c Caller, project, stack, environment string) error {
	if !c.Person {
		return core.Errorf(core.Denied, "only a person may delete a state")
	}
	if !c.CanWrite {
		return readOnly(stack, environment)
	}
	return s.store.Update(ctx, func(tx core.Tx) error {
		if _, err := enter(tx, c, project, stack, environment); err != nil {
			return err
		}
		name := core.InstanceName(stack, environment)
		current, err := tx.CurrentState(project, stack, environment)
		switch {
		case core.CodeOf(err) == core.NotFound:
			return nil
		case err != nil:
			return err
		case current.Resources > 0:
			return core.Errorf(core.Conflict, "the state of %s still has %d resources, which would be forgotten, not destroyed; destroy them first", name, current.Resources)
		}
		if held, err := tx.Lock(project, stack, environment); err == nil {
			return lockedBy(held)
		} else if core.CodeOf(err) != core.NotFound {
			return err
		}
		fence, err := tx.NextFence()
		if err != nil {
			return err
		}
		if _, err := tx.AddStateVersion(core.StateVersion{Project: project, Stack: stack, Environment: environment, Serial: current.Serial, By: c.By,
			Fence: fence, Created: tx.Now()}); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: c.By, Kind: "state.deleted", Project: project, On: name, Data: map[string]string{"serial": itoa(current.Serial)}})
	})
}
