package faults

import (
	"net/http"
	"sync"
)

func init() {
	register(row{number: 9, fault: "drop the reply of LOCK, POST, UNLOCK", run: repliesDropped})
}

// The server does what it is asked, and its answer is lost on the way: who asked asks
// again, and nothing comes of it.
func repliesDropped(t *trial) {
	w := newWorld(t)
	for range t.times(1, 5) {
		for _, methods := range [][]string{{"LOCK"}, {http.MethodPost}, {"UNLOCK"}, {"LOCK", http.MethodPost, "UNLOCK"}} {
			if !t.long && len(methods) == 1 {
				continue // each of them is in the last one
			}
			seq := w.watch.last()
			var mu sync.Mutex
			dropped := map[string]int{}
			w.door.meddle(nil, func(p *passing) {
				instance, ok := p.state()
				if !ok {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				for _, m := range methods {
					// Of each kind of request, the first to each instance.
					if p.method == m && dropped[m+instance] == 0 {
						dropped[m+instance]++
						p.drop = true
					}
				}
			})
			did := w.settle(w.commit())
			w.door.meddle(nil, nil)
			mu.Lock()
			for _, m := range methods {
				for _, environment := range environments {
					for _, stack := range stacks {
						instance := stack + "@" + environment
						t.wants(dropped[m+instance] == 1, "no reply to %s of %s was dropped", m, instance)
					}
				}
			}
			mu.Unlock()
			t.injected("the replies to %v of every instance were dropped", methods)
			t.wants(did == settled{}, "somebody had to help: %+v", did)
			w.watch.none(seq, "run.unknown", "run.failed", "run.errored", "state.kept_aside")
			w.check()
		}
	}
	w.checkAll()
}
