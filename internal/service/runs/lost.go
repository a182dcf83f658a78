package runs

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
)

// answersWithin is how recently a runner must have been heard of to count as answering.
const answersWithin = time.Minute

// Lost is what the executor says of a run whose runner is gone without a last word, or
// of which nobody can tell. Before anything was changed the run starts again; in apply
// and provisioning its outcome is unknown, and it is never repeated by itself.
func (s *Service) Lost(ctx context.Context, id string, fence int64, how string) error {
	var run core.Run
	err := s.Store.Update(ctx, func(tx core.Tx) (err error) {
		if run, err = tx.Run(id); err != nil {
			return err
		}
		if run.Fence != fence || run.Status.Terminal() || run.Status == core.RunAwaitingApproval {
			return nil
		}
		return s.lose(tx, &run, how, core.ByExecutor, "server")
	})
	s.changed(run)
	return err
}

// abandoned is the code of a run's error while its runner is being given up.
const abandoned = "abandoned"

// Abandon gives up a runner that does not answer, because a person says so: it is killed
// where that is possible, and the run is over without it. In apply and provisioning its
// outcome is unknown then; what the runner still sends, should it wake up somewhere, is
// refused, and a state is kept in the recovery slot. Conflict when the runner answers and
// nobody has asked it to stop.
func (s *Service) Abandon(ctx context.Context, by, id, reason string) (run core.Run, err error) {
	how := "abandoned by " + by
	if reason != "" {
		how += ": " + reason
	}
	// Said before it is killed: whoever notices its end first knows what it means.
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if run, err = tx.Run(id); err != nil {
			return err
		}
		switch silent := tx.Now().Sub(run.Heartbeat); {
		case run.Status.Terminal():
			return core.Errorf(core.Conflict, "%s is over (%s); there is nothing to abandon", id, run.Status)
		case run.Status == core.RunQueued && run.Fence == 0, run.Status == core.RunAwaitingApproval:
			return core.Errorf(core.Conflict, "%s is %s and has no runner; stop it with: terrace run cancel %[1]s", id, run.Status)
		case silent >= 0 && silent < answersWithin && !run.Cancel:
			return core.Errorf(core.Conflict, "the runner of %s answered %s ago; stop it with: terrace run cancel %[1]s. If it does not end then, abandon it",
				id, silent.Round(time.Second))
		}
		if !run.Cancel || run.CancelBy == BakeOver {
			run.Cancel, run.CancelBy = true, by
		}
		run.Error = &core.RunError{Code: abandoned, Message: how}
		if err := tx.UpdateRun(run, run.Status); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "run.abandoned", Project: run.Project, On: id,
			Data: map[string]string{"status": string(run.Status), "reason": reason}})
	})
	if err != nil {
		return run, err
	}
	if s.Kill != nil {
		if err := s.Kill(run); err != nil {
			how += "; " + core.MessageOf(err)
		}
	}
	fence := run.Fence
	err = s.Store.Update(ctx, func(tx core.Tx) error {
		if run, err = tx.Run(id); err != nil || run.Status.Terminal() || run.Fence != fence {
			return err // its end was noticed already
		}
		who := core.ByExecutor // as if the executor had found it gone
		if run.Status.Changing() {
			who = core.ByPerson
		}
		return s.lose(tx, &run, how, who, by)
	})
	s.changed(run)
	return run, err
}

// lose moves a run on whose runner is given up.
func (s *Service) lose(tx core.Tx, run *core.Run, how string, who core.Actor, by string) error {
	run.PID, run.PIDStart, run.Host = 0, "", ""
	if e := run.Error; e != nil && e.Code == abandoned && !strings.HasPrefix(how, e.Message) {
		how = e.Message + "; " + how
	}
	end := func(to core.RunStatus, code, format string, args ...any) error {
		run.Error = &core.RunError{Code: code, Message: fmt.Sprintf(format, args...)}
		if err := move(tx, run, to, who, by); err != nil {
			return err
		}
		if err := s.settle(tx, *run); err != nil {
			return err
		}
		return s.ended(tx, *run)
	}
	bakeOver := run.Kind == core.KindVerify && run.CancelBy == BakeOver
	switch {
	case run.Status.Changing():
		return end(core.RunUnknown, "unknown", "the runner of %s was lost while it was %s (%s). What it changed is not known. Find out, and go on, with: terrace run recover %s",
			run.Instance(), run.Status, how, run.ID)
	case run.Status == core.RunVerifying && run.Cancel && !bakeOver:
		return end(core.RunCancelled, "cancelled", "cancelled by %s in verification; what was applied is applied, and not verified", run.CancelBy)
	case run.Status == core.RunVerifying:
		// Its last answers are not known, and a watch that did not give them is no pass,
		// even when its bake is over (rule 16).
		return end(core.RunErrored, "errored", "the runner of %s was lost while it was %s (%s), in attempt %d; see its log: terrace run logs %s",
			run.Instance(), run.Status, how, run.Attempt, run.ID)
	case run.Status == core.RunBuilding && !run.Cancel:
		return end(core.RunErrored, "errored", "the runner of %s was lost while it was %s (%s); see its log: terrace run logs %s. What it left behind is not known to Terrace. Build the image again with: terrace rollout start --commit %d",
			run.Instance(), run.Status, how, run.ID, run.Release.Number)
	case run.Cancel && run.Status == core.RunQueued:
		who = core.ByPerson
		return end(core.RunCancelled, "cancelled", "cancelled by %s before it started", run.CancelBy)
	case run.Cancel:
		return end(core.RunCancelled, "cancelled", "cancelled by %s before anything was changed", run.CancelBy)
	case run.Attempt >= maxAttempts:
		return end(core.RunErrored, "errored", "the runner of %s was lost while it was %s (%s), in attempt %d; see its log: terrace run logs %s",
			run.Instance(), run.Status, how, run.Attempt, run.ID)
	}
	run.Fence = 0 // nobody has it any more: the executor takes it again
	if run.Status == core.RunQueued {
		return tx.UpdateRun(*run, core.RunQueued)
	}
	if err := s.State.ReleaseRunLocks(tx, *run); err != nil {
		return err
	}
	return move(tx, run, core.RunQueued, who, by)
}

// changed wakes those who watch a run and its log.
func (s *Service) changed(run core.Run) {
	if run.ID == "" {
		return // there is none: nothing has changed, and nobody has to look
	}
	s.Bus.Changed(run.Project)
	s.Bus.Changed(bus.LogTopic(run.ID))
}
