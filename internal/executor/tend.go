package executor

import (
	"context"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// leftoversEvery is how often folders of ended attempts are looked through for states
// that were not delivered.
const leftoversEvery = time.Minute

// Tend looks after runners until ctx ends. A runner that an earlier server left, and that
// lives, goes on and is watched; one that is gone is lost now, not a minute later.
func (e *Executor) Tend(ctx context.Context) {
	e.init()
	changed := e.Bus.Listen(ctx, "")
	watched := map[Attempt]bool{}
	unwatch := make(chan Attempt)
	leftovers := time.NewTimer(0)
	defer leftovers.Stop()
	for first := true; ; first = false {
		for _, end := range e.takeEnded() {
			e.lost(ctx, end.run, end.how)
		}
		if err := e.tend(ctx, first, watched, unwatch); err != nil && ctx.Err() == nil {
			e.Log.Error("looking for runners", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case a := <-unwatch:
			delete(watched, a)
		case <-leftovers.C:
			e.deliverLeftovers(ctx)
			leftovers.Reset(leftoversEvery)
		case <-e.wake:
		case <-changed:
		case <-time.After(look):
		}
	}
}

func (e *Executor) takeEnded() []ending {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.ended
	e.ended = nil
	return all
}

// tend looks at every run that somebody has. Those that this server started tell their
// end by themselves.
func (e *Executor) tend(ctx context.Context, first bool, watched map[Attempt]bool, unwatch chan<- Attempt) error {
	runs, _, err := e.list(ctx)
	if err != nil {
		return err
	}
	for _, run := range runs {
		a := Attempt{run.ID, run.Fence}
		if !given(run) || watched[a] || e.mine(a) {
			continue
		}
		switch e.Starter.Life(run) {
		case Lives:
			if first {
				e.Log.Info("found the runner of a run again", "run", run.ID, "instance", run.Instance(), "pid", run.PID, "status", run.Status)
			}
			watched[a] = true
			go func() {
				_ = e.Starter.AwaitEnd(ctx, run) // for whatever reason it returns, tend looks
				select {
				case unwatch <- a:
				case <-ctx.Done():
				}
			}()
		case Gone:
			how := "its process is gone"
			if first {
				how = "it ended while the server was away"
			}
			e.lost(ctx, run, how)
		}
	}
	return nil
}

func (e *Executor) mine(a Attempt) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.started[a]; ok {
		return true
	}
	for _, end := range e.ended {
		if end.run.ID == a.Run && end.run.Fence == a.Fence {
			return true
		}
	}
	return false
}

// lost reports a runner that has ended, after delivering what it left: that may be the
// end of the run, too. For a run that is over it changes nothing.
func (e *Executor) lost(ctx context.Context, run core.Run, how string) {
	if err := e.deliver(ctx, Attempt{run.ID, run.Fence}); core.CodeOf(err) == core.Unavailable {
		// The database or the storage is away: what was left stays, and Tend finds it again.
		e.Log.Error("delivering what a runner left", "run", run.ID, "error", err)
		return
	} else if core.CodeOf(err) == core.NotFound {
		return // its project was removed
	} else if err != nil {
		e.Log.Error("what a runner left cannot be delivered; it stays in the runner's folder", "run", run.ID, "instance", run.Instance(), "error", err)
	}
	if err := e.Runs.Lost(ctx, run.ID, run.Fence, how); err != nil {
		e.Log.Error("noting a lost runner", "run", run.ID, "error", err)
	}
}

func (e *Executor) deliver(ctx context.Context, a Attempt) error {
	e.salvage.Lock()
	defer e.salvage.Unlock()
	left, err := e.Starter.Left(a)
	if err != nil {
		return err
	}
	return e.Runs.Salvage(ctx, a.Run, a.Fence, left)
}

// deliverLeftovers delivers the states of attempts that were given up while nobody who
// could read their folders was there: they go to the recovery slots.
func (e *Executor) deliverLeftovers(ctx context.Context) {
	all, err := e.Starter.Undelivered()
	if err != nil {
		e.Log.Error("looking for what runners left", "error", err)
	}
	for _, a := range all {
		var run core.Run
		err := e.Store.View(ctx, func(tx core.Tx) (err error) {
			run, err = tx.Run(a.Run)
			return err
		})
		switch {
		case core.CodeOf(err) == core.NotFound, err == nil && run.Fence == a.Fence && !run.Status.Terminal():
			continue // another installation's; or it is not given up, and its end decides
		case err == nil:
			err = e.deliver(ctx, a)
		}
		if err != nil && ctx.Err() == nil {
			e.Log.Error("delivering what a runner left", "run", a.Run, "error", err)
		}
	}
}
