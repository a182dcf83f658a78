package state

import (
	"context"
	"encoding/json"

	"github.com/terrace-cd/terrace/internal/core"
)

// Guard says whether an instance's resources may be forgotten (rule 13): which exceptions
// that takes, or a Conflict that says why not.
type Guard func(ctx context.Context, project, stack, environment string, addresses []string) (exceptions []string, err error)

// SetGuard has a guard asked before a person's write. Without one nothing is protected.
func (s *Service) SetGuard(g Guard) { s.guard = g }

// ask has the guard look at a person's write: what is in the current state and not in this
// one would be forgotten, by terraform state rm as by an apply from a laptop. A run's write
// was judged with its plan. Of a state that OpenTofu encrypted nobody can tell.
func (s *Service) ask(ctx context.Context, w *write) error {
	if !w.Person || !w.CanWrite || s.guard == nil || bool(w.file.Encrypted) {
		return nil
	}
	var now core.StateVersion
	err := s.store.Peek(ctx, func(tx core.Tx) (err error) {
		now, err = tx.CurrentState(w.project, w.stack, w.environment)
		return err
	})
	if core.CodeOf(err) == core.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	content, err := s.content(ctx, now.Blob)
	if err != nil {
		return err
	}
	var before file
	if err := json.Unmarshal(content, &before); err != nil {
		return core.Errorf(core.Internal, "version %d of the state of %s is no state file: %w", now.ID, core.InstanceName(w.stack, w.environment), err)
	}
	forgotten := before.without(w.file)
	if len(forgotten) == 0 {
		return nil
	}
	w.exceptions, err = s.guard(ctx, w.project, w.stack, w.environment, forgotten)
	if core.CodeOf(err) == core.Conflict {
		w.denied, err = err, nil
	}
	return err
}

// without lists the managed resources that are in f and not in other.
func (f file) without(other file) (addresses []string) {
	kept := map[string]bool{}
	for _, r := range other.Resources {
		for _, i := range r.Instances {
			kept[r.address(i)] = true
		}
	}
	for _, r := range f.Resources {
		for _, i := range r.Instances {
			if a := r.address(i); r.Mode == "managed" && !kept[a] {
				addresses = append(addresses, a)
			}
		}
	}
	return addresses
}
