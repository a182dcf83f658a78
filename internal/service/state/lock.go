package state

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// lockInfo is the engines' lock info.
type lockInfo struct {
	ID        string
	Operation string
	Info      string
	Who       string
	Version   string
	Created   time.Time
	Path      string
}

// MaxLockInfo bounds a lock info, in bytes.
const MaxLockInfo = 64 << 10

// readLockInfo reads the body of LOCK and UNLOCK.
func readLockInfo(body []byte) (lockInfo, error) {
	var info struct{ ID string } // the rest is for people, and kept as it came
	if len(body) > MaxLockInfo {
		return lockInfo{}, core.Errorf(core.Invalid, "the lock info has %d bytes; at most %d are accepted", len(body), MaxLockInfo)
	}
	if err := json.Unmarshal(body, &info); err != nil {
		return lockInfo{}, core.Errorf(core.Invalid, "the lock info is not JSON, or it was cut off: %w", err)
	}
	if info.ID == "" || len(info.ID) > 200 {
		return lockInfo{}, core.Errorf(core.Invalid, "the lock info has no ID")
	}
	return lockInfo{ID: info.ID}, nil
}

// Lock gives the caller the right to write, until Unlock. Asked again with the same
// ID by the same caller, it succeeds: the first answer may have been lost. Errors:
// Conflict with a *Locked as its cause for those who do not get it; Invalid; Denied.
func (s *Service) Lock(ctx context.Context, c Caller, project, stack, environment string, body []byte) error {
	info, err := readLockInfo(body)
	if err != nil {
		return err
	}
	over, err := s.turn(ctx)
	if err != nil {
		return err
	}
	defer over()
	// Whoever is refused does not stand in the line of those who write: in it stands the
	// UNLOCK that all of them wait for.
	if err := s.store.Peek(ctx, func(tx core.Tx) error {
		_, err := claims(tx, c, info.ID, project, stack, environment)
		return err
	}); err != nil {
		return err
	}
	return s.store.Update(ctx, func(tx core.Tx) error {
		there, err := claims(tx, c, info.ID, project, stack, environment)
		if err != nil || there == mine {
			return err
		}
		if there == left {
			if err := tx.DeleteLock(project, stack, environment); err != nil {
				return err
			}
		}
		fence, err := tx.NextFence()
		if err != nil {
			return err
		}
		return tx.PutLock(core.StateLock{Project: project, Stack: stack, Environment: environment, ID: info.ID, Info: string(body), Fence: fence,
			By: c.By, Run: c.Run, Created: tx.Now()})
	})
}

// found is what there is where somebody may have the lock.
type found int

const (
	free found = iota
	mine       // the same lock of the same caller
	// left by an earlier phase of this very run, whose engine has ended without UNLOCK.
	// What that engine might still send carries another ID.
	left
)

// claims is what a caller finds who may have the lock. Errors: as of Lock.
func claims(tx core.Tx, c Caller, id, project, stack, environment string) (found, error) {
	run, kept, err := look(tx, c, project, stack, environment)
	if err != nil {
		return 0, err
	}
	if err := mayLock(tx, c, run, kept, project, stack, environment); err != nil {
		return 0, err
	}
	switch held := kept.Lock; {
	case held == nil:
		return free, nil
	case held.ID == id && held.Run == c.Run && held.By == c.By:
		return mine, nil
	case run != nil && held.Run == run.ID && held.Created.Before(run.PhaseAt):
		return left, nil
	default:
		return 0, lockedBy(*held)
	}
}

// mayLock refuses those who may not even try.
func mayLock(tx core.Tx, c Caller, run *core.Run, kept core.Held, project, stack, environment string) error {
	if !c.CanWrite {
		return readOnly(stack, environment)
	}
	if run != nil {
		if why := stale(*run, c); why != "" {
			return closed(tx.Now(), why)
		}
		if run.Kind.OnlyLooks() {
			return core.Errorf(core.Denied, "%s only looks, and takes no lock of %s", run.ID, core.InstanceName(stack, environment))
		}
	} else {
		err := elsewhere(tx, kept, stack, environment)
		if err == nil && kept.Current == nil {
			err = otherName(tx, project, stack, environment)
		}
		if core.CodeOf(err) == core.Conflict {
			return closed(tx.Now(), core.MessageOf(err))
		} else if err != nil {
			return err
		}
	}
	if kept.Unknown != "" && (run == nil || run.Kind != core.KindRecover) {
		return closed(tx.Now(), "the outcome of "+kept.Unknown+" at "+core.InstanceName(stack, environment)+" is unknown; recover it first: terrace run recover "+kept.Unknown)
	}
	return nil
}

// Unlock gives a lock back. Without a lock it succeeds: the first answer may have
// been lost. An empty body, which is how terraform force-unlock asks, takes away any
// lock and is for people. Errors: Conflict with a *Locked as its cause when somebody
// else holds the lock; Invalid; Denied.
func (s *Service) Unlock(ctx context.Context, c Caller, project, stack, environment string, body []byte) error {
	forced := len(bytes.TrimSpace(body)) == 0
	var info lockInfo
	if !forced {
		var err error
		if info, err = readLockInfo(body); err != nil {
			return err
		}
	}
	over, err := s.turn(ctx)
	if err != nil {
		return err
	}
	defer over()
	return s.store.Update(ctx, func(tx core.Tx) error {
		_, kept, err := look(tx, c, project, stack, environment)
		if err != nil {
			return err
		}
		switch held := kept.Lock; {
		case held == nil:
			return nil
		case !c.CanWrite:
			return readOnly(stack, environment)
		case !forced && held.ID != info.ID:
			return lockedBy(*held)
		case held.Run == c.Run && held.By == c.By && !forced:
			return tx.DeleteLock(project, stack, environment)
		case !c.Person:
			return core.Errorf(core.Denied, "%s may not take away the lock of %s", c.By, held.By)
		}
		return takeLock(tx, c, *kept.Lock, "force-unlock")
	})
}

// ForceUnlock takes a lock away from whoever holds it. Errors: Conflict while the run
// that holds it changes infrastructure; NotFound when nobody holds it.
func (s *Service) ForceUnlock(ctx context.Context, c Caller, project, stack, environment, reason string) error {
	if !c.Person || !c.CanWrite {
		return core.Errorf(core.Denied, "only a person may take a lock away")
	}
	return s.store.Update(ctx, func(tx core.Tx) error {
		if _, err := enter(tx, c, project, stack, environment); err != nil {
			return err
		}
		if err := isElsewhere(tx, project, stack, environment); err != nil {
			return err
		}
		held, err := tx.Lock(project, stack, environment)
		if err != nil {
			return err
		}
		return takeLock(tx, c, held, reason)
	})
}

// takeLock deletes somebody else's lock and says so in the audit log.
func takeLock(tx core.Tx, c Caller, held core.StateLock, reason string) error {
	name := core.InstanceName(held.Stack, held.Environment)
	if held.Run != "" {
		run, err := tx.Run(held.Run)
		if err != nil && core.CodeOf(err) != core.NotFound {
			return err
		}
		if run.Status.Changing() {
			return core.Errorf(core.Conflict, "%s is %s at %s and needs its lock; stop it first: terrace run cancel %[1]s", run.ID, run.Status, name)
		}
	}
	if err := tx.DeleteLock(held.Project, held.Stack, held.Environment); err != nil {
		return err
	}
	return tx.AddEvent(core.Event{By: c.By, Kind: "state.unlocked", Project: held.Project, On: name,
		Data: map[string]string{"holder": held.By, "lock": held.ID, "reason": reason}})
}

// ReleaseRunLocks deletes the lock that a run holds, if any. It is called in the
// transaction that ends the run, except for an unknown one, which keeps it.
func (s *Service) ReleaseRunLocks(tx core.Tx, run core.Run) error {
	held, err := tx.Lock(run.Project, run.Stack, run.Environment)
	if core.CodeOf(err) == core.NotFound || err == nil && held.Run != run.ID {
		return nil
	} else if err != nil {
		return err
	}
	return tx.DeleteLock(run.Project, run.Stack, run.Environment)
}
