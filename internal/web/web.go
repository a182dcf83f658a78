// Package web holds the pages that people look at in a browser: the board of a
// project, a rollout, a run with its plan and its live log. Pages are rendered on the
// server by templ and made live by htmx and server-sent events; without JavaScript
// they can still be read. The package fetches nothing by itself: all it shows comes
// from a Backend, and who may see it is decided around it.
package web

import (
	"context"
	"net/http"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Backend gives the pages what they show. Errors are core errors.
type Backend interface {
	Projects(ctx context.Context) ([]wire.Project, error)
	Status(ctx context.Context, project string, why bool) (wire.Status, error)
	// Rollouts lists rollouts, newest first.
	Rollouts(ctx context.Context, project string, limit int) ([]wire.Rollout, error)
	// Rollout returns one rollout with its runs.
	Rollout(ctx context.Context, id string) (wire.Rollout, error)
	// Runs lists runs, newest first.
	Runs(ctx context.Context, project, environment, rollout string, limit int) ([]wire.Run, error)
	Run(ctx context.Context, id string) (wire.Run, error)
	// Plan is nil when the run has none.
	Plan(ctx context.Context, run string) (*wire.Plan, error)
	// Logs returns chunks numbered greater than after, oldest first.
	Logs(ctx context.Context, run string, after int64, limit int) ([]wire.LogChunk, error)
	// Changed ticks when a project ("" for any) changes; closed when ctx ends.
	Changed(ctx context.Context, project string) <-chan struct{}
	// LogChanged ticks when a run's log grows; closed when ctx ends.
	LogChanged(ctx context.Context, run string) <-chan struct{}

	CancelRollout(ctx context.Context, id string) error
	CancelRun(ctx context.Context, id string) error
}

// Options of the pages.
type Options struct {
	Version string
	// Now is the clock that ages are told by; default time.Now.
	Now func() time.Time
}

// New returns the pages, to be mounted at "/".
func New(b Backend, o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &site{backend: b, options: o, mux: http.NewServeMux()}
}

type site struct {
	backend Backend
	options Options
	mux     *http.ServeMux
}

func (s *site) ServeHTTP(w http.ResponseWriter, req *http.Request) { s.mux.ServeHTTP(w, req) }
