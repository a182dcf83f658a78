package faults

import (
	"strings"
	"sync"
	"syscall"
	"time"
)

func init() {
	register(row{number: 7, fault: "SIGSTOP the runner past its lease, then SIGCONT", run: runnerStopped})
}

// leaseLasts is how long a runner may be silent before it is asked for.
const leaseLasts = 60 * time.Second

// A runner that is stopped says nothing. While its process is there, its lease stays, and
// when it goes on, so does the run. When a person gives it up, its outcome is unknown; a
// state that it had sent, and that comes after that, is refused, kept, and found by recover.
func runnerStopped(t *trial) {
	w := newWorld(t)
	pauses := []time.Duration{3 * time.Second}
	if t.long {
		pauses = []time.Duration{5 * time.Second, leaseLasts + 20*time.Second, 2 * leaseLasts}
	}
	for _, pause := range pauses {
		environment := environments[t.rng.IntN(len(environments))]
		seq := w.watch.last()
		gate := w.gate(environment)
		commit := w.commit()
		run := w.watch.became(seq, "web@"+environment, "applying")
		w.reached(gate)
		runner := w.runner(run)
		w.signal(runner, syscall.SIGSTOP)
		w.pass(gate)
		w.passes(pause)
		w.signal(runner, syscall.SIGCONT)
		t.injected("%s of silence from the runner of %s", pause, run)
		did := w.settle(commit)
		t.wants(did == settled{}, "somebody had to help: %+v", did)
		w.watch.none(seq, "run.unknown", "run.failed", "run.errored", "state.kept_aside")
		w.check()
	}
	for range t.times(1, 3) {
		w.lateWrite()
	}
	w.checkAll()
}

// lateWrite holds a state on its way, takes the run away from its runner, and lets the
// state go on.
func (w *world) lateWrite() {
	w.Helper()
	environment := environments[w.rng.IntN(len(environments))]
	instance := "web@" + environment
	seq := w.watch.last()
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var body []byte
	w.door.meddle(func(p *passing) {
		if at, ok := p.writesState(); ok && at == instance {
			once.Do(func() {
				body = p.body
				close(held)
				<-release
			})
		}
	}, nil)
	commit := w.commit()
	run := w.watch.became(seq, instance, "applying")
	<-held
	runner := w.runner(run)
	w.signal(runner, syscall.SIGSTOP)
	refused, err := w.cli("run", "abandon", run, "--reason", "it does not answer")
	w.wants(err != nil && strings.Contains(refused, "cancel"), "a run whose runner answered just now was abandoned: %s", refused)
	if _, err := w.cli("run", "cancel", run); err != nil { // which it cannot hear
		w.Fatal(err)
	}
	if out, err := w.cli("run", "abandon", run, "--reason", "it does not answer"); err != nil {
		w.Fatal(err, out)
	}
	w.watch.became(seq, instance, "unknown")
	after := w.watch.last()
	close(release)
	w.door.meddle(nil, nil)
	w.injected("a state of %s came after %s was abandoned", instance, run)
	w.watch.first(after, "the late state to be kept aside", func(e event) bool { return e.Kind == "state.kept_aside" && e.On == instance })
	current, err := w.api.PullState(w.Context(), project, environment, "web", 0)
	w.wants(err == nil && digest(current) != digest(body), "the late state became the current one (%v)", err)
	did := w.settle(commit)
	w.wants(did.recovered == 1, "recovered %d instances, not 1", did.recovered)
	stored := false
	for _, e := range w.watch.since(after) {
		stored = stored || e.Kind == "state.recovered" && e.On == instance
	}
	w.wants(stored, "recover did not take the late state from the slot:%s", tell(w.watch.since(after)))
	w.check()
}
