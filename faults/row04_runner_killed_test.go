package faults

import (
	"os"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

func init() {
	register(row{number: 4, fault: "kill -9 the runner in apply", share: []string{"sqlite"}, run: runnerKilledInApply})
}

// unknownWithin is how soon the outcome of an apply whose runner is gone is unknown.
const unknownWithin = 90 * time.Second

// In the middle of the apply in one environment, with its servers created and nothing
// stored yet, the runner dies. Nobody knows what it did: nothing enters, nothing is
// repeated, until a person has it found out.
func runnerKilledInApply(t *trial) {
	w := newWorld(t)
	for range t.times(1, 10) {
		environment := environments[t.rng.IntN(len(environments))]
		seq := w.watch.last()
		gate := w.gate(environment)
		commit := w.commit()
		run := w.watch.became(seq, "web@"+environment, "applying")
		w.reached(gate)
		w.signal(w.runner(run), syscall.SIGKILL)
		killed := time.Now()
		t.injected("kill -9 of the runner of %s in its apply at web@%s", run, environment)
		w.watch.became(seq, "web@"+environment, "unknown")
		t.wants(time.Since(killed) < unknownWithin, "the run was unknown %s after its runner was killed", time.Since(killed))
		w.pass(gate)
		did := w.settle(commit)
		t.wants(did.recovered == 1, "recovered %d instances, not 1", did.recovered)
		w.check()
	}
	w.checkAll()
}

// gate is a place in the apply of web in one environment: its servers are there, what
// they replace is too, and the state is not stored. The script that waits there runs
// below the engine.
type gate struct{ began, goOn string }

// gate makes one, for the applies from now on.
func (w *world) gate(environment string) gate {
	w.Helper()
	w.gates++
	g := gate{w.file("began-" + itoa(w.gates)), w.file("go-" + itoa(w.gates))}
	w.hook(`[ "$1" = ` + environment + ` ] || exit 0
echo $$ >> ` + g.began + `
i=0
while [ ! -e ` + g.goOn + ` ]; do i=$((i + 1)); echo line $i; sleep 0.02; done
echo last $i`)
	return g
}

// reached waits until an apply is at the gate.
func (w *world) reached(g gate) {
	w.Helper()
	w.eventually("an apply to be in the middle", func() bool {
		info, err := os.Stat(g.began)
		return err == nil && info.Size() > 0 // the shell makes the file before it writes
	})
}

// pass lets go what waits at a gate, and who comes there later.
func (w *world) pass(g gate) {
	w.Helper()
	if err := os.WriteFile(g.goOn, nil, 0o600); err != nil {
		w.Fatal(err)
	}
	w.hook("true")
}

// runner returns the process that executes a run.
func (w *world) runner(run string) int {
	w.Helper()
	var found []proc
	testkit.Eventually(w, 10*time.Second, "the runner of "+run, func() bool {
		found = of(run, w.processes(aRunner))
		return len(found) == 1
	})
	return found[0].pid
}
