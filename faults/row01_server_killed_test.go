package faults

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

func init() {
	register(row{number: 1, fault: "kill -9 the server at every transition", share: []string{"sqlite"}, run: serverKilledAtTransitions})
}

// resumesWithin is how soon after its start a server goes on with what there is to do.
const resumesWithin = 30 * time.Second

// A rollout has about thirty transitions: what happens for the first time in one that
// nothing disturbs. For each of them there is a rollout in which the server is killed
// when it happens.
func serverKilledAtTransitions(t *trial) {
	w := newWorld(t)
	moments := []string{"run.applying of base@dev", "state.written of web@dev", "run.succeeded of web@staging"}
	if t.long {
		moments = w.moments()
	}
	for _, moment := range moments {
		seq := w.watch.last()
		commit := w.commit()
		w.watch.first(seq, moment, func(e wire.Event) bool { return w.watch.moment(e) == moment })
		w.stop(syscall.SIGKILL)
		t.injected("kill -9 of the server at %s", moment)
		w.start()
		w.resumes()
		did := w.settle(commit)
		t.wants(did == settled{}, "after the server was killed at %s somebody had to help: %+v", moment, did)
		w.watch.none(seq, "run.unknown", "run.failed", "run.errored", "environment.held", "state.kept_aside")
		w.check()
	}
	w.checkAll()
}

// moments are the names of what happens in a rollout that nothing disturbs, in order.
func (w *world) moments() []string {
	w.Helper()
	seq := w.watch.last()
	w.settle(w.commit())
	w.quiet()
	var all []string
	for _, e := range w.watch.since(seq) {
		if name := w.watch.moment(e); !slices.Contains(all, name) {
			all = append(all, name)
		}
	}
	return all
}

// moment names a transition in a way that is the same in every rollout.
func (v *watch) moment(e wire.Event) string {
	on := e.On
	if strings.HasPrefix(e.Kind, "run.") {
		all, _ := v.after(0)
		on = queuedAt(all, e.On)
	}
	if strings.HasPrefix(e.Kind, "rollout.") || strings.HasPrefix(e.Kind, "release.") {
		return e.Kind
	}
	return fmt.Sprintf("%s of %s", e.Kind, on)
}

// resumes fails the trial when a server that was just started does nothing although
// there is something to do.
func (w *world) resumes() {
	w.Helper()
	began, seq := time.Now(), w.watch.last()
	w.eventually("the server to go on", func() bool {
		ctx, cancel := w.context()
		defer cancel()
		all, err := w.api.Rollouts(ctx, project, 1)
		return err == nil && len(all) > 0 && (w.watch.last() > seq || all[0].Status == "succeeded" && all[0].Release.Commit == w.pushed[len(w.pushed)-1])
	})
	w.wants(time.Since(began) < resumesWithin, "the server went on %s after its start", time.Since(began))
}
