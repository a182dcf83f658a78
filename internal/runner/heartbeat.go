package runner

import (
	"context"
	"errors"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
)

// watchBeat is how often a runner that watches a bake asks whether it is over.
const watchBeat = 2 * time.Second

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
		over := false
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
			}
			beat, err := a.beat(ctx)
			switch {
			case ctx.Err() != nil:
				return
			case client.Permanent(err):
				// Somebody else has the run, or nobody: nothing may be changed any more.
				evict(errEvicted)
				return
			case err != nil: // the server is away; it asks the executor before it gives up on us
			case beat.Cancel:
				a.stop(errCancelled)
			case beat.Stop && !over:
				over = true
				close(a.bakeOver)
			}
		}
	}()
	return h
}

type beat struct{ Cancel, Stop bool }

func (a *attempt) beat(ctx context.Context) (beat, error) {
	ctx, cancel := context.WithTimeout(ctx, lastLook)
	defer cancel()
	b, err := a.api.Heartbeat(ctx, a.Run)
	return beat{b.Cancel, b.Stop}, err
}

func (h *heartbeat) stop() {
	h.cancel()
	<-h.done
}

// cause is why the work was stopped, nil when it was not. A signal may be the server's way to say that a
// person cancelled the run: it is asked.
func (a *attempt) cause() error {
	cause := context.Cause(a.work)
	if errors.Is(cause, errTerminated) {
		if b, err := a.beat(a.report); err == nil && b.Cancel {
			return errCancelled
		}
	}
	return cause
}
