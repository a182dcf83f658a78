// Package executor hands queued runs to runners and notices when one is gone. What a
// runner is (a child process, a Job in a cluster) is the Starter's business; who may
// have a run, and what becomes of one whose runner is lost, is decided here.
//
// There are two loops. Run hands out runs; of the servers on a database one does that.
// Tend looks after the runners that this server's Starter knows, whichever server handed
// them out and whatever became of it meanwhile: every server does that.
package executor

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
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

// Life is what a Starter knows of a runner.
type Life int

// What can be known. Of a runner on another machine a Starter cannot tell.
const (
	Unknowable Life = iota
	Lives
	Gone // and nothing that it started is left
)

// Attempt names one attempt at a run.
type Attempt struct {
	Run   string
	Fence int64
}

// Starter starts runners and tells whether one lives. Of a run it reads ID, Fence, and
// the process: PID, PIDStart and Host, of which PID is 0 as long as the runner has not
// claimed the run.
type Starter interface {
	// Start starts a runner for one attempt and returns its process and that
	// process's start time. exited is called once, when the runner has ended.
	Start(ctx context.Context, spec Spec, exited func(how string)) (pid int, start string, err error)
	// Life tells whether a runner lives. What a dead one left running is ended first.
	Life(run core.Run) Life
	// AwaitEnd returns nil when a runner of which Life said Lives has ended.
	AwaitEnd(ctx context.Context, run core.Run) error
	// Interrupt asks a runner to stop.
	Interrupt(run core.Run) error
	// Kill ends a runner and all that it started. It is an error when that is not
	// possible from here.
	Kill(run core.Run) error
	// Left reads what an attempt left behind. Its process has ended.
	Left(a Attempt) (spool.Left, error)
	// Undelivered names the attempts that have ended and left states.
	Undelivered() ([]Attempt, error)
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

// Executor starts runners for queued runs.
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
	started map[Attempt]core.Run // what this server started and has not seen end, with its process
	ended   []ending             // what Tend has not seen yet
	wake    chan struct{}
	once    sync.Once

	salvage sync.Mutex // what one runner left is delivered by one of us
}

// ending is how a runner ended that this server had started.
type ending struct {
	run core.Run
	how string
}

var working = []core.RunStatus{core.RunQueued, core.RunPreparing, core.RunPlanning, core.RunChecking, core.RunApplying, core.RunProvisioning, core.RunVerifying, core.RunBuilding}

func (e *Executor) init() {
	e.once.Do(func() { e.started, e.wake = map[Attempt]core.Run{}, make(chan struct{}, 1) })
}

// Run hands out runs until ctx ends. Runners are left alone: they outlive the server.
func (e *Executor) Run(ctx context.Context) {
	e.init()
	changed := e.Bus.Listen(ctx, "")
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

func (e *Executor) list(ctx context.Context) (runs []core.Run, now time.Time, err error) {
	err = e.Store.View(ctx, func(tx core.Tx) error {
		runs, err = tx.Runs(core.RunFilter{Statuses: working})
		now = tx.Now()
		return err
	})
	return runs, now, err
}

// given reports whether somebody has the run.
func given(run core.Run) bool { return run.Status != core.RunQueued || run.Fence != 0 }

func (e *Executor) dispatch(ctx context.Context) error {
	runs, now, err := e.list(ctx)
	if err != nil {
		return err
	}
	busy, looking := 0, 0
	for _, run := range runs {
		if !given(run) {
			continue
		}
		if !run.Watches() {
			busy++
		}
		if yields(run) {
			looking++
		}
		// Where it can be known, Tend knows it.
		if silent := now.Sub(run.Heartbeat); silent > Lateness && e.life(run) == Unknowable {
			e.lost(ctx, run, fmt.Sprintf("it has not been heard of for %s, and whether it still runs%s cannot be told from here", silent.Round(time.Second), where(run)))
		}
	}
	for _, run := range inTurn(runs) {
		if given(run) || run.NotBefore.After(now) {
			continue
		}
		if yields(run) {
			if looking >= max(1, e.Max/2) {
				continue // room stays for whoever changes something
			}
			looking++
		}
		if !run.Watches() {
			if busy >= e.Max {
				continue
			}
			busy++
		}
		e.start(ctx, run)
	}
	return nil
}

// inTurn orders runs, which come newest first: the oldest begins, and whoever only looks
// at what is there comes after all others.
func inTurn(runs []core.Run) []core.Run {
	runs = slices.Clone(runs)
	slices.Reverse(runs)
	slices.SortStableFunc(runs, func(a, b core.Run) int { return rank(a) - rank(b) })
	return runs
}

// yields reports whether a run only looks for people who can wait: at drift, or at what a
// branch would do.
func yields(run core.Run) bool { return run.Kind == core.KindDrift || run.Preview != "" }

func rank(run core.Run) int {
	if yields(run) {
		return 1
	}
	return 0
}

func where(run core.Run) string {
	if host, _, _ := strings.Cut(run.Host, "/"); host != "" {
		return " on " + host
	}
	return ""
}

// life asks the Starter, with the process of a runner that has not said itself which.
func (e *Executor) life(run core.Run) Life {
	e.mu.Lock()
	mine, ok := e.started[Attempt{run.ID, run.Fence}]
	e.mu.Unlock()
	if ok {
		run = mine
	}
	return e.Starter.Life(run)
}

func (e *Executor) start(ctx context.Context, run core.Run) {
	// Held over Start, so that the runner's end cannot be noted before its beginning.
	e.mu.Lock()
	defer e.mu.Unlock()
	run, token, err := e.Runs.Begin(ctx, run.ID)
	if err != nil {
		if core.CodeOf(err) != core.Conflict {
			e.Log.Error("beginning a run", "run", run.ID, "error", err)
		}
		return
	}
	attempt := Attempt{run.ID, run.Fence}
	spec := Spec{Run: run.ID, Project: run.Project, Stack: run.Stack, Environment: run.Environment, Fence: run.Fence, Token: token, URL: e.URL()}
	run.PID, run.PIDStart, err = e.Starter.Start(ctx, spec, func(how string) {
		e.mu.Lock()
		delete(e.started, attempt)
		e.mu.Unlock()
		e.noted(ending{run, how})
	})
	if err != nil {
		e.Log.Error("starting a runner", "run", run.ID, "instance", run.Instance(), "error", err)
		e.ended = append(e.ended, ending{run, "it could not be started: " + err.Error()})
		e.rouse()
		return
	}
	e.started[attempt] = run
}

func (e *Executor) noted(end ending) {
	e.mu.Lock()
	e.ended = append(e.ended, end)
	e.mu.Unlock()
	e.rouse()
}

func (e *Executor) rouse() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Interrupt asks a run's runner to stop now.
func (e *Executor) Interrupt(run core.Run) {
	if err := e.Starter.Interrupt(e.withProcess(run)); err != nil {
		e.Log.Warn("interrupting a runner", "run", run.ID, "error", err)
	}
}

// Kill ends a run's runner, with all that it started. What becomes of the run is for the
// caller to say.
func (e *Executor) Kill(run core.Run) error { return e.Starter.Kill(e.withProcess(run)) }

func (e *Executor) withProcess(run core.Run) core.Run {
	e.mu.Lock()
	defer e.mu.Unlock()
	if mine, ok := e.started[Attempt{run.ID, run.Fence}]; ok {
		return mine
	}
	return run
}
