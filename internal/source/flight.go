package source

import (
	"context"

	"github.com/terrace-cd/terrace/internal/core"
)

// flight makes parallel requests for one thing share the work. A request that comes
// while the work is under way shares the next one, not this one: what it was told
// about may have happened after this one looked.
type flight struct{ running, next *call }

type call struct {
	done    chan struct{}
	sharers int // how many requests share it
	head    string
	err     error
}

// fly runs f, or waits for somebody else's f, under the given key. f goes on when ctx
// ends, because others may wait for it too; it is bounded by the Source's own context.
func (s *Source) fly(ctx context.Context, key string, f func(context.Context) (string, error)) (string, error) {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return "", core.Errorf(core.Unavailable, "the server is stopping")
	}
	c := &call{done: make(chan struct{})}
	switch fl := s.flights[key]; {
	case fl == nil:
		fl = &flight{running: c}
		s.flights[key] = fl
		s.working.Go(func() { s.flyAll(key, fl, f) })
	case fl.next == nil:
		fl.next = c
	default:
		c = fl.next
	}
	c.sharers++
	s.mu.Unlock()
	select {
	case <-c.done:
		return c.head, c.err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *Source) flyAll(key string, fl *flight, f func(context.Context) (string, error)) {
	for c := fl.running; c != nil; {
		c.head, c.err = f(s.ctx)
		close(c.done)
		s.mu.Lock()
		fl.running, fl.next = fl.next, nil
		if c = fl.running; c == nil {
			delete(s.flights, key)
		}
		s.mu.Unlock()
	}
}
