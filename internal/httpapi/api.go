// Package httpapi is the server's HTTP side: identity, routes, errors to statuses,
// OpenAPI, live streams, webhooks and the state protocol. It decides nothing: each
// route authenticates, calls one service and converts.
package httpapi

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/access"
	"github.com/terrace-cd/terrace/internal/service/board"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/drift"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/keys"
	"github.com/terrace-cd/terrace/internal/service/likeness"
	"github.com/terrace-cd/terrace/internal/service/modules"
	"github.com/terrace-cd/terrace/internal/service/previews"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/service/rollouts"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/sandboxes"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/service/verification"
	"github.com/terrace-cd/terrace/internal/service/wanted"
)

// API serves everything under one address.
type API struct {
	Access       *access.Service
	Board        *board.Service
	Bus          *bus.Bus
	Drift        *drift.Service
	Guardrails   *guardrails.Service
	Keys         *keys.Service
	Likeness     *likeness.Service
	Modules      *modules.Service
	Verification *verification.Service
	Previews     *previews.Service
	Projects     *projects.Service
	Rollouts     *rollouts.Service
	Runs         *runs.Service
	Sandboxes    *sandboxes.Service
	State        *state.Service
	Wanted       *wanted.Evaluator
	Store        core.Store
	Log          *slog.Logger
	// VerifyEvents computes the audit log's hashes anew; Conflict says what does not fit.
	VerifyEvents func(ctx context.Context) (last int64, hash string, err error)
	// Ask makes a project's branch be read soon.
	Ask func(project string)
	// Pages serves the web pages, below identity.
	Pages   http.Handler
	Version string
}

// bodyLimit bounds what a request may carry, in bytes, where no route says otherwise.
const bodyLimit = 8 << 20

// apiError is how every error looks on the wire.
type apiError struct {
	Code    string   `json:"code"`
	Message string   `json:"message"`
	Details []string `json:"details,omitempty"`
	status  int
}

func (p *apiError) Error() string  { return p.Message }
func (p *apiError) GetStatus() int { return p.status }

// statuses maps codes to HTTP; the only place that does.
var statuses = map[core.Code]int{
	core.Invalid: http.StatusBadRequest, core.NotFound: http.StatusNotFound, core.Conflict: http.StatusConflict, core.Denied: http.StatusForbidden,
	core.Unauthenticated: http.StatusUnauthorized, core.Unavailable: http.StatusServiceUnavailable, core.Internal: http.StatusInternalServerError,
}

func init() {
	// huma makes its own errors (a body that does not fit its schema) through this
	// hook; there is no other way to give them our shape.
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		p := &apiError{Code: string(core.Invalid), Message: message, status: status}
		for code, s := range statuses {
			if s == status {
				p.Code = string(code)
			}
		}
		for _, err := range errs {
			if err != nil {
				p.Details = append(p.Details, err.Error())
			}
		}
		if len(p.Details) > 0 {
			p.Message += ": " + strings.Join(p.Details, "; ")
		}
		return p
	}
}

// toAPIError turns any error into what the client sees.
func toAPIError(err error) *apiError {
	var p *apiError
	if errors.As(err, &p) {
		return p
	}
	var e *core.Error
	if errors.As(err, &e) {
		return &apiError{Code: string(e.Code), Message: e.Message, status: statuses[e.Code]}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return &apiError{Code: string(core.Unavailable), Message: "the request was given up before it was done", status: http.StatusServiceUnavailable}
	}
	return &apiError{Code: string(core.Internal), Message: "something went wrong inside the server; its log says what", status: http.StatusInternalServerError}
}

// permission is who may use a route: one of these, or who has a role where the request is
// about, which the path says (see place.go).
type permission string

const (
	// forRunners: the token of the run that the path names.
	forRunners permission = "runner"
	// forAll: no identity needed.
	forAll permission = "all"

	viewers    = permission(core.RoleViewer)
	developers = permission(core.RoleDeveloper)
	operators  = permission(core.RoleOperator)
	admins     = permission(core.RoleAdmin)
)

// routes collects what was registered, so that a test can see that every route
// declared its permission.
type routes struct {
	mux  *http.ServeMux
	api  huma.API
	all  []route
	self *API
}

type route struct {
	Method, Path string
	Permission   permission
}

// add registers a typed route.
func add[I, O any](r *routes, who permission, method, path, id, summary string, h func(context.Context, *I) (*O, error), options ...func(*huma.Operation)) {
	op := huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, MaxBodyBytes: bodyLimit,
		Middlewares: huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
			req, _ := humago.Unwrap(ctx)
			err := r.self.rehome(req)
			if err == nil {
				err = r.self.allow(ctx.Context(), who, path, ctx.Param)
			}
			if err != nil {
				p := toAPIError(err)
				_ = huma.WriteErr(r.api, ctx, p.status, p.Message)
				return
			}
			next(ctx)
		}}}
	if who != forAll {
		op.Security = []map[string][]string{{"token": {}}}
		op.Extensions = map[string]any{"x-terrace-role": string(who)}
	}
	for _, o := range options {
		o(&op)
	}
	r.all = append(r.all, route{method, path, who})
	huma.Register(r.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			p := toAPIError(err)
			if p.status >= http.StatusInternalServerError {
				r.self.Log.Error("request failed", "operation", id, "error", err)
			}
			return nil, p
		}
		return out, nil
	})
}

// duration reads a span of time from a body; like is one that could be written.
func duration(text, like string) (time.Duration, error) {
	span, err := time.ParseDuration(text)
	if err != nil {
		return 0, core.Errorf(core.Invalid, "%q is not a duration; write for example %s", text, like)
	}
	return span, nil
}

// raw registers a route whose body or answer is not JSON.
func (r *routes) raw(who permission, method, path string, h func(http.ResponseWriter, *http.Request) error) {
	r.all = append(r.all, route{method, path, who})
	r.mux.HandleFunc(method+" "+path, func(w http.ResponseWriter, req *http.Request) {
		err := r.self.rehome(req)
		if err == nil {
			err = r.self.allow(req.Context(), who, path, req.PathValue)
		}
		if err == nil {
			err = h(w, req)
		}
		if err != nil && !errors.Is(err, errGone) {
			r.self.refuse(w, err)
		}
	})
}

// refuse writes an error that is not huma's business.
func (a *API) refuse(w http.ResponseWriter, err error) {
	p := toAPIError(err)
	if p.status >= http.StatusInternalServerError {
		a.Log.Error("request failed", "error", err)
	}
	writeJSON(w, p.status, p)
}

// Handler returns the whole HTTP side.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Terrace", a.Version)
	config.DocsPath = "" // its page loads scripts from another host
	config.OpenAPIPath = "/api/openapi"
	config.SchemasPath = "/api/schemas"
	config.CreateHooks = nil // no $schema field in answers: the shapes are a contract
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer"}}
	a.routes(&routes{mux: mux, api: humago.New(mux, config), self: a})
	mux.Handle("/state/", StateHandler(a.State, a.stateCaller, a.Log))
	mux.Handle("/api/", http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a.refuse(w, core.Errorf(core.NotFound, "the API has no %s %s; see /api/openapi.yaml", req.Method, req.URL.Path))
	}))
	if a.Pages != nil {
		mux.Handle("/", a.pages())
	}
	return a.logRefused(a.secure(a.identify(mux)))
}

// routes registers every route.
func (a *API) routes(r *routes) {
	a.health(r)
	a.projectRoutes(r)
	a.rolloutRoutes(r)
	a.runRoutes(r)
	a.runnerRoutes(r)
	a.stateRoutes(r)
	a.ownRoutes(r)
	a.inventoryRoutes(r)
	a.hostRoutes(r)
	a.accessRoutes(r)
	a.sandboxRoutes(r)
	a.previewRoutes(r)
	a.moduleRoutes(r)
	a.imageRoutes(r)
	a.rollbackRoutes(r)
	a.exceptionRoutes(r)
	a.replacementRoutes(r)
	a.driftRoutes(r)
	a.verificationRoutes(r)
	a.freezeRoutes(r)
	a.promoteRoutes(r)
	a.parityRoutes(r)
	a.approvalRoutes(r)
	a.guardrailsRoutes(r)
	a.keyRoutes(r)
	a.hookRoutes(r)
	a.sessionRoutes(r)
}

func (a *API) health(r *routes) {
	type health struct {
		Body struct {
			OK      bool   `json:"ok"`
			Version string `json:"version"`
		}
	}
	add(r, forAll, http.MethodGet, "/api/v1/health", "health", "Whether the server answers", func(ctx context.Context, _ *struct{}) (*health, error) {
		out := &health{}
		out.Body.OK, out.Body.Version = true, a.Version
		return out, a.Store.View(ctx, func(core.Tx) error { return nil })
	})
}

// logRefused writes one line for each refused request.
func (a *API) logRefused(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		started := time.Now()
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, req)
		if rec.status >= 400 && rec.status < 500 && !strings.HasPrefix(req.URL.Path, "/state/") {
			a.Log.Info("refused", "method", req.Method, "path", req.URL.EscapedPath(), "status", rec.status, "from", req.RemoteAddr, "took", time.Since(started).Round(time.Millisecond))
		}
	})
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection, for streams.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// secure sets the headers that every answer has.
func (a *API) secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		next.ServeHTTP(w, req)
	})
}
