package state

import (
	"cmp"
	"context"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
)

// RecoveredList returns an instance's recovery slot, newest first.
func (s *Service) RecoveredList(ctx context.Context, project, stack, environment string) (all []core.Recovered, err error) {
	err = s.store.View(ctx, func(tx core.Tx) error {
		all, err = tx.Recovereds(project, stack, environment)
		return err
	})
	return all, err
}

// Recover makes current what the recovery slot holds of a run whose outcome is
// unknown, as far as it continues the current state: same lineage, greater serial.
// What does not continue it stays in the slot, for a person to look at. It is the
// first step of a recover run and may be repeated. With the stack's own backend it does
// nothing: the recover run itself stores there what continues what is there.
func (s *Service) Recover(ctx context.Context, lost core.Run) error {
	elsewhere := false
	if err := s.store.View(ctx, func(tx core.Tx) (err error) {
		_, elsewhere, err = own(tx, lost.Project, lost.Stack, lost.Environment)
		return err
	}); err != nil || elsewhere {
		return err
	}
	if err := s.adoptLost(ctx, lost); err != nil {
		return err
	}
	all, err := s.RecoveredList(ctx, lost.Project, lost.Stack, lost.Environment)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(r core.Recovered) bool { return r.Used || r.Run != lost.ID })
	// By serial, so that each continues the one before; of two with one serial the
	// newer, which is what the engine believed last.
	slices.SortFunc(all, func(a, b core.Recovered) int { return cmp.Or(cmp.Compare(a.Serial, b.Serial), cmp.Compare(b.ID, a.ID)) })
	for _, r := range all {
		if _, err := s.promote(ctx, "run:"+lost.ID, r); err != nil && core.CodeOf(err) != core.Conflict {
			return err
		}
	}
	return nil
}

// Promote makes an entry of the recovery slot the current version, because a person
// decided so, under the rules of any write. Errors: NotFound; Conflict when it does
// not continue the current state, or was used already; Denied.
func (s *Service) Promote(ctx context.Context, c Caller, project, stack, environment string, id int64) (core.StateVersion, error) {
	if !c.Person || !c.CanWrite {
		return core.StateVersion{}, core.Errorf(core.Denied, "only a person may choose a state from the recovery slot")
	}
	all, err := s.RecoveredList(ctx, project, stack, environment)
	if err != nil {
		return core.StateVersion{}, err
	}
	for _, r := range all {
		if r.ID == id {
			return s.promote(ctx, c.By, r)
		}
	}
	return core.StateVersion{}, core.Errorf(core.NotFound, "the recovery slot of %s has no entry %d", core.InstanceName(stack, environment), id)
}

// promote stores the content of an entry as a version of its own.
func (s *Service) promote(ctx context.Context, by string, r core.Recovered) (stored core.StateVersion, err error) {
	name := core.InstanceName(r.Stack, r.Environment)
	body, err := s.content(ctx, r.Blob)
	if err != nil {
		return stored, err
	}
	f, err := s.parse(body)
	if err != nil {
		return stored, err
	}
	blob, err := s.putBlob(ctx, r.Project, r.Stack, r.Environment, body)
	if err != nil {
		return stored, err
	}
	w := write{Caller: Caller{Run: r.Run, By: by}, project: r.Project, stack: r.Stack, environment: r.Environment, file: f, body: body}
	var pruned []string
	err = s.store.Update(ctx, func(tx core.Tx) error {
		all, err := tx.Recovereds(r.Project, r.Stack, r.Environment)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(all, func(o core.Recovered) bool { return o.ID == r.ID && o.Used }) {
			return core.Errorf(core.Conflict, "entry %d of the recovery slot of %s was used already", r.ID, name)
		}
		if run, err := tx.Run(r.Run); err == nil && run.Status.Changing() {
			return core.Errorf(core.Conflict, "%s is %s at %s and may still write; wait for it, or stop it: terrace run cancel %[1]s", run.ID, run.Status, name)
		} else if err != nil && core.CodeOf(err) != core.NotFound {
			return err
		}
		if _, ok, err := own(tx, r.Project, r.Stack, r.Environment); err != nil {
			return err
		} else if ok {
			return core.Errorf(core.Conflict, "the stack's own backend keeps the state of %s; a recover run stores entry %d there", name, r.ID)
		}
		held, err := tx.Lock(r.Project, r.Stack, r.Environment)
		if err == nil && held.Run != r.Run {
			return lockedBy(held)
		} else if err != nil && core.CodeOf(err) != core.NotFound {
			return err
		}
		current, err := tx.CurrentState(r.Project, r.Stack, r.Environment)
		switch {
		case core.CodeOf(err) == core.NotFound:
		case err != nil:
			return err
		case current.Lineage != r.Lineage || current.Serial >= r.Serial:
			return core.Errorf(core.Conflict, "entry %d (serial %d, lineage %s) does not continue the current state of %s (serial %d, lineage %s)",
				r.ID, r.Serial, r.Lineage, name, current.Serial, current.Lineage)
		}
		fence, err := tx.NextFence()
		if err != nil {
			return err
		}
		if stored, pruned, err = s.addVersion(tx, w, blob, fence); err != nil {
			return err
		}
		if err := tx.MarkRecovered(r.ID); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "state.recovered", Project: r.Project, On: name,
			Data: map[string]string{"entry": itoa(r.ID), "version": itoa(stored.ID), "serial": itoa(r.Serial)}})
	})
	if err != nil {
		return core.StateVersion{}, err // the new blob is collected
	}
	s.drop(ctx, pruned...)
	return stored, nil
}
