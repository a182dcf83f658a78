package faults

import (
	"sync"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func init() {
	register(row{number: 2, fault: "kill the server around the commit of a state write", share: []string{"postgres"}, run: writeInterrupted})
}

// The server dies when a state arrives, while it stores it, and when it has stored it
// and its answer is on the way. The runner sends it again; there is one version of it.
func writeInterrupted(t *trial) {
	w := newWorld(t)
	for _, moment := range []struct {
		what       string
		short, all int
		arrives    func(*passing)
		answered   func(*passing)
	}{
		{"when a state arrived", 1, 5, func(*passing) { w.stop(syscall.SIGKILL) }, nil},
		{"while it stored a state", 1, 40, func(*passing) {
			wait := time.Duration(t.rng.Int64N(int64(4 * time.Millisecond)))
			go func() {
				w.passes(wait)
				w.stop(syscall.SIGKILL)
			}()
		}, nil},
		{"before its answer to a state got through", 1, 5, nil, func(p *passing) {
			w.stop(syscall.SIGKILL)
			p.drop = true
		}},
	} {
		for range t.times(moment.short, moment.all) {
			instance := core.InstanceName(stacks[t.rng.IntN(len(stacks))], environments[t.rng.IntN(len(environments))])
			seq := w.watch.last()
			hit := make(chan struct{})
			var once sync.Once
			only := func(do func(*passing)) func(*passing) {
				return func(p *passing) {
					if at, ok := p.writesState(); !ok || at != instance || do == nil {
						return
					}
					once.Do(func() {
						do(p)
						close(hit)
					})
				}
			}
			w.door.meddle(only(moment.arrives), only(moment.answered))
			commit := w.commit()
			select {
			case <-hit:
			case <-time.After(progressWithin):
				t.Fatalf("no state of %s was written", instance)
			}
			w.eventually("the server to be dead", func() bool { return !w.up() })
			w.door.meddle(nil, nil)
			t.injected("kill -9 of the server %s of %s", moment.what, instance)
			w.start()
			did := w.settle(commit)
			t.wants(did == settled{}, "somebody had to help: %+v", did)
			w.watch.none(seq, "run.unknown", "run.failed", "run.errored", "environment.held", "state.kept_aside", "state.newer_in_storage")
			written := 0
			for _, e := range w.watch.since(seq) {
				if e.Kind == "state.written" && e.On == instance {
					written++
				}
			}
			t.wants(written == 1, "%d versions were written at %s, not 1", written, instance)
			w.check()
		}
	}
	w.checkAll()
}
