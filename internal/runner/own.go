package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/step/engine"
	"github.com/terrace-cd/terrace/internal/wire"
)

// With state = "stack" the server never sees the state. The runner, which does, reports
// what is in it that others need: outputs, and what tells one state from another.

// ownPatience bounds a look at the stack's own backend after an apply.
const ownPatience = 2 * time.Minute

// see reads what the stack's own backend holds; nil with the built-in one.
func (a *attempt) see(ctx context.Context, session *engine.Session) (*wire.OwnState, error) {
	if a.job.Backend.Address != "" {
		return nil, nil
	}
	var own engine.Own
	err := a.retryIn(ctx, "reading the state", func(ctx context.Context) (err error) {
		own, err = session.See(ctx, a.job.Selects)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &wire.OwnState{Backend: own.Backend, Lineage: own.Lineage, Serial: own.Serial, Resources: own.Resources, Digest: own.Digest, Outputs: own.Outputs, Instances: own.Instances}, nil
}

// mend is what comes before the plan of a recover run with the stack's own backend: a
// lock that a person named is taken away, and the state that the lost run could not
// upload is stored, if it continues what is there. It returns the entry of the recovery
// slot that it stored, 0 for none.
func (a *attempt) mend(session *engine.Session) (int64, error) {
	b := a.job.Backend
	if b.Unlock != "" {
		if err := session.ForceUnlock(a.work, b.Unlock); err != nil {
			a.say("the lock %s was not taken away: %s", b.Unlock, core.MessageOf(err)) // the plan will tell what is locked
		} else {
			a.say("the lock %s is taken away, as asked", b.Unlock)
		}
	}
	if b.Recovered == 0 {
		return 0, nil
	}
	kept, err := a.api.RecoveredState(a.work, a.Run)
	if err != nil {
		return 0, err
	}
	var f struct {
		Lineage string
		Serial  int64
	}
	if err := json.Unmarshal(kept, &f); err != nil {
		return 0, core.Errorf(core.Internal, "entry %d of the recovery slot is no state file: %w", b.Recovered, err)
	}
	there, err := a.see(a.work, session)
	if err != nil {
		return 0, err
	}
	if there.Lineage != "" && (there.Lineage != f.Lineage || there.Serial >= f.Serial) {
		a.say("entry %d of the recovery slot (lineage %s, serial %d) does not continue what the backend has (lineage %s, serial %d); it stays in the slot",
			b.Recovered, f.Lineage, f.Serial, there.Lineage, there.Serial)
		return 0, nil
	}
	if err := session.Push(a.work, kept); err != nil {
		return 0, err
	}
	a.say("entry %d of the recovery slot is stored in the stack's own backend", b.Recovered)
	return b.Recovered, nil
}

// stored looks at what the stack's own backend holds after an apply that the engine
// believes stored: its exit code alone does not tell. well says that it ended well.
func (a *attempt) stored(session *engine.Session, before *wire.OwnState, partial string, failure error) (*wire.OwnState, error) {
	if before == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(a.report, ownPatience) // also when the run was told to end
	defer cancel()
	now, err := a.see(ctx, session)
	switch {
	case err != nil && failure == nil:
		return nil, verdictf(core.RunErrored, "everything is applied, and the engine has stored its state, which cannot be read back: %s. Its outputs are not known before a retry", core.MessageOf(err))
	case err != nil:
		return nil, a.unknown(engine.Applied{}, partial, fmt.Errorf("%w, and what is stored cannot be read back: %s", failure, core.MessageOf(err)))
	case before.Lineage != "" && now.Lineage != before.Lineage || now.Serial < before.Serial || now.Lineage == "" && failure == nil:
		return nil, a.unknown(engine.Applied{}, partial, fmt.Errorf("the stack's own backend had a state with lineage %q and serial %d before the apply, and has one with lineage %q and serial %d now: somebody else replaced it",
			before.Lineage, before.Serial, now.Lineage, now.Serial))
	}
	return now, nil
}

// lockedOut is the end of a run that did not get the lock of the stack's own backend.
func (a *attempt) lockedOut(err error, l *engine.Locked) *verdict {
	b := a.job.Backend
	if b.Lost == "" {
		return verdictf(core.RunErrored, "%s", core.MessageOf(err))
	}
	const layout = "2006-01-02 15:04:05.999999999 -0700 MST"
	whose := fmt.Sprintf("If it is certain that it is the lock of %s, whose runner is gone", b.Lost)
	if at, parseErr := time.Parse(layout, l.Created); parseErr == nil {
		if at.Before(b.LostFrom) || at.After(b.LostUntil) {
			whose = fmt.Sprintf("It was not taken while %s ran, so somebody else may be at work; if that is certain not to be so", b.Lost)
		} else {
			whose = fmt.Sprintf("It was taken while %s ran, whose runner is gone; if nobody else works there", b.Lost)
		}
	}
	return verdictf(core.RunErrored, "%s\n%s, let the next recover run take it away: terrace run recover %s --unlock %s", core.MessageOf(err), whose, b.Lost, l.ID)
}

// isLocked reports whether an error is about a lock of the stack's own backend, which
// was waited for already.
func isLocked(err error) bool {
	var l *engine.Locked
	return errors.As(err, &l)
}
