// Package reconcile is the loop that makes promotion happen. It is level-triggered:
// woken by a change, by the next due time and by a sweep, it loads one project's
// snapshot, asks package promotion what to do, does it with guarded transitions, and
// asks again until there is nothing left. Losing a wake-up loses no work.
package reconcile

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/promotion"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/likeness"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/wanted"
)

// sweep is how long a project is left alone when nothing says that it changed.
const sweep = 30 * time.Second

// rounds bounds one reconciliation, so that a defect in the rules cannot spin.
const rounds = 50

// Reconciler drives every project of the store. Run must be called once.
type Reconciler struct {
	Store      core.Store
	Wanted     *wanted.Evaluator
	Guardrails *guardrails.Service
	Likeness   *likeness.Service
	Runs       *runs.Service
	Bus        *bus.Bus
	Log        *slog.Logger

	workers sync.WaitGroup
}

// worker reconciles one project; everything in it belongs to its goroutine.
type worker struct {
	*Reconciler
	project string
	memo    map[string]map[string]asked    // stage → stack
	bakes   map[string]*accrual            // stage
	renames map[string][]map[string]string // stage → of releases that were skipped: stack → its name before
	gone    map[[2]string]bool             // commits that the log says to be gone, with what they said
}

// Run works until ctx ends, and returns when every worker has.
func (r *Reconciler) Run(ctx context.Context) {
	changed := r.Bus.Listen(ctx, "")
	known := map[string]context.CancelFunc{}
	defer r.workers.Wait()
	for {
		var projects []core.Project
		err := r.Store.View(ctx, func(tx core.Tx) (err error) {
			projects, err = tx.Projects()
			return err
		})
		if err != nil && ctx.Err() == nil {
			r.Log.Error("listing projects", "error", err)
		} else if err == nil {
			r.follow(ctx, projects, known)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(sweep):
		}
	}
}

// follow starts a worker for each new project and stops those of removed ones.
func (r *Reconciler) follow(ctx context.Context, projects []core.Project, known map[string]context.CancelFunc) {
	present := map[string]bool{}
	for _, p := range projects {
		present[p.Name] = true
		if known[p.Name] != nil {
			continue
		}
		workerCtx, cancel := context.WithCancel(ctx)
		known[p.Name] = cancel
		w := &worker{Reconciler: r, project: p.Name, memo: map[string]map[string]asked{}, bakes: map[string]*accrual{}, renames: map[string][]map[string]string{}, gone: map[[2]string]bool{}}
		r.workers.Go(func() { w.loop(workerCtx) })
	}
	for name, cancel := range known {
		if !present[name] {
			cancel()
			delete(known, name)
		}
	}
}

func (w *worker) loop(ctx context.Context) {
	changed := w.Bus.Listen(ctx, w.project)
	for {
		due, err := w.reconcile(ctx)
		if err != nil && ctx.Err() == nil && core.CodeOf(err) != core.NotFound {
			w.Log.Error("reconciling", "project", w.project, "error", err)
		}
		wait := sweep
		if due > 0 && due < wait {
			wait = due
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(wait):
		}
	}
}

// reconcile decides and acts until nothing is left to do, and returns after how long
// time alone will bring something, 0 when it will not.
func (w *worker) reconcile(ctx context.Context) (time.Duration, error) {
	for range rounds {
		s, err := w.snapshot(ctx)
		if err != nil {
			return 0, err
		}
		decisions := promotion.Decide(s.Snapshot, s.now)
		if len(decisions) == 0 {
			w.forget(s)
			if err := w.storeBakes(ctx); err != nil {
				return 0, err
			}
			if due := promotion.NextDue(s.Snapshot, s.now); !due.IsZero() {
				return max(due.Sub(s.now), 50*time.Millisecond), nil
			}
			return 0, nil
		}
		acted := 0
		for _, d := range decisions {
			err := w.act(ctx, s, d)
			if core.CodeOf(err) == core.Conflict {
				w.Log.Debug("a decision came too late", "project", w.project, "decision", d, "why", err)
				break // somebody was quicker: look again
			}
			if err != nil {
				return 0, err
			}
			acted++
		}
		w.Bus.Changed(w.project)
		if acted == 0 {
			// Nothing could be done now; looking again at once would find the same.
			return time.Second, nil
		}
	}
	w.Log.Error("reconciling does not come to rest", "project", w.project, "rounds", rounds)
	return time.Second, nil
}

// forget drops what was remembered of stages that are over.
func (w *worker) forget(s *snapshot) {
	for stage := range w.memo {
		if !s.leased[stage] {
			delete(w.memo, stage)
		}
	}
	for stage := range w.bakes {
		if !s.leased[stage] {
			delete(w.bakes, stage)
		}
	}
	for stage := range w.renames {
		if !s.leased[stage] {
			delete(w.renames, stage)
		}
	}
}

// storeBakes writes what bakes accrued, now and then, so that a crash costs a bake at
// most storeBakeEvery.
func (w *worker) storeBakes(ctx context.Context) error {
	for id, a := range w.bakes {
		if a.pending < storeBakeEvery {
			continue
		}
		if err := w.Store.Update(ctx, func(tx core.Tx) error {
			stage, err := tx.Stage(id)
			if err != nil || stage.Status != core.StageBaking {
				return err
			}
			stage.Baked += a.pending
			return tx.UpdateStage(stage, core.StageBaking)
		}); err != nil {
			return err
		}
		a.pending = 0
	}
	return nil
}
