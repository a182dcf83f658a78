package state

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// With state = "stack" an instance's state is in the stack's own backend, and what is
// known of it is what runs report. This file is where that takes the place of the
// built-in state, and where a change from one to the other is looked at: an apply from
// the wrong one of the two, or from an empty one, would create everything a second time.

// OutputsDoc is the kind of the run document with the outputs of a state in the stack's
// own backend, and the resources that hosts are made of, in the form of a state file.
const OutputsDoc = "outputs"

// DocPurpose binds a sealed document of a run to its place.
func DocPurpose(run, kind string) string { return "run:" + run + ":" + kind }

// own is tx.OwnState without an error for those that have none.
func own(tx core.Tx, project, stack, environment string) (core.OwnState, bool, error) {
	o, err := tx.OwnState(project, stack, environment)
	if core.CodeOf(err) == core.NotFound {
		return o, false, nil
	}
	return o, err == nil, err
}

// current is tx.CurrentState likewise.
func current(tx core.Tx, project, stack, environment string) (core.StateVersion, bool, error) {
	v, err := tx.CurrentState(project, stack, environment)
	if core.CodeOf(err) == core.NotFound {
		return v, false, nil
	}
	return v, err == nil, err
}

// Resources is how many resources an instance has, wherever its state is.
func Resources(tx core.Tx, project, stack, environment string) (int, error) {
	if o, ok, err := own(tx, project, stack, environment); ok || err != nil {
		return o.Resources, err
	}
	v, _, err := current(tx, project, stack, environment)
	return v.Resources, err
}

// OwnOutputs returns the outputs of a state in the stack's own backend, and the resources that
// hosts are made of, in the form of a state file; nil while nothing is stored there. ok is false for an instance whose state
// is the built-in one.
func (s *Service) OwnOutputs(tx core.Tx, project, stack, environment string) (file []byte, ok bool, err error) {
	return OwnOutputs(tx, s.seal, project, stack, environment)
}

// OwnOutputs is Service.OwnOutputs for those who have no Service.
func OwnOutputs(tx core.Tx, seal core.Sealer, project, stack, environment string) (file []byte, ok bool, err error) {
	o, ok, err := own(tx, project, stack, environment)
	if !ok || err != nil || !o.Stored() {
		return nil, ok, err
	}
	sealed, err := tx.RunDoc(o.Run, OutputsDoc)
	if err != nil {
		return nil, true, err
	}
	file, err = seal.Open(DocPurpose(o.Run, OutputsDoc), sealed)
	return file, true, err
}

// Strange says why a run must not apply what it planned from a state in the stack's own
// backend, "" when it may: it is neither the state that the last run left, nor a later
// one, nor one with the same resources, which is what a moved state looks like.
func (s *Service) Strange(ctx context.Context, tx core.Tx, run core.Run, seen wire.OwnState) (why string, err error) {
	name := run.Instance()
	known, ok, err := own(tx, run.Project, run.Stack, run.Environment)
	if err != nil {
		return "", err
	}
	if !ok {
		v, exists, err := current(tx, run.Project, run.Stack, run.Environment)
		if err != nil || !exists || v.Resources == 0 || v.Lineage == seen.Lineage && v.Serial <= seen.Serial {
			return "", err
		}
		content, err := s.content(ctx, v.Blob)
		if err != nil || seen.Digest != "" && core.ResourcesDigest(content) == seen.Digest {
			return "", err
		}
		return fmt.Sprintf("the state of %s is in Terrace (version %d, serial %d, %d resources), and the stack's own backend (%s), which terrace.hcl names now, has %s. An apply would create everything a second time. Move the state first: terrace state pull %[1]s > state.json, then, in the stack's folder with that backend: tofu state push state.json. Or set state = \"terrace\" again",
			name, v.ID, v.Serial, v.Resources, seen.Backend, describe(seen, v.Lineage)), nil
	}
	if known.ContinuedBy(seen.Lineage, seen.Serial) || seen.Digest != "" && s.seal.Digest([]byte(seen.Digest)) == known.Digest {
		return "", nil
	}
	was := fmt.Sprintf("the stack's own backend (%s) has %s; after %s it had %d resources (lineage %s, serial %d)", seen.Backend, describe(seen, known.Lineage),
		known.Run, known.Resources, known.Lineage, known.Serial)
	if seen.Lineage == known.Lineage {
		return fmt.Sprintf("the state of %s went back: %s. An apply would forget what was made since. Restore the newer state; or, if the older one is right: terrace state forget %[1]s", name, was), nil
	}
	advice := "Did its place change? Move the state there (tofu init -migrate-state)."
	instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
	if err != nil {
		return "", err
	}
	if instance.MovedFrom != "" {
		advice = fmt.Sprintf("It was %s before: where its place follows from the stack's name, keep the place (backend in the block of the stack), or move the state there (tofu init -migrate-state).",
			core.InstanceName(instance.MovedFrom, run.Environment))
	}
	return fmt.Sprintf("the state of %s is not where it was: %s. An apply would create everything a second time. %s If what it had is gone: terrace state forget %[1]s", name, was, advice), nil
}

// describe says what a backend has, compared with a lineage that was expected.
func describe(seen wire.OwnState, lineage string) string {
	switch seen.Lineage {
	case "":
		return "no state"
	case lineage:
		return fmt.Sprintf("an older state (serial %d)", seen.Serial)
	}
	return fmt.Sprintf("another state (lineage %s, serial %d)", seen.Lineage, seen.Serial)
}

// See notes what a run saw of a state in the stack's own backend. An entry of the
// recovery slot that it stored there is used up.
func (s *Service) See(tx core.Tx, run core.Run, seen wire.OwnState) error {
	outputs := seen.Outputs
	if len(outputs) == 0 {
		outputs = json.RawMessage("{}")
	}
	file, err := json.Marshal(struct {
		Version   int             `json:"version"`
		Outputs   json.RawMessage `json:"outputs"`
		Resources json.RawMessage `json:"resources,omitempty"`
	}{4, outputs, seen.Instances})
	if err != nil {
		return core.Errorf(core.Invalid, "the outputs and resources that %s reports are not JSON: %w", run.ID, err)
	}
	sealed, err := s.seal.Seal(DocPurpose(run.ID, OutputsDoc), file)
	if err != nil {
		return err
	}
	if err := tx.PutRunDoc(run.ID, OutputsDoc, sealed); err != nil {
		return err
	}
	if seen.Recovered != 0 {
		if err := s.used(tx, run, seen); err != nil {
			return err
		}
	}
	return tx.PutOwnState(core.OwnState{Project: run.Project, Stack: run.Stack, Environment: run.Environment, Backend: seen.Backend, Lineage: seen.Lineage,
		Serial: max(0, seen.Serial), Resources: max(0, seen.Resources), Digest: s.seal.Digest([]byte(seen.Digest)), Run: run.ID, Seen: tx.Now()})
}

func (s *Service) used(tx core.Tx, run core.Run, seen wire.OwnState) error {
	all, err := tx.Recovereds(run.Project, run.Stack, run.Environment)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(r core.Recovered) bool { return r.ID == seen.Recovered })
	if i < 0 || all[i].Used {
		return nil
	}
	if err := tx.MarkRecovered(seen.Recovered); err != nil {
		return err
	}
	return tx.AddEvent(core.Event{By: "run:" + run.ID, Kind: "state.recovered", Project: run.Project, On: run.Instance(),
		Data: map[string]string{"entry": itoa(seen.Recovered), "serial": itoa(seen.Serial), "backend": seen.Backend}})
}

// TakeOver is for a run with the built-in state: what its instance had in a backend of
// its own is history from now on. named is the type of backend that the stack's code
// names, "" when it names none. Invalid when the built-in state does not continue what was
// there, and when there never was one while the code names a backend that may have it.
func TakeOver(tx core.Tx, run core.Run, named string) error {
	known, ok, err := own(tx, run.Project, run.Stack, run.Environment)
	if err != nil {
		return err
	}
	if !ok {
		return begins(tx, run, named)
	}
	name := run.Instance()
	v, exists, err := current(tx, run.Project, run.Stack, run.Environment)
	switch {
	case err != nil:
		return err
	case exists && known.ContinuedBy(v.Lineage, v.Serial) || !exists && known.Resources == 0:
	default:
		has := "no state"
		if exists {
			has = fmt.Sprintf("an older one, or another (version %d, lineage %s, serial %d)", v.ID, v.Lineage, v.Serial)
		}
		return core.Errorf(core.Invalid, "the state of %s is in the stack's own backend (%s), where %s saw %d resources (lineage %s, serial %d), and Terrace, which terrace.hcl names now, has %s. An apply would create everything a second time. Move the state first: terrace state import %[1]s --from-backend FOLDER (or, in the stack's folder, tofu state pull > state.json, then terrace state import %[1]s state.json). Or set state = \"stack\" again",
			name, known.Backend, known.Run, known.Resources, known.Lineage, known.Serial, has)
	}
	if err := tx.DeleteOwnState(run.Project, run.Stack, run.Environment); err != nil {
		return err
	}
	return tx.AddEvent(core.Event{By: "run:" + run.ID, Kind: "state.taken_over", Project: run.Project, On: name,
		Data: map[string]string{"backend": known.Backend, "lineage": known.Lineage, "serial": itoa(known.Serial)}})
}

// begins refuses the first run of an instance that may have a state already: in the
// backend that its code names, which is not used.
func begins(tx core.Tx, run core.Run, named string) error {
	if named == "" || named == "http" || named == "local" || run.Kind != core.KindDeploy {
		return nil
	}
	all, err := tx.StateVersions(run.Project, run.Stack, run.Environment, 1)
	if err != nil || len(all) > 0 {
		return err
	}
	return core.Errorf(core.Invalid, "%[1]s has no state in Terrace, and its stack has a backend block (%[2]s), so its state may be there: an apply would create everything a second time. Take the state over: terrace state import %[1]s --from-backend FOLDER, or keep it there with state = \"stack\". If there is nothing yet, remove the backend block", run.Instance(), named)
}

// elsewhere refuses what concerns a state that is in the stack's own backend. A built-in
// state that continues it was put there to take over: it may be worked with.
func elsewhere(tx core.Tx, kept core.Held, stack, environment string) error {
	known := kept.Own
	if known == nil || kept.Current != nil && known.ContinuedBy(kept.Current.Lineage, kept.Current.Serial) {
		return nil
	}
	name := core.InstanceName(stack, environment)
	text := fmt.Sprintf("the state of %s is not in Terrace: the stack's own backend (%s) keeps it, with its versions and locks (state = \"stack\" in terrace.hcl). Use the engine there, in the stack's folder with that backend, for example: tofu state pull", name, known.Backend)
	recovered, err := tx.Recovereds(known.Project, stack, environment)
	if err != nil {
		return err
	}
	for _, r := range recovered {
		if !r.Used {
			text += fmt.Sprintf(". What %s could not store there is kept here: terrace state recovered %s %d", r.Run, name, r.ID)
		}
	}
	return core.Errorf(core.Conflict, "%s", text)
}

// isElsewhere is elsewhere for those who know nothing yet of the instance.
func isElsewhere(tx core.Tx, project, stack, environment string) error {
	kept, err := tx.Held(project, stack, environment)
	if err != nil {
		return err
	}
	return elsewhere(tx, kept, stack, environment)
}

// Forget drops what is known of a state in the stack's own backend: the next run takes
// what it finds there for the instance's state. Errors: NotFound when nothing is known;
// Conflict while a run is under way; Denied.
func (s *Service) Forget(ctx context.Context, c Caller, project, stack, environment, reason string) error {
	if !c.Person || !c.CanWrite {
		return core.Errorf(core.Denied, "only a person may let a state be forgotten")
	}
	return s.store.Update(ctx, func(tx core.Tx) error {
		if _, err := enter(tx, c, project, stack, environment); err != nil {
			return err
		}
		name := core.InstanceName(stack, environment)
		known, ok, err := own(tx, project, stack, environment)
		switch {
		case err != nil:
			return err
		case !ok || !known.Stored():
			return core.Errorf(core.NotFound, "nothing is known of a state of %s in the stack's own backend; states that Terrace keeps are not forgotten", name)
		}
		last, err := tx.Runs(core.RunFilter{Project: project, Environment: environment, Stack: stack, Limit: 1})
		if err != nil {
			return err
		}
		if len(last) > 0 && !last[0].Status.Terminal() {
			return core.Errorf(core.Conflict, "%s is %s at %s; wait for it, or stop it: terrace run cancel %[1]s", last[0].ID, last[0].Status, name)
		}
		instance, err := tx.Instance(project, stack, environment)
		if err != nil {
			return err
		}
		instance.Digest = "" // the next release plans it, whatever it wants
		if err := tx.PutInstance(instance); err != nil {
			return err
		}
		// That its state is there stays known: what Terrace had before is still history.
		if err := tx.PutOwnState(core.OwnState{Project: project, Stack: stack, Environment: environment, Backend: known.Backend, Run: known.Run, Seen: tx.Now()}); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: c.By, Kind: "state.forgotten", Project: project, On: name,
			Data: map[string]string{"backend": known.Backend, "lineage": known.Lineage, "serial": itoa(known.Serial), "resources": itoa(int64(known.Resources)), "reason": reason}})
	})
}

// ToStore is the entry of the recovery slot that a recover run with the stack's own
// backend is to store there: of those of the lost run the newest in the state's own
// count. ok is false when there is none.
func ToStore(tx core.Tx, lost core.Run) (best core.Recovered, ok bool, err error) {
	all, err := tx.Recovereds(lost.Project, lost.Stack, lost.Environment) // newest first
	for _, r := range all {
		if !r.Used && r.Run == lost.ID && (!ok || r.Serial > best.Serial) {
			best, ok = r, true
		}
	}
	return best, ok, err
}

// RecoveredContent reads an entry of the recovery slot.
func (s *Service) RecoveredContent(ctx context.Context, r core.Recovered) ([]byte, error) {
	return s.content(ctx, r.Blob)
}

// Recovered returns an instance's recovery slot, newest first, wherever its state is.
func (s *Service) Recovered(ctx context.Context, project, stack, environment string) (out []wire.Recovered, err error) {
	err = s.store.View(ctx, func(tx core.Tx) error {
		if _, err := tx.Project(project); err != nil {
			return err
		}
		all, err := tx.Recovereds(project, stack, environment)
		out = make([]wire.Recovered, 0, len(all))
		for _, r := range all {
			out = append(out, recovered(r))
		}
		return err
	})
	return out, err
}

func recovered(r core.Recovered) wire.Recovered {
	return wire.Recovered{ID: r.ID, Serial: r.Serial, Lineage: r.Lineage, MD5: r.MD5, Size: r.Size, Run: r.Run, Reason: r.Reason, Created: r.Created, Used: r.Used}
}

// PullRecovered returns the state in an entry of the recovery slot, with all that is
// secret in it, for a person.
func (s *Service) PullRecovered(ctx context.Context, c Caller, project, stack, environment string, id int64) ([]byte, error) {
	if !c.Person {
		return nil, core.Errorf(core.Denied, "only a person may pull a state")
	}
	all, err := s.RecoveredList(ctx, project, stack, environment)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(all, func(r core.Recovered) bool { return r.ID == id })
	if i < 0 {
		return nil, core.Errorf(core.NotFound, "the recovery slot of %s has no entry %d", core.InstanceName(stack, environment), id)
	}
	return s.RecoveredContent(ctx, all[i])
}
