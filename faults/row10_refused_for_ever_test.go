package faults

import (
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

func init() {
	register(row{number: 10, fault: "state writes answered 500 for ever", long: true, run: refusedForEver})
}

// The server has an error of its own whenever a state of one instance is written. The
// engine gives up: the outcome is unknown, nothing enters the environment, and recover
// stores exactly what the engine could not.
func refusedForEver(t *trial) {
	w := newWorld(t)
	for range t.times(1, 3) {
		environment := environments[t.rng.IntN(len(environments))]
		instance := "web@" + environment
		seq := w.watch.last()
		var mu sync.Mutex
		var last []byte
		w.door.meddle(func(p *passing) {
			if at, ok := p.writesState(); ok && at == instance {
				mu.Lock()
				defer mu.Unlock()
				last = p.body
				p.answer = &answer{status: http.StatusInternalServerError, body: []byte("a fault that was made")}
			}
		}, nil)
		w.commit()
		w.watch.became(seq, instance, "applying")
		w.watch.became(seq, instance, "unknown")
		t.injected("every state of %s was answered 500", instance)
		mu.Lock()
		wanted := digest(last)
		mu.Unlock()

		t.Logf("what comes next does not enter %s, not even when the server is another one", environment)
		blocked := w.watch.last()
		second := w.commit()
		w.watch.first(blocked, "the next release", func(e wire.Event) bool { return e.Kind == "release.made" })
		w.stop(syscall.SIGKILL)
		w.start()
		w.passes(3 * time.Second)
		for _, e := range w.watch.since(blocked) {
			t.wants(e.Kind != "stage.entered" || e.On != environment, "release %s entered %s, whose state is not known", e.Data["release"], environment)
		}

		w.door.meddle(nil, nil)
		did := w.settle(second)
		t.wants(did.recovered == 1, "recovered %d instances, not 1", did.recovered)
		stored := false
		for _, e := range w.watch.since(blocked) {
			stored = stored || e.Kind == "state.written" && e.On == instance && e.Data["md5"] == wanted
		}
		t.wants(stored, "the state that was refused (MD5 %s) was not stored by recover:%s", wanted, tell(w.watch.since(blocked)))
		w.check()
	}
	w.checkAll()
}
