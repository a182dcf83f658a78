package runs

import (
	"context"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/wire"
)

// unlockDoc is the document of a recover run with the ID of the lock to take away.
const unlockDoc = "unlock"

// ownBackend describes to a recover run what is to be done in the stack's own backend.
func (s *Service) ownBackend(ctx context.Context, run core.Run, lost string, b *wire.Backend) error {
	if run.Kind != core.KindRecover || lost == "" {
		return nil
	}
	return s.Store.View(ctx, func(tx core.Tx) error {
		was, err := tx.Run(lost)
		if err != nil {
			return err
		}
		b.Lost, b.LostFrom, b.LostUntil = was.ID, was.Started, was.Finished
		if err := s.Doc(tx, run.ID, unlockDoc, &b.Unlock); err != nil && core.CodeOf(err) != core.NotFound {
			return err
		}
		entry, ok, err := state.ToStore(tx, was)
		if ok {
			b.Recovered = entry.ID
		}
		return err
	})
}

// RecoveredState returns the state that a recover run is to store in the stack's own
// backend. NotFound when there is none.
func (s *Service) RecoveredState(ctx context.Context, c Caller, id string) ([]byte, error) {
	var entry core.Recovered
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		run, err := mine(tx, c, id)
		if err != nil {
			return err
		}
		if run.Kind != core.KindRecover {
			return core.Errorf(core.Denied, "%s is no recover run", id)
		}
		instance, err := tx.Instance(run.Project, run.Stack, run.Environment)
		if err != nil {
			return err
		}
		was, err := tx.Run(instance.Unknown)
		if err != nil {
			return err
		}
		found, ok, err := state.ToStore(tx, was)
		if err == nil && !ok {
			err = core.Errorf(core.NotFound, "the recovery slot of %s holds nothing of %s", run.Instance(), was.ID)
		}
		entry = found
		return err
	}); err != nil {
		return nil, err
	}
	return s.State.RecoveredContent(ctx, entry)
}

// see notes what a run reports of a state in the stack's own backend, if it does.
func (s *Service) see(tx core.Tx, run core.Run, seen *wire.OwnState) error {
	if seen == nil {
		return nil
	}
	return s.State.See(tx, run, *seen)
}
