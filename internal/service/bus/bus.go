// Package bus tells the parts of one server that something of a project changed.
// It carries no data and may lose nothing that matters: whoever hears it reads the
// rows again, and a sweep finds what nobody heard.
package bus

import (
	"context"
	"sync"
)

// Bus is an in-process publisher. The zero value is not usable; call New.
type Bus struct {
	// Forward is called with every topic of Changed, for other servers. Set it before
	// the bus is used.
	Forward func(topic string)

	mu   sync.Mutex
	subs map[*sub]struct{}
}

type sub struct {
	project string
	ch      chan struct{}
}

// LogTopic is what a run's log is listened to by; it does not wake those who
// listen to all projects.
func LogTopic(run string) string { return "log:" + run }

func isLog(topic string) bool { return len(topic) > 4 && topic[:4] == "log:" }

// New returns a Bus.
func New() *Bus { return &Bus{subs: map[*sub]struct{}{}} }

// Changed wakes everybody who listens to project, and those who listen to all.
// It never blocks: a listener that was not yet woken from an earlier change is not
// woken twice.
func (b *Bus) Changed(project string) {
	if b.Forward != nil {
		b.Forward(project)
	}
	b.Heard(project)
}

// Heard is Changed for what another server said; "" wakes everybody.
func (b *Bus) Heard(project string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subs {
		if s.project == project || s.project == "" && !isLog(project) || project == "" {
			select {
			case s.ch <- struct{}{}:
			default:
			}
		}
	}
}

// Listen returns a channel that gets a value after each change of project ("" means
// of any), coalesced. It ends with ctx; the channel is then closed.
func (b *Bus) Listen(ctx context.Context, project string) <-chan struct{} {
	s := &sub{project: project, ch: make(chan struct{}, 1)}
	b.mu.Lock()
	b.subs[s] = struct{}{}
	b.mu.Unlock()
	context.AfterFunc(ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.subs, s)
		close(s.ch)
	})
	return s.ch
}
