package faults

import (
	"path/filepath"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func init() {
	register(row{number: 3, fault: "kill -9 the runner in clone, init, plan", run: runnerKilledEarly})
}

// Nothing is changed yet when the runner dies: the run is done again, from the same
// release.
func runnerKilledEarly(t *trial) {
	w := newWorld(t)
	w.freshInit = true // init is skipped when nothing changed that it depends on
	for range t.times(1, 10) {
		for _, phase := range []string{"clone", "init", "plan"} {
			if phase == "clone" && !t.long {
				continue // it lasts for a few milliseconds, and chance decides
			}
			instance := core.InstanceName(stacks[t.rng.IntN(len(stacks))], environments[t.rng.IntN(len(environments))])
			seq := w.watch.last()
			commit := w.commit()
			run, pid := w.runnerDoing(seq, instance, phase)
			w.signal(pid, syscall.SIGKILL)
			t.injected("kill -9 of the runner of %s in %s, at %s", run, phase, instance)
			did := w.settle(commit)
			t.wants(did == settled{}, "somebody had to help: %+v", did)
			w.watch.none(seq, "run.unknown", "run.failed", "run.errored", "environment.held")
			again, err := w.api.Run(w.Context(), run)
			if err != nil {
				t.Fatal(err)
			}
			t.wants(again.Status == "succeeded" && again.Release.Commit == commit && (again.Attempt == 2 || phase == "clone"),
				"the run is %s in attempt %d, of release %.8s; not succeeded in attempt 2 of %.8s", again.Status, again.Attempt, again.Release.Commit, commit)
			w.check()
		}
	}
	w.checkAll()
}

// runnerDoing waits until a run at an instance is in a phase of its preparation and
// returns it with its process.
func (w *world) runnerDoing(seq int64, instance, phase string) (run string, pid int) {
	w.Helper()
	if phase == "clone" {
		return w.claiming(seq, instance)
	}
	w.watch.first(seq, "a run at "+instance, func(e wire.Event) bool {
		run = e.On
		return e.Kind == "run.queued" && e.Data["instance"] == instance
	})
	deadline := time.Now().Add(progressWithin)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		if len(doing(phase, of(run, w.processes(anEngine)))) > 0 {
			return run, w.runner(run)
		}
		<-tick.C
	}
	w.Fatalf("no engine was seen to %s for %s", phase, run)
	return "", 0
}

// claiming catches a runner when it has been told what to do, and is about to check the
// commit out: the answer to its claim is on its way.
func (w *world) claiming(seq int64, instance string) (run string, pid int) {
	w.Helper()
	caught := make(chan string, 1)
	w.door.meddle(nil, func(p *passing) {
		if filepath.Base(p.path) != "claim" {
			return
		}
		run := filepath.Base(filepath.Dir(p.path))
		// The event of its being queued was written long before.
		for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline) && !w.watch.knows(seq, run); {
			w.passes(time.Millisecond)
		}
		if w.watch.isAt(run, instance) {
			select {
			case caught <- run:
			default:
			}
		}
	})
	defer w.door.meddle(nil, nil)
	select {
	case run = <-caught:
	case <-time.After(progressWithin):
		w.Fatalf("no runner claimed a run at %s", instance)
	}
	pid = w.runner(run)
	w.passes(time.Duration(w.rng.Int64N(int64(10 * time.Millisecond))))
	return run, pid
}
