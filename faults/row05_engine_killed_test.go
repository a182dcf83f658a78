package faults

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

func init() {
	register(row{number: 5, fault: "kill -9 tofu, and a provider, in apply", run: engineKilledInApply})
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
	for range t.times(1, 10) {
		w.providerKilled()
	}
	for range t.times(1, 10) {
		w.providerKilledLate()
	}
	for range t.times(1, 10) {
		w.engineKilledLate()
	}
	for range t.times(1, 10) {
		w.providerKilledReplacing()
	}
	w.checkAll()
}

// providerKilled kills a provider after the cloud began to create a server and before the
// engine heard of it. The engine goes on, and says that something failed; but nobody knows
// what became of the server, so the outcome is unknown.
func (w *world) providerKilled() {
	w.Helper()
	environment := environments[w.rng.IntN(len(environments))]
	seq, done := w.watch.last(), len(w.journal())
	commit := w.commit()
	run := w.watch.became(seq, "web@"+environment, "applying")
	w.cloudDid(democloud.Create, run, 1, done)
	for _, p := range of(run, w.processes(aProvider)) {
		w.signal(p.pid, syscall.SIGKILL)
	}
	w.injected("kill -9 of the provider of %s while it created a server at web@%s", run, environment)
	w.watch.became(seq, "web@"+environment, "unknown")
	shown, err := w.api.Run(w.Context(), run)
	w.wants(err == nil && shown.Error != nil && strings.Contains(shown.Error.Message, "democloud_server.web[0]"), "the run does not name what may be there: %+v, %v", shown.Error, err)
	did := w.settle(commit)
	w.wants(did.recovered == 1, "recovered %d instances, not 1", did.recovered)
	w.check()
}

// providerKilledLate kills a provider after the cloud changed a record and before it said
// so. The state tells the value before, and a plan finds the record as it should be, so
// that nothing but the recover run would ever tell.
func (w *world) providerKilledLate() {
	w.Helper()
	w.killedLate("base", democloud.Fault{Type: democloud.DNSRecord, Operation: democloud.Update}, func(run string) []proc { return of(run, w.processes(aProvider)) })
}

// engineKilledLate kills an engine when the cloud has destroyed every server that its state
// tells of, and before it stores those that it made in their place: what is there has no
// server at all, and the output of the first one cannot be told.
func (w *world) engineKilledLate() {
	w.Helper()
	w.killedLate("web", democloud.Fault{Type: democloud.Server, Operation: democloud.Delete}, func(run string) []proc { return doing("apply", of(run, w.processes(anEngine))) })
}

// providerKilledReplacing kills a provider when the cloud has destroyed the servers that the
// engine replaced, and before it said so. The engine stores what it made, and what it does
// not know to be gone as deposed objects: no plan lists the end of those as drift.
func (w *world) providerKilledReplacing() {
	w.Helper()
	w.killedLate("web", democloud.Fault{Type: democloud.Server, Operation: democloud.Delete}, func(run string) []proc { return of(run, w.processes(aProvider)) })
}

// killedLate has the cloud do for an apply what a fault names, with the record or all servers
// of an environment, and say nothing of it; then it kills victims of the run.
func (w *world) killedLate(stack string, silent democloud.Fault, victims func(run string) []proc) {
	w.Helper()
	environment := environments[w.rng.IntN(len(environments))]
	instance, n := core.InstanceName(stack, environment), 1
	if silent.Type == democloud.Server {
		n = servers[environment]
	}
	silent.Tenant, silent.Mode = tenant(stack, environment), democloud.HangAfter
	fault, err := w.clouds.Inject(w.Context(), silent)
	if err != nil {
		w.Fatal(err)
	}
	seq, done := w.watch.last(), len(w.journal())
	commit := w.commit()
	run := w.watch.became(seq, instance, "applying")
	w.cloudDid(silent.Operation, run, n, done)
	for _, p := range victims(run) {
		w.signal(p.pid, syscall.SIGKILL)
	}
	w.injected("kill -9 in %s at %s after %d times %s of a %s", run, instance, n, silent.Operation, silent.Type)
	w.watch.became(seq, instance, "unknown")
	if err := w.clouds.ClearFaults(w.Context(), fault.ID); err != nil {
		w.Fatal(err)
	}
	did := w.settle(commit)
	w.wants(did.recovered == 1, "recovered %d instances, not 1", did.recovered)
	w.check()
}

// cloudDid waits until the cloud did something n times for a run, after the journal's first
// entries.
func (w *world) cloudDid(operation democloud.Operation, run string, n, after int) {
	w.Helper()
	w.eventually(fmt.Sprintf("the cloud to do %s %d times", operation, n), func() bool {
		did := 0
		for _, e := range w.journal()[after:] {
			if e.Run == run && e.Operation == operation {
				did++
			}
		}
		return did >= n
	})
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
