package state

import (
	"bytes"
	"context"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// write is one attempt to store a state.
type write struct {
	Caller
	project, stack, environment string

	lock  string // the ID of the lock that it carries
	push  bool   // by a person with no engine: it takes the lock itself, for a moment
	first bool   // by a person: the state of an instance that has none, or an empty one
	keep  bool   // when refused, it is kept aside

	because *core.Event // recorded with it: why a person wrote it

	file file
	body []byte

	denied     error    // by the guard: protected resources would be forgotten
	exceptions []string // that it takes
}

// verdict is what becomes of a write.
type verdict struct {
	stored  *core.StateVersion // it is the current version already: nothing to do
	refused error              // Conflict: not accepted
	keep    bool               // refused, and kept aside
	fence   int64              // of the lock under which it is accepted
}

// Write stores a state that an engine uploads under a lock. md5 is the digest that
// came with it, in hex, "" when none did. It returns when the version is durable.
// The same bytes sent again make no second version.
//
// Errors: Invalid when the body is not a whole state file; Denied; Conflict when the
// lock, the fence, the lineage or the serial does not allow it: then the body is in
// the recovery slot, except during a run's plan, which changes nothing.
func (s *Service) Write(ctx context.Context, c Caller, project, stack, environment, lockID, md5 string, body []byte) (core.StateVersion, error) {
	over, err := s.turn(context.WithoutCancel(ctx)) // as in put
	if err != nil {
		return core.StateVersion{}, err
	}
	defer over()
	f, err := s.parse(body)
	if err != nil {
		return core.StateVersion{}, err
	}
	if md5 != "" && !strings.EqualFold(md5, f.md5) {
		return core.StateVersion{}, core.Errorf(core.Invalid, "the body was damaged on its way: its MD5 is %s and not %s, as announced", f.md5, md5)
	}
	return s.put(ctx, write{Caller: c, project: project, stack: stack, environment: environment, lock: lockID, keep: true, file: f, body: body})
}

// Push stores a state for a person, under the rules of any write; it takes the lock
// itself. What is refused is not kept: the person has it. It is allowed while an
// outcome is unknown, since a person's state may be the way out.
func (s *Service) Push(ctx context.Context, c Caller, project, stack, environment string, body []byte) (core.StateVersion, error) {
	if !c.Person || !c.CanWrite {
		return core.StateVersion{}, core.Errorf(core.Denied, "only a person may push a state")
	}
	f, err := s.parse(body)
	if err != nil {
		return core.StateVersion{}, err
	}
	return s.put(ctx, write{Caller: c, project: project, stack: stack, environment: environment, push: true, file: f, body: body})
}

// put stores the blob, then the row that names it. A crash in between leaves a blob
// that no row names, which a collector removes.
func (s *Service) put(ctx context.Context, w write) (core.StateVersion, error) {
	// The body is here in full: a client that hangs up now is no reason to drop it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), WriteWithin)
	defer cancel()
	var v verdict
	var now time.Time
	if err := s.ask(ctx, &w); err != nil {
		return core.StateVersion{}, err
	}
	// What is found here decides nothing but whether the blob is worth writing.
	if err := s.store.Peek(ctx, func(tx core.Tx) (err error) {
		now = tx.Now()
		v, err = s.judge(ctx, tx, w)
		return err
	}); err != nil {
		return core.StateVersion{}, err
	}
	if v.stored != nil {
		return *v.stored, nil
	}
	if v.refused != nil && !v.keep {
		return core.StateVersion{}, v.refused
	}
	blob, err := s.putBlobAt(ctx, now, w.project, w.stack, w.environment, w.body)
	if err != nil {
		return core.StateVersion{}, err
	}
	var stored core.StateVersion
	var pruned []string
	if err := s.store.Update(ctx, func(tx core.Tx) error {
		if v, err = s.judge(ctx, tx, w); err != nil || v.stored != nil || v.refused != nil && !v.keep {
			return err
		}
		if v.refused != nil {
			return s.addRecovered(tx, w, blob, core.MessageOf(v.refused))
		}
		if w.push {
			if v.fence, err = tx.NextFence(); err != nil {
				return err
			}
		}
		stored, pruned, err = s.addVersion(tx, w, blob, v.fence)
		return err
	}); err != nil {
		return core.StateVersion{}, err
	}
	switch {
	case v.stored != nil: // somebody stored the same in between
		s.drop(ctx, blob)
		return *v.stored, nil
	case v.refused != nil && !v.keep:
		s.drop(ctx, blob)
		return core.StateVersion{}, v.refused
	case v.refused != nil:
		return core.StateVersion{}, core.Errorf(core.Conflict, "%w. It is kept in the recovery slot: terrace state show %s", v.refused, core.InstanceName(w.stack, w.environment))
	}
	s.drop(ctx, pruned...)
	return stored, nil
}

// judge applies the rules of a write, in one snapshot. An error is not a verdict.
func (s *Service) judge(ctx context.Context, tx core.Tx, w write) (verdict, error) {
	name := core.InstanceName(w.stack, w.environment)
	run, kept, err := look(tx, w.Caller, w.project, w.stack, w.environment)
	if err != nil {
		return verdict{}, err
	}
	var current core.StateVersion
	exists := kept.Current != nil
	if exists {
		current = *kept.Current
	}
	same := exists && current.Serial == *w.file.Serial && current.Lineage == w.file.Lineage
	if same && current.MD5 == w.file.md5 && current.Size == w.file.size {
		content, err := s.content(ctx, current.Blob)
		if err != nil {
			return verdict{}, err
		}
		if bytes.Equal(content, w.body) {
			return verdict{stored: &current}, nil
		}
	}
	refuse := func(format string, args ...any) (verdict, error) {
		return verdict{refused: core.Errorf(core.Conflict, format, args...), keep: w.keep}, nil
	}

	if !w.CanWrite {
		return verdict{}, readOnly(w.stack, w.environment)
	}
	if run != nil && run.Kind.OnlyLooks() {
		return verdict{}, core.Errorf(core.Denied, "%s only looks; it does not write the state of %s", run.ID, name)
	}
	if run != nil && !writes(*run) {
		if run.Fence == w.Fence && run.Status.Supersedable() {
			return verdict{}, core.Errorf(core.Denied, "%s is %s; its token writes the state of %s only while it applies", run.ID, run.Status, name)
		}
		return refuse("%s is %s and not applying: its write to %s is too late", run.ID, run.Status, name)
	}
	if run != nil && run.Fence != w.Fence {
		return refuse("attempt %d of %s took over: this write to %s has a stale fence", run.Attempt, run.ID, name)
	}
	elsewhere := kept.Own != nil
	if known := kept.Own; elsewhere && w.Person && !known.ContinuedBy(w.file.Lineage, *w.file.Serial) {
		return refuse("the stack's own backend (%s) keeps the state of %s, with lineage %s and serial %d, and this one, with lineage %s and serial %d, does not continue it; pull it from there again",
			known.Backend, name, known.Lineage, known.Serial, w.file.Lineage, *w.file.Serial)
	}
	var lock core.StateLock
	locked := kept.Lock != nil
	if locked {
		lock = *kept.Lock
	}
	switch {
	case w.push && locked:
		return verdict{refused: lockedBy(lock)}, nil
	case w.push:
	case !locked:
		return refuse("the state of %s is not locked; a write needs the lock", name)
	case w.lock == "":
		return refuse("the write to %s carries no lock ID, and %s holds the lock", name, lock.By)
	case lock.ID != w.lock || lock.Run != w.Run:
		return refuse("the write to %s carries a lock that is gone; %s has it now", name, lock.By)
	case exists && current.Fence > lock.Fence:
		return refuse("the lock on %s has fence %d, and the current state was written under %d", name, lock.Fence, current.Fence)
	}
	switch {
	case w.first && exists && current.Resources > 0 && !elsewhere:
		return refuse("%s has a state already (serial %d, %d resources); an import is for an instance that has none. What continues it is stored with: terrace state push %[1]s", name, current.Serial, current.Resources)
	case !exists, elsewhere && !same, w.first && !same: // the current version, if any, is history: see own.go
	case current.Lineage != w.file.Lineage:
		return refuse("the state has lineage %s and that of %s is %s: it belongs to something else", w.file.Lineage, name, current.Lineage)
	case *w.file.Serial < current.Serial:
		return refuse("the state has serial %d, older than the current serial %d of %s", *w.file.Serial, current.Serial, name)
	case same:
		return refuse("the state of %s has serial %d already, with other content", name, current.Serial)
	}
	if w.denied != nil {
		return verdict{refused: w.denied, keep: w.keep}, nil
	}
	return verdict{fence: lock.Fence}, nil
}

// writes reports whether a run is where its engine stores the state: in its apply, or,
// for a recover run, in its plan, where it stores what it found.
func writes(run core.Run) bool {
	return run.Status == core.RunApplying || run.Kind == core.KindRecover && run.Status == core.RunPlanning
}

// addVersion makes the write the current version.
func (s *Service) addVersion(tx core.Tx, w write, blob string, fence int64) (core.StateVersion, []string, error) {
	v := core.StateVersion{Project: w.project, Stack: w.stack, Environment: w.environment, Serial: *w.file.Serial, Lineage: w.file.Lineage, MD5: w.file.md5,
		Size: w.file.size, Resources: w.file.resources(), Blob: blob, Run: w.Run, By: w.By, Fence: fence, Created: tx.Now()}
	err := inTime(tx, blob)
	if err != nil {
		return v, nil, err
	}
	if v.ID, err = tx.AddStateVersion(v); err != nil {
		return v, nil, err
	}
	if err := tx.AddEvent(core.Event{By: w.By, Kind: "state.written", Project: w.project, On: core.InstanceName(w.stack, w.environment),
		Data: map[string]string{"version": itoa(v.ID), "serial": itoa(v.Serial), "md5": v.MD5}}); err != nil {
		return v, nil, err
	}
	for _, id := range w.exceptions {
		if err := tx.EndException(w.project, id, w.By, tx.Now()); err != nil {
			return v, nil, err
		}
		if err := tx.AddEvent(core.Event{By: w.By, Kind: "exception.used", Project: w.project, On: core.InstanceName(w.stack, w.environment), Data: map[string]string{"exception": id}}); err != nil {
			return v, nil, err
		}
	}
	if w.because != nil {
		why := *w.because
		why.By, why.Project, why.On = w.By, w.project, core.InstanceName(w.stack, w.environment)
		if err := tx.AddEvent(why); err != nil {
			return v, nil, err
		}
	}
	if s.keep == 0 {
		return v, nil, nil
	}
	pruned, err := tx.PruneStateVersions(w.project, w.stack, w.environment, s.keep)
	return v, pruned, err
}

// addRecovered keeps a refused write aside, once.
func (s *Service) addRecovered(tx core.Tx, w write, blob, reason string) error {
	kept, err := tx.Recovereds(w.project, w.stack, w.environment)
	if err != nil {
		return err
	}
	for _, r := range kept {
		if !r.Used && r.MD5 == w.file.md5 && r.Size == w.file.size && r.Run == w.Run && r.By == w.By {
			return nil // sent again; the new blob is collected
		}
	}
	if err := inTime(tx, blob); err != nil {
		return err
	}
	id, err := tx.AddRecovered(core.Recovered{Project: w.project, Stack: w.stack, Environment: w.environment, Serial: *w.file.Serial, Lineage: w.file.Lineage,
		MD5: w.file.md5, Size: w.file.size, Blob: blob, Run: w.Run, By: w.By, Reason: reason, Created: tx.Now()})
	if err != nil {
		return err
	}
	return tx.AddEvent(core.Event{By: w.By, Kind: "state.kept_aside", Project: w.project, On: core.InstanceName(w.stack, w.environment),
		Data: map[string]string{"entry": itoa(id), "serial": itoa(*w.file.Serial), "reason": reason}})
}

// Keep puts a state that a runner could not upload into the recovery slot, where a
// recover run finds it. It is for the run's own token, whatever the run is now. What
// is stored already is not kept twice.
func (s *Service) Keep(ctx context.Context, c Caller, project, stack, environment, reason string, body []byte) error {
	f, err := s.parse(body)
	if f.nameless && core.CodeOf(err) == core.Invalid {
		// Engines give a state its lineage when they store it first, which is what failed.
		err = s.store.View(ctx, func(tx core.Tx) error {
			_, ok, ownErr := own(tx, project, stack, environment)
			if ownErr == nil && !ok {
				return err // there would be no way to make it current
			}
			return ownErr
		})
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), WriteWithin)
	defer cancel()
	w := write{Caller: c, project: project, stack: stack, environment: environment, file: f, body: body}
	blob, err := s.putBlob(ctx, project, stack, environment, body)
	if err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx core.Tx) error {
		if _, err := enter(tx, c, project, stack, environment); err != nil {
			return err
		}
		versions, err := tx.StateVersions(project, stack, environment, 0)
		if err != nil {
			return err
		}
		for _, v := range versions {
			if v.Serial == *f.Serial && v.Lineage == f.Lineage && v.MD5 == f.md5 && v.Size == f.size {
				return nil // the upload came through after all; the new blob is collected
			}
		}
		return s.addRecovered(tx, w, blob, reason)
	})
}

// putBlob seals and stores a state under a new key, which tells its age and, to those
// who know the instance, whose state it is: see Newer.
func (s *Service) putBlob(ctx context.Context, project, stack, environment string, body []byte) (key string, err error) {
	var now time.Time
	if err := s.store.View(ctx, func(tx core.Tx) error {
		now = tx.Now()
		return nil
	}); err != nil {
		return "", err
	}
	return s.putBlobAt(ctx, now, project, stack, environment, body)
}

// putBlobAt is putBlob for those who know what time it is, by the database's clock.
func (s *Service) putBlobAt(ctx context.Context, now time.Time, project, stack, environment string, body []byte) (key string, err error) {
	key = blobPrefix + core.NewID("v", now) + "." + instanceKey(project, stack, environment)
	sealed, err := s.seal.Seal(key, body)
	if err != nil {
		return "", err
	}
	return key, s.blobs.Put(ctx, key, sealed)
}

// WriteWithin is the time from naming a blob to committing the row that says so. The
// collector of orphans counts on it (internal/jobs): a blob that no row names when it is
// older will never be named.
const WriteWithin = 10 * time.Minute

// inTime refuses a row for a blob that is too old. Timeouts alone would not do: a
// machine that was suspended between the blob and the row does not notice. The key says
// when it was made, by the clock that is asked here.
func inTime(tx core.Tx, blob string) error {
	made, ok := core.BlobMade(blob)
	if !ok || tx.Now().Sub(made) > WriteWithin {
		return core.Errorf(core.Unavailable, "storing the state took longer than %s; nothing was changed, try again", WriteWithin)
	}
	return nil
}

// drop deletes blobs that no row names any more. It cannot fail what is done already:
// what stays is collected.
func (s *Service) drop(ctx context.Context, keys ...string) {
	for _, key := range keys {
		if key != "" { // of a deleted state
			_ = s.blobs.Delete(ctx, key)
		}
	}
}
