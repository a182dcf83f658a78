package runner

import (
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

// tellEvery is how often the server hears at most how far Ansible is.
const tellEvery = time.Second

// teller tells the server how far Ansible is, while it works: the newest word, one at a
// time. Ansible never waits for that, and what is lost of it is said again at the end.
type teller struct {
	send  func(wire.Provisioned)
	every time.Duration
	over  chan struct{}
	woken chan struct{}
	work  sync.WaitGroup

	mu   sync.Mutex
	news *wire.Provisioned // nil when all was told
}

func startTeller(every time.Duration, send func(wire.Provisioned)) *teller {
	t := &teller{send: send, every: every, over: make(chan struct{}), woken: make(chan struct{}, 1)}
	t.work.Go(t.loop)
	return t
}

// tell replaces what was not told yet. p is the teller's from here on.
func (t *teller) tell(p wire.Provisioned) {
	t.mu.Lock()
	t.news = &p
	t.mu.Unlock()
	select {
	case t.woken <- struct{}{}:
	default:
	}
}

func (t *teller) loop() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-t.over:
			return
		case <-t.woken:
		}
		select {
		case <-t.over:
			return
		case <-pause.C:
		}
		t.mu.Lock()
		news := t.news
		t.news = nil
		t.mu.Unlock()
		if news != nil {
			t.send(*news)
		}
		pause.Reset(t.every)
	}
}

// stop ends it; what was not told yet is not told.
func (t *teller) stop() {
	close(t.over)
	t.work.Wait()
}
