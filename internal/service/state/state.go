// Package state is the state backend: what unmodified tofu and terraform read, lock
// and write through the HTTP protocol, and what people see of it. A state is never
// overwritten: each accepted write is a new version, sealed, on disk before it is
// acknowledged. A write that is refused because somebody else may have written since
// is kept aside in the instance's recovery slot, since the infrastructure that it
// describes exists (invariant I3).
package state

import (
	"context"
	"encoding/json"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/terrace-cd/terrace/internal/core"
)

// DefaultLimit bounds a state, in bytes.
const DefaultLimit = 256 << 20

// atOnce is how many requests of engines are worked at at a time.
const atOnce = 32

// Service is safe for concurrent use.
type Service struct {
	store core.Store
	blobs core.BlobStore
	seal  core.Sealer
	limit int64
	keep  int
	guard Guard
	line  *semaphore.Weighted
}

// Option changes a Service.
type Option func(*Service)

// WithLimit bounds the size of a state, in bytes.
func WithLimit(n int64) Option { return func(s *Service) { s.limit = n } }

// WithRetention keeps only the newest n versions of each state, at least 100. Without
// it all are kept.
func WithRetention(n int) Option { return func(s *Service) { s.keep = n } }

// New returns a Service.
func New(store core.Store, blobs core.BlobStore, seal core.Sealer, options ...Option) *Service {
	s := &Service{store: store, blobs: blobs, seal: seal, limit: DefaultLimit, line: semaphore.NewWeighted(atOnce)}
	for _, o := range options {
		o(s)
	}
	return s
}

// turn waits until a request of an engine may be worked at, and returns what has to be
// called when it was. All wait in one line, first come, first served: so what a request takes
// depends on how many came before it, and not on what it is; a thousand engines are no long
// line for whoever else writes to the database; and there is a bound on the states that are
// in memory in several pieces. Errors: Unavailable when ctx ends first.
func (s *Service) turn(ctx context.Context) (over func(), err error) {
	if err := s.line.Acquire(ctx, 1); err != nil {
		return nil, core.Errorf(core.Unavailable, "too many engines are asking for states, and this request was given up while it waited for its turn: %w", err)
	}
	return func() { s.line.Release(1) }, nil
}

// Limit is the largest state that is accepted, in bytes.
func (s *Service) Limit() int64 { return s.limit }

// Caller is who asks. A run's token reaches the state of its own instance, and only
// while its attempt is the newest one.
type Caller struct {
	Run      string // the run of a run token, "" for a person
	Fence    int64  // of the attempt that the token was made for
	CanWrite bool   // false: it may only read
	By       string // for versions and events: "run:r-…", "user:ana"
	Person   bool
}

// readOnly refuses a caller who may not write.
func readOnly(stack, environment string) error {
	return core.Errorf(core.Denied, "this token may only read the state of %s: to lock or write it takes the role operator in %s (a plan alone needs no lock: -lock=false)",
		core.InstanceName(stack, environment), environment)
}

// Locked is the cause of a Conflict for those who do not get a lock: Info is the
// holder's lock info, as JSON, which the protocol returns to them.
type Locked struct{ Info []byte }

func (l *Locked) Error() string { return "locked" }

// lockedBy says who holds a lock.
func lockedBy(l core.StateLock) error {
	return &core.Error{Code: core.Conflict, Cause: &Locked{Info: []byte(l.Info)}, Message: "the state of " + core.InstanceName(l.Stack, l.Environment) +
		" is locked by " + l.By + " since " + l.Created.Format(time.RFC3339) + " (ID " + l.ID + "); wait for it, or, when it is certain that nobody works on it: terrace state unlock " +
		core.InstanceName(l.Stack, l.Environment)}
}

// closed says that nobody may have the lock now. The engines show the ID of the
// holder and little else, so the ID is where the reason has to be.
func closed(now time.Time, message string) error {
	info, err := json.Marshal(lockInfo{ID: message, Operation: "closed", Info: message, Who: "terrace", Created: now})
	if err != nil {
		return err
	}
	return &core.Error{Code: core.Conflict, Cause: &Locked{Info: info}, Message: message}
}

// checkNames refuses what cannot be an instance.
func checkNames(project, stack, environment string) error {
	if err := core.CheckProject(project); err != nil {
		return err
	}
	if err := core.CheckName("environment", environment); err != nil {
		return err
	}
	return core.CheckName("stack", stack)
}

// enter loads the caller's run (nil for a person) and refuses those whom the instance
// does not concern. Errors: Invalid for names and for a project that does not exist
// (to the engines, "not found" would mean "no state yet"), Denied.
func enter(tx core.Tx, c Caller, project, stack, environment string) (*core.Run, error) {
	if err := checkNames(project, stack, environment); err != nil {
		return nil, err
	}
	if c.Person {
		_, err := tx.Project(project)
		if core.CodeOf(err) == core.NotFound {
			return nil, core.Errorf(core.Invalid, "there is no project %s", project)
		}
		return nil, err
	}
	run, err := tx.Run(c.Run)
	switch {
	case core.CodeOf(err) == core.NotFound:
		return nil, core.Errorf(core.Denied, "the run %s of this token is gone", c.Run)
	case err != nil:
		return nil, err
	case run.Project != project || run.Stack != stack || run.Environment != environment:
		return nil, core.Errorf(core.Denied, "this token is good for %s of %s alone, not for %s of %s", run.Instance(), run.Project, core.InstanceName(stack, environment), project)
	}
	return &run, nil
}

// look is enter with what is kept of the state, for what engines ask.
func look(tx core.Tx, c Caller, project, stack, environment string) (*core.Run, core.Held, error) {
	var run *core.Run
	err := checkNames(project, stack, environment)
	if err == nil && !c.Person {
		run, err = enter(tx, c, project, stack, environment)
	}
	if err != nil {
		return nil, core.Held{}, err
	}
	held, err := tx.Held(project, stack, environment)
	if core.CodeOf(err) == core.NotFound {
		return nil, held, core.Errorf(core.Invalid, "there is no project %s", project)
	}
	return run, held, err
}

// stale says why a run may not do anything any more, "" when it may.
func stale(run core.Run, c Caller) string {
	switch {
	case run.Fence != c.Fence:
		return "attempt " + itoa(int64(run.Attempt)) + " of " + run.ID + " took over; this runner is too late"
	case !run.Status.Active():
		return run.ID + " is " + string(run.Status) + "; this runner is too late"
	}
	return ""
}

// Get returns the current state. Errors: NotFound when there is none yet; Denied.
func (s *Service) Get(ctx context.Context, c Caller, project, stack, environment string) ([]byte, core.StateVersion, error) {
	over, err := s.turn(ctx)
	if err != nil {
		return nil, core.StateVersion{}, err
	}
	defer over()
	var current core.StateVersion
	if err := s.store.Peek(ctx, func(tx core.Tx) error {
		run, held, err := look(tx, c, project, stack, environment)
		if err != nil {
			return err
		}
		if run != nil {
			if why := stale(*run, c); why != "" {
				return core.Errorf(core.Denied, "%s", why)
			}
		}
		if c.Person {
			if err := elsewhere(tx, held, stack, environment); err != nil {
				return err
			}
		}
		if held.Current == nil {
			if c.Person {
				if err := otherName(tx, project, stack, environment); err != nil {
					return err
				}
			}
			return core.Errorf(core.NotFound, "no state of %s yet", core.InstanceName(stack, environment))
		}
		current = *held.Current
		return nil
	}); err != nil {
		return nil, core.StateVersion{}, err
	}
	content, err := s.content(ctx, current.Blob)
	return content, current, err
}

// content reads and opens a blob.
func (s *Service) content(ctx context.Context, blob string) ([]byte, error) {
	sealed, err := s.blobs.Get(ctx, blob)
	if core.CodeOf(err) == core.NotFound {
		// To the engines, "not found" would mean "no state yet".
		return nil, core.Errorf(core.Internal, "the stored state %s is missing from the data folder; restore it from a backup: %w", blob, err)
	} else if err != nil {
		return nil, err
	}
	return s.seal.OpenOver(blob, sealed)
}
