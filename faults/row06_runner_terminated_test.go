package faults

import "syscall"

func init() {
	register(row{number: 6, fault: "SIGTERM the runner in apply", run: runnerTerminated})
}

// The runner is asked to end in the middle of an apply: its engine stores what it has,
// and the run has failed. Nothing is unknown.
func runnerTerminated(t *trial) {
	w := newWorld(t)
	for range t.times(1, 10) {
		environment := environments[t.rng.IntN(len(environments))]
		seq := w.watch.last()
		gate := w.gate(environment)
		commit := w.commit()
		run := w.watch.became(seq, "web@"+environment, "applying")
		w.reached(gate)
		hook := w.at(gate)
		w.signal(w.runner(run), syscall.SIGTERM)
		t.injected("SIGTERM to the runner of %s in its apply at web@%s", run, environment)
		w.watch.became(seq, "web@"+environment, "failed")
		w.watch.none(seq, "run.unknown", "run.errored")
		t.wants(gone(hook), "the run has failed, and what the engine started (process %d) goes on", hook)
		stored := 0
		for _, e := range w.watch.since(seq) {
			if e.Kind == "state.written" && e.By == "run:"+run {
				stored++
			}
		}
		t.wants(stored > 0, "what was done is in no state")
		w.pass(gate)
		did := w.settle(commit)
		t.wants(did == settled{again: 1}, "it took %+v to go on, not one start", did)
		w.check()
	}
	w.checkAll()
}
