package faults

import (
	"os"
	"strconv"
	"strings"
	"syscall"
)

func init() {
	register(row{number: 5, fault: "kill -9 tofu in apply", run: engineKilledInApply})
}

// The engine dies in the middle of an apply, and the command that it ran lives on: a
// second writer, if it outlived the moment in which others may go on. So it is ended
// before the outcome is called unknown.
func engineKilledInApply(t *trial) {
	w := newWorld(t)
	for range t.times(1, 10) {
		environment := environments[t.rng.IntN(len(environments))]
		seq := w.watch.last()
		gate := w.gate(environment)
		commit := w.commit()
		run := w.watch.became(seq, "web@"+environment, "applying")
		w.reached(gate)
		hook := w.at(gate)
		for _, p := range doing("apply", of(run, w.processes(anEngine))) {
			w.signal(p.pid, syscall.SIGKILL)
		}
		t.injected("kill -9 of the engine of %s in its apply at web@%s", run, environment)
		w.watch.became(seq, "web@"+environment, "unknown")
		t.wants(gone(hook), "the outcome is unknown, and what the engine started (process %d) goes on", hook)
		t.wants(len(of(run, w.processes(aProvider))) == 0, "the outcome is unknown, and a provider goes on")
		w.pass(gate)
		did := w.settle(commit)
		t.wants(did.recovered == 1, "recovered %d instances, not 1", did.recovered)
		w.check()
	}
	w.checkAll()
}

// at is the process that waits at a gate.
func (w *world) at(g gate) int {
	w.Helper()
	text, err := os.ReadFile(g.began)
	if err != nil {
		w.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		w.Fatal(err)
	}
	return pid
}
