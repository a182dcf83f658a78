package runner

import (
	"context"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

// watchBeat is how often a runner that watches a bake asks whether it is over.
const watchBeat = 2 * time.Second

const (
	beatPatience   = 10 * time.Second
	signalPatience = time.Second
)

// heartbeat tells the server that the runner lives, and hears whether it shall stop.
type heartbeat struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (a *attempt) startHeartbeat(evict context.CancelCauseFunc) *heartbeat {
	ctx, cancel := context.WithCancel(a.report)
	h := &heartbeat{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		every := a.Heartbeat
		if a.job.Kind == "verify" {
			every = min(every, watchBeat) // the bake's end is heard in the answer
		}
		ticks := time.NewTicker(every)
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			beat, err := a.beat(ctx, beatPatience)
			switch {
			case ctx.Err() != nil:
				return
			case client.Permanent(err):
				// Somebody else has the run, or nobody: nothing may be changed any more.
				evict(errEvicted)
				return
			case err == nil: // otherwise the server is away; it asks the executor before it gives up on us
				a.obey(beat)
			}
		}
	}()
	return h
}

// beat says once that the runner lives.
func (a *attempt) beat(ctx context.Context, within time.Duration) (wire.Beat, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return a.api.Heartbeat(ctx, a.Run)
}

// obey does what the answer to a heartbeat asks for, and reports whether it asks for
// anything.
func (a *attempt) obey(b wire.Beat) bool {
	switch {
	case b.Cancel:
		a.stop(errCancelled)
	case b.Stop:
		a.endBake()
	}
	return b.Cancel || b.Stop
}

// terminated is what a signal asks for. It may be the server's way to make itself heard
// now and not with the next heartbeat, so the server is asked first, for a moment.
func (a *attempt) terminated() {
	if b, err := a.beat(a.report, signalPatience); err == nil && a.obey(b) {
		return
	}
	a.stop(errTerminated)
}

func (h *heartbeat) stop() {
	h.cancel()
	<-h.done
}
