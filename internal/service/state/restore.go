package state

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/terrace-cd/terrace/internal/core"
)

// Restore makes an older version current again: its content, with a serial that continues
// the current one. The infrastructure is not touched: the next plan shows what differs.
// Errors: NotFound; Conflict while somebody has the lock, when it is current already, or
// when OpenTofu encrypted it; Denied.
func (s *Service) Restore(ctx context.Context, c Caller, project, stack, environment string, id int64, reason string) (core.StateVersion, error) {
	if !c.Person || !c.CanWrite {
		return core.StateVersion{}, core.Errorf(core.Denied, "only a person may restore a state")
	}
	name := core.InstanceName(stack, environment)
	content, old, err := s.Pull(ctx, c, project, stack, environment, id)
	if err != nil {
		return core.StateVersion{}, err
	}
	var all []core.StateVersion
	if err := s.store.View(ctx, func(tx core.Tx) (err error) {
		if err := isElsewhere(tx, project, stack, environment); err != nil {
			return err
		}
		all, err = tx.StateVersions(project, stack, environment, 0)
		return err
	}); err != nil {
		return core.StateVersion{}, err
	}
	if all[0].ID == old.ID {
		return core.StateVersion{}, core.Errorf(core.Conflict, "version %d is the current state of %s", old.ID, name)
	}
	if f, err := s.parse(content); err != nil {
		return core.StateVersion{}, err
	} else if f.Encrypted {
		return core.StateVersion{}, core.Errorf(core.Conflict, "version %d is encrypted by OpenTofu itself, so its serial cannot be raised here: pull it (terrace state pull %s --version %d), and push it with the engine", old.ID, name, old.ID)
	}
	highest := slices.MaxFunc(all, func(a, b core.StateVersion) int { return int(a.Serial - b.Serial) })
	if content, err = withSerial(content, highest.Serial+1); err != nil {
		return core.StateVersion{}, err
	}
	f, err := s.parse(content)
	if err != nil {
		return core.StateVersion{}, err
	}
	return s.put(ctx, write{Caller: c, project: project, stack: stack, environment: environment, push: true, file: f, body: content,
		because: &core.Event{Kind: "state.restored", Data: map[string]string{"from": itoa(old.ID), "serial": itoa(old.Serial), "reason": reason}}})
}

// withSerial is a state with another serial, and otherwise byte for byte the same.
func withSerial(content []byte, serial int64) ([]byte, error) {
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber()
	if _, err := decoder.Token(); err != nil { // {
		return nil, core.Errorf(core.Internal, "the state cannot be read: %w", err)
	}
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return nil, core.Errorf(core.Internal, "the state cannot be read: %w", err)
		}
		after := decoder.InputOffset()
		var value json.RawMessage
		if err := decoder.Decode(&value); err != nil {
			return nil, core.Errorf(core.Internal, "the state cannot be read: %w", err)
		}
		if key != "serial" {
			continue
		}
		end := decoder.InputOffset()
		start := end - int64(len(value))
		if start < after {
			break
		}
		return slices.Concat(content[:start], strconv.AppendInt(nil, serial, 10), content[end:]), nil
	}
	return nil, core.Errorf(core.Internal, "the state has no serial")
}

// Import stores the first state of an instance, which another backend kept until now, as
// it is. An instance that has resources keeps its state. Errors: Invalid; Conflict; Denied.
func (s *Service) Import(ctx context.Context, c Caller, project, stack, environment, source string, body []byte) (core.StateVersion, error) {
	if !c.Person || !c.CanWrite {
		return core.StateVersion{}, core.Errorf(core.Denied, "only a person may import a state")
	}
	f, err := s.parse(body)
	if err != nil {
		return core.StateVersion{}, err
	}
	return s.put(ctx, write{Caller: c, project: project, stack: stack, environment: environment, push: true, first: true, file: f, body: body,
		because: &core.Event{Kind: "state.imported", Data: map[string]string{"from": source, "serial": itoa(*f.Serial), "resources": strconv.Itoa(f.resources())}}})
}

// Discard says of an entry of the recovery slot that nobody needs it: it is not stored,
// not offered any more, and stays where it is. Errors: NotFound; Denied.
func (s *Service) Discard(ctx context.Context, c Caller, project, stack, environment string, id int64, reason string) error {
	if !c.Person || !c.CanWrite {
		return core.Errorf(core.Denied, "only a person may discard what is in the recovery slot")
	}
	name := core.InstanceName(stack, environment)
	return s.store.Update(ctx, func(tx core.Tx) error {
		all, err := tx.Recovereds(project, stack, environment)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(r core.Recovered) bool { return r.ID == id })
		if i < 0 {
			return core.Errorf(core.NotFound, "the recovery slot of %s has no entry %d; see: terrace state recovered %[1]s", name, id)
		}
		if all[i].Used {
			return nil
		}
		if err := tx.MarkRecovered(id); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: c.By, Kind: "state.discarded", Project: project, On: name, Data: map[string]string{"entry": itoa(id), "reason": reason}})
	})
}
