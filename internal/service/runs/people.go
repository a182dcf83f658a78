package runs

import (
	"context"

	"github.com/terrace-cd/terrace/internal/core"
)

// BakeOver is who ends the verify runs of a bake that is complete.
const BakeOver = "the bake's end"

// Cancel asks a run to stop. A run without a runner ends at once; one that applies is
// interrupted and its state kept (rule 18).
func (s *Service) Cancel(ctx context.Context, by, id string) (run core.Run, err error) {
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if run, err = tx.Run(id); err != nil {
			return err
		}
		return s.CancelIn(tx, by, &run)
	})
	if err != nil {
		return run, err
	}
	s.Bus.Changed(run.Project)
	if run.Status.Active() && s.Interrupt != nil {
		s.Interrupt(run)
	}
	return run, nil
}

// CancelIn is Cancel inside of a transaction. The caller interrupts the runner.
func (s *Service) CancelIn(tx core.Tx, by string, run *core.Run) error {
	if run.Status.Terminal() {
		return core.Errorf(core.Conflict, "%s is over (%s); there is nothing to cancel", run.ID, run.Status)
	}
	run.Cancel, run.CancelBy = true, by
	if run.Status != core.RunQueued && run.Status != core.RunAwaitingApproval {
		if err := tx.UpdateRun(*run, run.Status); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "run.cancel_asked", Project: run.Project, On: run.ID})
	}
	before := "it started"
	if run.Status == core.RunAwaitingApproval {
		before = "anything was changed"
	}
	run.Error = &core.RunError{Code: "cancelled", Message: "cancelled by " + by + " before " + before}
	if err := move(tx, run, core.RunCancelled, core.ByPerson, by); err != nil {
		return err
	}
	return s.ended(tx, *run)
}

// Recover starts a recover run for the unknown outcome of id (rule 20). What the
// recovery slot holds becomes the current state first, if it continues it: same
// lineage, greater serial, same run. With the stack's own backend the run itself does
// that, and takes away the lock with the ID unlock before, "" for none.
func (s *Service) Recover(ctx context.Context, by, id, unlock string) (core.Run, error) {
	var lost core.Run
	var instance core.InstanceState
	own := false
	if err := s.Store.View(ctx, func(tx core.Tx) (err error) {
		if lost, err = tx.Run(id); err != nil {
			return err
		}
		if instance, err = tx.Instance(lost.Project, lost.Stack, lost.Environment); err != nil {
			return err
		}
		_, err = tx.OwnState(lost.Project, lost.Stack, lost.Environment)
		own = err == nil
		if core.CodeOf(err) == core.NotFound {
			return nil
		}
		return err
	}); err != nil {
		return core.Run{}, err
	}
	if lost.Status != core.RunUnknown {
		return core.Run{}, core.Errorf(core.Conflict, "the outcome of %s is not unknown, it is %s", id, lost.Status)
	}
	// Nothing is taken out of the recovery slot for somebody who comes too late: others
	// may have written since.
	if err := unrecovered(lost, instance); err != nil {
		return core.Run{}, err
	}
	if unlock != "" && !own {
		return core.Run{}, core.Errorf(core.Invalid, "Terrace keeps the state of %s; its lock is taken away with: terrace state unlock %[1]s", lost.Instance())
	}
	if err := s.State.Recover(ctx, lost); err != nil {
		return core.Run{}, err
	}
	var run core.Run
	err := s.Store.Update(ctx, func(tx core.Tx) error {
		instance, err := tx.Instance(lost.Project, lost.Stack, lost.Environment)
		if err != nil {
			return err
		}
		if err := unrecovered(lost, instance); err != nil {
			return err
		}
		active, err := tx.Runs(core.RunFilter{Project: lost.Project, Environment: lost.Environment, Stack: lost.Stack, Limit: 1})
		if err != nil {
			return err
		}
		if len(active) > 0 && !active[0].Status.Terminal() {
			return core.Errorf(core.Conflict, "%s is %s at %s; wait for it: terrace run logs --follow %[1]s", active[0].ID, active[0].Status, lost.Instance())
		}
		if err := tx.DeleteLock(lost.Project, lost.Stack, lost.Environment); err != nil {
			return err
		}
		now := tx.Now()
		run = core.Run{ID: core.NewID(core.PrefixRun, now), Project: lost.Project, Stage: lost.Stage, Rollout: lost.Rollout, Stack: lost.Stack,
			Environment: lost.Environment, Kind: core.KindRecover, Status: core.RunQueued, Release: lost.Release, Created: now, PhaseAt: now}
		if err := tx.AddRun(run); err != nil {
			return err
		}
		data := map[string]string{"run": id}
		if unlock != "" {
			data["unlock"] = unlock
			if err := s.putDoc(tx, run.ID, unlockDoc, unlock); err != nil {
				return err
			}
		}
		return tx.AddEvent(core.Event{By: by, Kind: "run.recovering", Project: lost.Project, On: run.ID, Data: data})
	})
	if err == nil {
		s.Bus.Changed(run.Project)
	}
	return run, err
}

// unrecovered refuses to recover what is not unknown any more.
func unrecovered(lost core.Run, instance core.InstanceState) error {
	switch instance.Unknown {
	case lost.ID:
		return nil
	case "":
		return core.Errorf(core.Conflict, "%s has been recovered already", lost.Instance())
	}
	return core.Errorf(core.Conflict, "of %s it is %s whose outcome is unknown: terrace run recover %[2]s", lost.Instance(), instance.Unknown)
}
