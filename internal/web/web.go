// Package web holds the pages that people look at in a browser: the board of a
// project, a rollout, a run with its plan and its live log. Pages are rendered on the
// server by templ and made live by htmx and server-sent events; without JavaScript
// they can still be read. The package fetches nothing by itself: all it shows comes
// from a Backend, and who may see it is decided around it.
package web

import (
	"bytes"
	"context"
	"encoding/json"
	"hash/fnv"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/a-h/templ"

	"github.com/terrace-cd/terrace/internal/core"
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
	// Preview returns what a branch would do.
	Preview(ctx context.Context, project, id string) (wire.Preview, error)
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

	// Modules lists the modules of the registry by address.
	Modules(ctx context.Context) ([]wire.Module, error)
	// Module shows a module, with the documentation of a version, the newest for "".
	Module(ctx context.Context, address, version string) (wire.ShownModule, error)

	// Approvals lists the runs of a project that wait for approvals.
	Approvals(ctx context.Context, project string) ([]wire.Approval, error)
	// Vote says yes or no to a plan, which is the digest of what was shown.
	Vote(ctx context.Context, run, plan string, approves bool, reason string) error
	CancelRollout(ctx context.Context, id string) error
	CancelRun(ctx context.Context, id string) error
}

// Options of the pages.
type Options struct {
	Version string
	// Now is the clock that ages are told by; default time.Now.
	Now func() time.Time
	// Log gets what must not be shown: internal errors. Default: nowhere.
	Log *slog.Logger
	// Gather is how long changes are gathered before a page hears of them, so that a
	// busy project does not make its pages busy. Default 400 ms.
	Gather time.Duration
}

// New returns the pages, to be mounted at "/". Who may see them, cookies and
// requests from other sites are the business of the handler around it.
func New(b Backend, o Options) http.Handler {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Gather <= 0 {
		o.Gather = 400 * time.Millisecond
	}
	s := &site{backend: b, options: o, mux: http.NewServeMux()}
	s.page("GET /{$}", s.projects)
	s.page("GET /p/{project}", s.board)
	s.page("GET /p/{project}/events", s.projectEvents)
	s.page("GET /events", s.projectEvents)
	s.page("GET /p/{project}/previews/{id}", s.preview)
	s.page("GET /rollouts/{id}", s.rollout)
	s.page("POST /rollouts/{id}/cancel", s.cancelRollout)
	s.page("POST /rollouts/{id}/vote", s.vote)
	s.page("GET /runs/{id}", s.run)
	s.page("POST /runs/{id}/cancel", s.cancelRun)
	s.page("POST /runs/{id}/vote", s.vote)
	s.page("GET /runs/{id}/log", s.logEvents)
	s.page("GET /runs/{id}/log.txt", s.logText)
	s.page("GET /modules", s.modules)
	s.page("GET /modules/{namespace}/{name}/{system}", s.module)
	s.page("GET /login", s.login)
	s.mux.HandleFunc("GET /assets/{file}", serveAsset)
	s.mux.HandleFunc("GET /favicon.ico", serveFavicon)
	s.page("/", func(_ http.ResponseWriter, req *http.Request) error {
		return core.Errorf(core.NotFound, "there is no page %s", req.URL.Path)
	})
	return s
}

type site struct {
	backend Backend
	options Options
	mux     *http.ServeMux
}

// policy lets a page load what this server serves, and nothing else: no inline script
// or style, no other host, no frame.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (s *site) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	s.mux.ServeHTTP(w, req)
}

// page registers a handler whose error becomes a page.
func (s *site) page(pattern string, f func(http.ResponseWriter, *http.Request) error) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) {
		if err := f(w, req); err != nil && req.Context().Err() == nil {
			s.refuse(w, req, err)
		}
	})
}

// refuse shows an error as a page.
func (s *site) refuse(w http.ResponseWriter, req *http.Request, err error) {
	code, message := core.CodeOf(err), core.MessageOf(err)
	if code == core.Internal {
		s.options.Log.Error("a page failed", "path", req.URL.Path, "error", err)
		message = "Something went wrong inside the server. Its log says what."
	}
	status := map[core.Code]int{core.Invalid: http.StatusBadRequest, core.NotFound: http.StatusNotFound, core.Conflict: http.StatusConflict,
		core.Denied: http.StatusForbidden, core.Unauthenticated: http.StatusUnauthorized, core.Unavailable: http.StatusServiceUnavailable}[code]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if err := s.show(w, req, status, errorPage(s.frame("Error"), errorTitle(code), message)); err != nil {
		s.options.Log.Error("an error page failed", "path", req.URL.Path, "error", err)
	}
}

func errorTitle(code core.Code) string {
	switch code {
	case core.NotFound:
		return "Not found"
	case core.Conflict:
		return "Not possible now"
	case core.Denied, core.Unauthenticated:
		return "Not allowed"
	case core.Unavailable:
		return "Not available"
	case core.Invalid:
		return "Not understood"
	}
	return "Something went wrong"
}

// show renders a page, whole or not at all.
func (s *site) show(w http.ResponseWriter, req *http.Request, status int, c templ.Component) error {
	var b bytes.Buffer
	if err := c.Render(req.Context(), &b); err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // the reader is gone; there is nobody to tell
	return nil
}

// part is a piece of a page that fetches itself again when something changed. It
// says which version it has, and gets 204 while that is the newest: what did not
// change is not drawn again, so that nothing moves under a reader's hand.
type part struct {
	ID  string
	URL string // with have=VERSION
}

// live names the version of a part by what it is made of.
func live(req *http.Request, id string, madeOf ...any) part {
	h := fnv.New64a()
	_ = json.NewEncoder(h).Encode(madeOf) // wire types always encode, a hash never fails
	q := req.URL.Query()
	q.Set("part", id)
	q.Set("have", strconv.FormatUint(h.Sum64(), 36))
	u := url.URL{Path: req.URL.Path, RawQuery: q.Encode()}
	return part{ID: id, URL: u.String()}
}

// showPart answers a part's request. It reports whether there was one.
func (s *site) showPart(w http.ResponseWriter, req *http.Request, p part, c templ.Component) (bool, error) {
	if req.URL.Query().Get("part") != p.ID {
		return false, nil
	}
	if req.URL.RequestURI() == p.URL {
		w.WriteHeader(http.StatusNoContent)
		return true, nil
	}
	return true, s.show(w, req, http.StatusOK, c)
}

// frame is what every page has around it.
type frame struct {
	Title   string
	Project string
	Crumbs  []crumb
	Events  string // stream that tells of changes, "" when there is none
	Version string
	Now     time.Time
	Bare    bool // without navigation: nobody is logged in
}

type crumb struct{ Text, URL string }

func (s *site) frame(title string) frame {
	return frame{Title: title, Version: s.options.Version, Now: s.options.Now()}
}

func (f frame) in(project string) frame {
	f.Project = project
	f.Crumbs = append([]crumb{{project, projectURL(project)}}, f.Crumbs...)
	f.Events = projectURL(project) + "/events"
	return f
}

func projectURL(name string) string { return "/p/" + url.PathEscape(name) }
func rolloutURL(id string) string   { return "/rollouts/" + url.PathEscape(id) }
func runURL(id string) string       { return "/runs/" + url.PathEscape(id) }
