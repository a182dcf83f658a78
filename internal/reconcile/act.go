package reconcile

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/drift"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/verification"
)

// act carries one decision out, in one transaction that repeats the decision's
// guard. Conflict: the rows have moved on since the snapshot.
func (w *worker) act(ctx context.Context, s *snapshot, d promotion.Decision) error {
	var interrupt []core.Run
	err := w.Store.Update(ctx, func(tx core.Tx) (err error) {
		interrupt = nil
		switch d := d.(type) {
		case promotion.Admit:
			if interrupt, err = drift.Yield(tx, w.Runs, w.project, d.Environment, s.rollouts[d.Rollout].Release.Number); err != nil {
				return err
			}
			asking, err := verification.Yield(tx, w.Runs, w.project, d.Environment, s.rollouts[d.Rollout].Release.Number)
			if err != nil {
				return err
			}
			interrupt = append(interrupt, asking...)
			return w.admit(tx, s, d)
		case promotion.Look:
			_, err := drift.Begin(tx, "server", w.project, d.Stack, d.Environment)
			return err
		case promotion.Start:
			return w.start(tx, s, d)
		case promotion.Move:
			return w.move(tx, s, d)
		case promotion.Supersede:
			if d.Run == "" {
				return w.setStage(tx, s, promotion.SetStage{Rollout: d.Rollout, Stage: d.Stage, From: s.stages[d.Stage].Status,
					Status: core.StageSuperseded, WaitsFor: fmt.Sprintf("release %d took its place", d.By)})
			}
			run, err := tx.Run(d.Run)
			if err != nil {
				return err
			}
			if run.Status.Active() {
				interrupt = append(interrupt, run)
			}
			run.Error = &core.RunError{Code: "superseded", Message: fmt.Sprintf("release %d took its place before anything was changed", d.By)}
			return w.Runs.Move(tx, &run, core.RunSuperseded)
		case promotion.Resume:
			return w.Runs.Resume(tx, d.Run, d.Why)
		case promotion.CancelRun:
			run, err := tx.Run(d.Run)
			if err != nil {
				return err
			}
			if run.Status.Active() {
				interrupt = append(interrupt, run)
			}
			return w.Runs.CancelIn(tx, d.By, &run)
		case promotion.StopWatch:
			run, err := tx.Run(d.Run)
			if err != nil {
				return err
			}
			if run.Status.Active() {
				interrupt = append(interrupt, run) // it asks at once what is wanted
			}
			return w.Runs.CancelIn(tx, runs.BakeOver, &run)
		case promotion.SetStage:
			return w.setStage(tx, s, d)
		case promotion.SetRollout:
			if err := tx.SetRollout(d.Rollout, d.From, d.Status); err != nil {
				return err
			}
			return tx.AddEvent(core.Event{By: "server", Kind: "rollout." + string(d.Status), Project: w.project, On: d.Rollout,
				Data: map[string]string{"release": fmt.Sprint(s.rollouts[d.Rollout].Release.Number)}})
		case promotion.SetHold:
			return w.setHold(tx, d)
		case promotion.Rollback:
			return w.rollBack(tx, d)
		}
		return fmt.Errorf("a decision of an unknown kind: %T", d)
	})
	if err != nil || w.Runs.Interrupt == nil {
		return err
	}
	for _, run := range interrupt {
		w.Runs.Interrupt(run)
	}
	return nil
}

// admit gives a stage the lease of its environment, with a new fence (rule 4).
func (w *worker) admit(tx core.Tx, s *snapshot, d promotion.Admit) error {
	environment, err := tx.Environment(w.project, d.Environment)
	if err != nil {
		return err
	}
	release := s.rollouts[d.Rollout].Release
	if environment.Stage != "" || environment.Entered > release.Number && d.Hold == nil {
		return core.Errorf(core.Conflict, "%s is taken", d.Environment)
	}
	if h, seen := environment.Hold, s.Environments[d.Environment].Hold; h != nil && (seen == nil || *h != *seen) {
		return core.Errorf(core.Conflict, "%s has just been held", d.Environment)
	}
	freezes, err := tx.Freezes(w.project)
	if err != nil {
		return err
	}
	for _, f := range freezes {
		if f.Of(d.Environment) && !slices.ContainsFunc(s.freezes, func(seen core.Freeze) bool { return seen.ID == f.ID }) {
			return core.Errorf(core.Conflict, "%s has just been frozen", d.Environment)
		}
	}
	if project, err := tx.Project(w.project); err != nil || project.Stopped != "" {
		return errors.Join(err, core.Errorf(core.Conflict, "%s has just been stopped", w.project))
	}
	if rollout, err := tx.Rollout(d.Rollout); err != nil || rollout.Cancel {
		return errors.Join(err, core.Errorf(core.Conflict, "%s has just been cancelled", d.Rollout))
	} else if rollout.Kind == core.RolloutRepair && environment.Present != release.Number {
		return core.Errorf(core.Conflict, "release %d is in %s, and no more %d, which %s repairs", environment.Present, d.Environment, release.Number, d.Rollout)
	}
	stage, err := tx.Stage(d.Stage)
	if err != nil {
		return err
	}
	if stage.Fence, err = tx.NextFence(); err != nil {
		return err
	}
	environment.Stage, environment.Fence, environment.Present = stage.ID, stage.Fence, release.Number
	if d.Hold == nil {
		environment.Entered = release.Number
	} else if err := w.withdraw(tx, &environment, release.Number, *d.Hold); err != nil {
		return err
	}
	environment.Ahead, environment.AheadOf = 0, nil
	if len(d.Behind) > 0 {
		environment.Ahead, environment.AheadOf = release.Number, d.Behind
	}
	if err := tx.PutEnvironment(environment); err != nil {
		return err
	}
	stage.Status, stage.WaitsFor, stage.Waits, stage.Started = core.StageRunning, "", nil, tx.Now()
	if err := tx.UpdateStage(stage, core.StageWaiting); err != nil {
		return err
	}
	return tx.AddEvent(core.Event{By: "server", Kind: "stage.entered", Project: w.project, On: d.Environment,
		Data: map[string]string{"release": fmt.Sprint(release.Number), "rollout": d.Rollout, "fence": fmt.Sprint(stage.Fence)}})
}

// start makes a run.
func (w *worker) start(tx core.Tx, s *snapshot, d promotion.Start) error {
	stage := s.stages[d.Stage]
	environment, err := tx.Environment(w.project, stage.Environment)
	if err != nil {
		return err
	}
	if environment.Stage != d.Stage {
		return core.Errorf(core.Conflict, "the stage does not hold the lease of %s", stage.Environment)
	}
	others, err := tx.Runs(core.RunFilter{Project: w.project, Environment: stage.Environment, Stack: d.Stack, Limit: 5})
	if err != nil {
		return err
	}
	for _, o := range others {
		if !o.Status.Terminal() && o.Kind.OnlyLooks() == d.Kind.OnlyLooks() {
			return core.Errorf(core.Conflict, "%s is %s at %s", o.ID, o.Status, o.Instance())
		}
	}
	run := core.Run{Project: w.project, Stage: d.Stage, Rollout: d.Rollout, Stack: d.Stack, Environment: stage.Environment,
		Kind: d.Kind, Release: s.rollouts[d.Rollout].Release}
	if d.Kind == core.KindDeploy || d.Kind == core.KindImage {
		wants := w.memo[d.Stage][d.Stack]
		run.InputDigest, run.Components = wants.Digest, wants.Parts
	}
	if d.Kind == core.KindImage {
		if err := w.notBuilt(tx, s, d.Stack, run.InputDigest); err != nil {
			return err
		}
	}
	_, err = runs.Queue(tx, "server", run)
	return err
}

// setStage moves a stage, frees the lease when it is over, and remembers what was
// verified where.
func (w *worker) setStage(tx core.Tx, s *snapshot, d promotion.SetStage) error {
	stage, err := tx.Stage(d.Stage)
	if err != nil {
		return err
	}
	release := s.rollouts[d.Rollout].Release
	changed := stage.Status != d.Status
	stage.Status, stage.WaitsFor, stage.Waits = d.Status, d.WaitsFor, d.Waits
	if a := w.bakes[d.Stage]; a != nil && d.From == core.StageBaking {
		stage.Baked += a.pending
		a.pending = 0
	}
	if d.Status.Terminal() {
		stage.Finished = tx.Now()
	}
	if err := tx.UpdateStage(stage, d.From); err != nil {
		return err
	}
	if !changed {
		return nil
	}
	environment, err := tx.Environment(w.project, stage.Environment)
	if err != nil {
		return err
	}
	if d.Status == core.StageSucceeded {
		environment.Verified = release.Number
		if err := tx.AddVerification(core.Verification{Project: w.project, Environment: stage.Environment, Release: release, Rollout: d.Rollout, At: tx.Now()}); err != nil {
			return err
		}
		if h := environment.Hold; h != nil && h.Kind == core.HoldFailure && h.Release <= release.Number {
			environment.Hold = nil // what failed is corrected
		}
		var stacks []string
		for _, in := range s.configs[release.Commit].Instances(stage.Environment) {
			stacks = append(stacks, in.Stack)
		}
		if err := tx.AdvanceInstances(w.project, stage.Environment, stacks, release); err != nil {
			return err
		}
	}
	if d.Status.Terminal() && environment.Stage == stage.ID {
		environment.Stage = ""
		if ro := s.rollouts[d.Rollout]; ro.Kind == core.RolloutRollback && d.Status != core.StageSucceeded &&
			!slices.ContainsFunc(s.runs[d.Stage], func(r core.Run) bool { return r.Applied }) {
			environment.Present = ro.From // it changed nothing, so that one is still there
		}
	}
	if err := tx.PutEnvironment(environment); err != nil {
		return err
	}
	return tx.AddEvent(core.Event{By: "server", Kind: "stage." + string(d.Status), Project: w.project, On: stage.Environment,
		Data: map[string]string{"release": fmt.Sprint(release.Number), "rollout": d.Rollout}})
}

// withdraw is what an environment's going back to a release means: it is held, and what was
// verified there of newer releases is not any more (rule 21).
func (w *worker) withdraw(tx core.Tx, e *core.EnvironmentState, to int64, hold core.Hold) error {
	hold.Since = tx.Now()
	e.Hold, e.Verified = &hold, min(e.Verified, to)
	open, err := tx.Rollouts(w.project, true, 0)
	if err != nil {
		return err
	}
	for _, ro := range open {
		for _, st := range ro.Stages {
			if ro.Release.Number <= to || st.Environment != e.Name || st.Status != core.StageSucceeded {
				continue
			}
			st.Withdrawn = true
			if err := tx.UpdateStage(st, st.Status); err != nil {
				return err
			}
		}
	}
	return tx.AddEvent(core.Event{By: hold.By, Kind: "environment.held", Project: w.project, On: e.Name, Data: map[string]string{"reason": hold.Reason}})
}

// rollBack makes the rollout that takes an environment back, unless that was done for this
// release before.
func (w *worker) rollBack(tx core.Tx, d promotion.Rollback) error {
	environment, err := tx.Environment(w.project, d.Environment)
	if err != nil {
		return err
	}
	if environment.Undone >= d.From {
		return core.Errorf(core.Conflict, "release %d was rolled back from %s already", d.From, d.Environment)
	}
	release, err := tx.FindRelease(w.project, strconv.FormatInt(d.To, 10))
	if err != nil {
		return err
	}
	environment.Undone = d.From
	if err := tx.PutEnvironment(environment); err != nil {
		return err
	}
	_, err = projects.AddRollback(tx, release, core.Rollout{By: "server", From: d.From, Reason: d.Reason}, d.Environment)
	return err
}

func (w *worker) setHold(tx core.Tx, d promotion.SetHold) error {
	environment, err := tx.Environment(w.project, d.Environment)
	if err != nil {
		return err
	}
	hold := d.Hold
	hold.Since = tx.Now()
	environment.Hold = &hold
	if err := tx.PutEnvironment(environment); err != nil {
		return err
	}
	return tx.AddEvent(core.Event{By: "server", Kind: "environment.held", Project: w.project, On: d.Environment, Data: map[string]string{"reason": hold.Reason}})
}
