// Package jobs is the server's background work: what nobody waits for, on no run's
// path.
package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/projects"
)

// Poller reads every project's branch now and then, and at once when a webhook asks.
// Webhooks are hints (rule 3): they may be lost, repeated or out of order.
type Poller struct {
	Projects *projects.Service
	// Pulls reads the pull requests of a project; an error was noted.
	Pulls func(ctx context.Context, project string) error
	Every time.Duration
	Log   *slog.Logger

	once sync.Once
	asks chan string
}

func (p *Poller) init() { p.once.Do(func() { p.asks = make(chan string, 256) }) }

// Ask makes the branch of a project be read soon. It never blocks: a full queue means
// that a reading is due anyway.
func (p *Poller) Ask(project string) {
	p.init()
	select {
	case p.asks <- project:
	default:
	}
}

// Run works until ctx ends.
func (p *Poller) Run(ctx context.Context) {
	p.init()
	tick := time.NewTicker(p.Every)
	defer tick.Stop()
	var readers sync.WaitGroup
	defer readers.Wait()
	var mu sync.Mutex
	waiting := map[string]bool{} // asked for again while being read
	reading := map[string]bool{}
	read := func(name, by string) {
		mu.Lock()
		defer mu.Unlock()
		if reading[name] {
			waiting[name] = true
			return
		}
		reading[name] = true
		readers.Go(func() {
			for again := true; again && ctx.Err() == nil; {
				p.refresh(ctx, name, by)
				mu.Lock()
				again = waiting[name]
				delete(waiting, name)
				if !again {
					delete(reading, name)
				}
				mu.Unlock()
			}
		})
	}
	for {
		select {
		case <-ctx.Done():
			return
		case name := <-p.asks:
			all, err := p.Projects.List(ctx)
			if err != nil {
				p.Log.Error("listing projects to read", "error", err)
			}
			read(name, "webhook")
			for _, project := range all {
				if project.Sandbox != nil && project.Sandbox.Of == name {
					read(project.Name, "webhook") // a push to another branch of the same repository
				}
			}
		case <-tick.C:
			all, err := p.Projects.List(ctx)
			if err != nil {
				p.Log.Error("listing projects to poll", "error", err)
				continue
			}
			for _, project := range all {
				read(project.Name, "poll")
			}
		}
	}
}

func (p *Poller) refresh(ctx context.Context, name, by string) {
	if err := p.Projects.Refresh(ctx, name, by); err != nil && ctx.Err() == nil && core.CodeOf(err) != core.NotFound {
		p.Log.Warn("reading a branch failed", "project", name, "error", err)
	}
	if err := p.Pulls(ctx, name); err != nil && ctx.Err() == nil {
		p.Log.Debug("reading pull requests failed", "project", name, "error", err)
	}
}
