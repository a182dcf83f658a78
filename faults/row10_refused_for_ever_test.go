package faults

import (
	"encoding/json"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

func init() {
	register(row{number: 10, fault: "state writes answered 500 for ever", run: refusedForEver})
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
		wanted := withoutSerial(t, last)
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
			if e.Kind != "state.recovered" || e.On != instance {
				continue
			}
			content, err := w.api.PullState(w.Context(), project, environment, "web", number(e.Data["version"]))
			stored = stored || err == nil && withoutSerial(t, content) == wanted
		}
		t.wants(stored, "the state that was refused was not stored by recover:%s", tell(w.watch.since(blocked)))
		w.check()
	}
	w.checkAll()
}

// withoutSerial is what a state says. The engine counts its serial up once more between
// the upload that failed and the file that it leaves.
func withoutSerial(t *trial, state []byte) string {
	t.Helper()
	var f map[string]any
	if err := json.Unmarshal(state, &f); err != nil {
		t.Fatal(err)
	}
	delete(f, "serial")
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
