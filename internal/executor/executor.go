// Package executor hands queued runs to runners and notices when one is gone. What a
// runner is (a child process, a Job in a cluster) is the Starter's business; who may
// have a run, and what becomes of one whose runner is lost, is decided here.
package executor

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/spool"
)

// Lateness is how long a runner may be silent before somebody asks whether it lives.
const Lateness = 60 * time.Second

// look is how often silence is looked for.
const look = 5 * time.Second

// Starter starts runners and tells whether one lives.
type Starter interface {
	// Start starts a runner for one attempt and returns its process and that
	// process's start time. exited is called once, when the runner has ended.
	Start(ctx context.Context, spec Spec, exited func(how string)) (pid int, start string, err error)
	// Alive reports whether the process is the one that was started.
	Alive(pid int, start string) bool
	// Interrupt asks it to stop.
	Interrupt(pid int, start string) error
	// Find returns the process of an attempt whose claim did not arrive, 0 when nothing
	// is known of one.
	Find(run string, fence int64) (pid int, start string)
	// Left reads what an attempt left behind. Its process has ended.
	Left(run string, fence int64) (spool.Left, error)
}

// Spec is one attempt at a run.
type Spec struct {
	Run, Project, Stack, Environment string
	Fence                            int64
	Token                            string // good for this attempt alone
	URL                              string // of the server
}

// Runs is what the executor asks of the service.
type Runs interface {
	Begin(ctx context.Context, id string) (core.Run, string, error)
	// Salvage delivers what an attempt left behind; it may be repeated.
	Salvage(ctx context.Context, id string, fence int64, left spool.Left) error
	Lost(ctx context.Context, id string, fence int64, how string) error
}

// Executor starts runners for queued runs. Run must be called once.
type Executor struct {
	Store   core.Store
	Runs    Runs
	Starter Starter
	Bus     *bus.Bus
	Log     *slog.Logger
	URL     func() string
	// Max is how many runners may work at once. Those that only watch a bake do not count.
	Max int

	mu      sync.Mutex
	started map[string]process // by run: what this server started and has not seen end

	salvage sync.Mutex // what one runner left is delivered by one of us
}

type process struct {
	fence int64
	pid   int
	start string
}

var working = []core.RunStatus{core.RunQueued, core.RunPreparing, core.RunPlanning, core.RunChecking, core.RunApplying, core.RunProvisioning, core.RunVerifying}

// Run works until ctx ends. Runners are left alone: they outlive the server.
func (e *Executor) Run(ctx context.Context) {
	changed := e.Bus.Listen(ctx, "")
	e.started = map[string]process{}
	e.adopt(ctx)
	for {
		if err := e.dispatch(ctx); err != nil && ctx.Err() == nil {
			e.Log.Error("dispatching runs", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-time.After(look):
		}
	}
}

// adopt looks at every run that an earlier server left behind. A runner that lives
// goes on; one that is gone is lost now, not a minute later.
func (e *Executor) adopt(ctx context.Context) {
	runs, err := e.list(ctx)
	if err != nil {
		if ctx.Err() == nil {
			e.Log.Error("looking for runners", "error", err)
		}
		return
	}
	for _, run := range runs {
		switch {
		case run.Status == core.RunQueued && run.Fence == 0:
		case e.alive(run):
			e.Log.Info("found the runner of a run again", "run", run.ID, "instance", run.Instance(), "pid", run.PID, "status", run.Status)
		default:
			e.lost(ctx, run, "it ended while the server was away")
		}
	}
}

func (e *Executor) list(ctx context.Context) (runs []core.Run, err error) {
	err = e.Store.View(ctx, func(tx core.Tx) error {
		runs, err = tx.Runs(core.RunFilter{Statuses: working})
		return err
	})
	return runs, err
}

func (e *Executor) dispatch(ctx context.Context) error {
	runs, err := e.list(ctx)
	if err != nil {
		return err
	}
	var now time.Time
	if err := e.Store.View(ctx, func(tx core.Tx) error { now = tx.Now(); return nil }); err != nil {
		return err
	}
	busy := 0
	for _, run := range runs {
		if run.Kind != core.KindVerify && (run.Status != core.RunQueued || run.Fence != 0) {
			busy++
		}
		if (run.Status != core.RunQueued || run.Fence != 0) && now.Sub(run.Heartbeat) > Lateness && !e.alive(run) {
			e.lost(ctx, run, "its process is gone")
		}
	}
	for i := len(runs) - 1; i >= 0; i-- { // oldest first
		run := runs[i]
		if run.Status != core.RunQueued || run.Fence != 0 || run.NotBefore.After(now) {
			continue
		}
		if run.Kind != core.KindVerify {
			if busy >= e.Max {
				continue
			}
			busy++
		}
		e.start(ctx, run)
	}
	return nil
}

func (e *Executor) alive(run core.Run) bool {
	e.mu.Lock()
	p, ok := e.started[run.ID]
	e.mu.Unlock()
	if ok && p.fence == run.Fence {
		return e.Starter.Alive(p.pid, p.start)
	}
	if run.PID == 0 { // its claim did not arrive, perhaps because there was no server
		run.PID, run.PIDStart = e.Starter.Find(run.ID, run.Fence)
	}
	return run.PID != 0 && e.Starter.Alive(run.PID, run.PIDStart)
}

func (e *Executor) start(ctx context.Context, run core.Run) {
	run, token, err := e.Runs.Begin(ctx, run.ID)
	if err != nil {
		if core.CodeOf(err) != core.Conflict {
			e.Log.Error("beginning a run", "run", run.ID, "error", err)
		}
		return
	}
	fence := run.Fence
	spec := Spec{Run: run.ID, Project: run.Project, Stack: run.Stack, Environment: run.Environment, Fence: fence, Token: token, URL: e.URL()}
	// Held over Start, so that the runner's end cannot be noted before its beginning.
	e.mu.Lock()
	defer e.mu.Unlock()
	pid, start, err := e.Starter.Start(ctx, spec, func(how string) {
		e.mu.Lock()
		delete(e.started, run.ID)
		e.mu.Unlock()
		// The server may be stopping; what is noted here is found by adopt otherwise.
		if ctx.Err() == nil {
			e.lost(ctx, run, how)
		}
	})
	if err != nil {
		e.Log.Error("starting a runner", "run", run.ID, "instance", run.Instance(), "error", err)
		e.lost(ctx, run, "it could not be started: "+err.Error())
		return
	}
	e.started[run.ID] = process{fence: fence, pid: pid, start: start}
}

// lost reports a runner that has ended, after delivering what it left: that may be the
// end of the run, too. For a run that is over it changes nothing.
func (e *Executor) lost(ctx context.Context, run core.Run, how string) {
	if err := e.deliver(ctx, run); core.CodeOf(err) == core.Unavailable {
		// The database or the storage is away: what was left stays, and is found again.
		e.Log.Error("delivering what a runner left", "run", run.ID, "error", err)
		return
	} else if err != nil {
		e.Log.Error("what a runner left cannot be delivered; it stays in the runner's folder", "run", run.ID, "instance", run.Instance(), "error", err)
	}
	if err := e.Runs.Lost(ctx, run.ID, run.Fence, how); err != nil {
		e.Log.Error("noting a lost runner", "run", run.ID, "error", err)
	}
}

func (e *Executor) deliver(ctx context.Context, run core.Run) error {
	e.salvage.Lock()
	defer e.salvage.Unlock()
	left, err := e.Starter.Left(run.ID, run.Fence)
	if err != nil {
		return err
	}
	return e.Runs.Salvage(ctx, run.ID, run.Fence, left)
}

// Interrupt asks a run's runner to stop now.
func (e *Executor) Interrupt(run core.Run) {
	e.mu.Lock()
	p, ok := e.started[run.ID]
	e.mu.Unlock()
	if !ok {
		p = process{pid: run.PID, start: run.PIDStart}
	}
	if p.pid == 0 {
		return
	}
	if err := e.Starter.Interrupt(p.pid, p.start); err != nil {
		e.Log.Warn("interrupting a runner", "run", run.ID, "error", err)
	}
}
