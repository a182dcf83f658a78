package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/access"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/state"
)

// sessionCookie carries a person's token to the pages.
const sessionCookie = "terrace_session"

// sessionLife is how long a browser keeps it.
const sessionLife = 30 * 24 * time.Hour

type identityKey struct{}

// known is what identify found out about a request.
type known struct {
	identity access.Identity
	err      error
	// person is false for a run's token.
	person bool
	path   string
}

// secretOf takes the token from a request: Bearer, Basic (any user, the token as the
// password, as the state protocol's clients send it) or, for pages, the cookie.
func secretOf(req *http.Request) (secret string, cookie bool) {
	header := req.Header.Get("Authorization")
	if bearer, ok := strings.CutPrefix(header, "Bearer "); ok {
		return strings.TrimSpace(bearer), false
	}
	if _, password, ok := req.BasicAuth(); ok {
		return password, false
	}
	if c, err := req.Cookie(sessionCookie); err == nil {
		return c.Value, true
	}
	return "", false
}

// identify finds out who asks. Whether that suffices is each route's decision.
func (a *API) identify(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		secret, cookie := secretOf(req)
		k := known{path: req.URL.Path}
		if cookie && req.Method != http.MethodGet && req.Method != http.MethodHead && !sameOrigin(req) {
			k.err = core.Errorf(core.Denied, "a request from another site is refused")
		} else {
			k.identity, k.err = a.Access.Identify(req.Context(), secret)
		}
		k.person = k.err == nil && k.identity.Token.Kind == core.TokenPerson
		next.ServeHTTP(w, req.WithContext(context.WithValue(req.Context(), identityKey{}, k)))
	})
}

// sameOrigin reports whether a browser sent the request from one of our own pages.
func sameOrigin(req *http.Request) bool {
	if site := req.Header.Get("Sec-Fetch-Site"); site != "" {
		return site == "same-origin" || site == "none"
	}
	origin, err := url.Parse(req.Header.Get("Origin"))
	return err == nil && origin.Host != "" && origin.Host == req.Host
}

func identified(ctx context.Context) known {
	k, _ := ctx.Value(identityKey{}).(known)
	return k
}

// by names the caller for events.
func by(ctx context.Context) string { return identified(ctx).identity.Name() }

// allow decides whether the caller may use a route. Param tells the names in its path.
func (a *API) allow(ctx context.Context, who permission, pattern string, param func(string) string) error {
	if who == forAll {
		return nil
	}
	k := identified(ctx)
	if k.err != nil {
		return k.err
	}
	token := k.identity.Token
	switch {
	case who != forRunners && k.person:
		at, err := a.where(ctx, pattern, param)
		if err != nil {
			return err
		}
		return a.permits(ctx, k.identity, core.Role(who), at)
	case who == forRunners && token.Kind == core.TokenRun && strings.HasPrefix(k.path, "/api/v1/runs/"+token.Run+"/"):
		return nil
	case token.Kind == core.TokenRun:
		return core.Errorf(core.Denied, "a run's token is good for its own run alone")
	}
	return core.Errorf(core.Denied, "only the run's own token may do this")
}

// runner returns the run token behind a runner's request.
func runner(ctx context.Context) runs.Caller {
	token := identified(ctx).identity.Token
	return runs.Caller{Run: token.Run, Fence: token.Fence}
}

// stateCaller says who speaks the state protocol. A whole state has secrets in it, so to read
// it takes a developer, and to write it an operator, of the environment.
func (a *API) stateCaller(req *http.Request) (state.Caller, error) {
	k := identified(req.Context())
	if k.err != nil {
		return state.Caller{}, k.err
	}
	token := k.identity.Token
	if k.person {
		at := place{req.PathValue("project"), req.PathValue("environment")}
		mayWrite := a.permits(req.Context(), k.identity, core.RoleOperator, at) == nil
		return state.Caller{By: k.identity.Name(), Person: true, CanWrite: mayWrite}, a.permits(req.Context(), k.identity, core.RoleDeveloper, at)
	}
	return state.Caller{Run: token.Run, Fence: token.Fence, CanWrite: true, By: k.identity.Name()}, nil
}

// sessionRoutes let a browser in and out.
func (a *API) sessionRoutes(r *routes) {
	r.raw(forAll, http.MethodPost, "/login", func(w http.ResponseWriter, req *http.Request) error {
		req.Body = http.MaxBytesReader(w, req.Body, 4<<10)
		if !sameOrigin(req) {
			return core.Errorf(core.Denied, "a login from another site is refused")
		}
		secret := strings.TrimSpace(req.PostFormValue("token"))
		_, err := a.Access.Identify(req.Context(), secret)
		if core.CodeOf(err) == core.Unauthenticated {
			http.Redirect(w, req, "/login?failed=1", http.StatusSeeOther)
			return nil
		}
		if err != nil {
			return err
		}
		setSession(w, req, secret, int(sessionLife.Seconds()))
		next := req.PostFormValue("next")
		if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.Contains(next, "\\") {
			next = "/"
		}
		http.Redirect(w, req, next, http.StatusSeeOther)
		return nil
	})
	r.raw(forAll, http.MethodPost, "/logout", func(w http.ResponseWriter, req *http.Request) error {
		setSession(w, req, "", -1)
		http.Redirect(w, req, "/login", http.StatusSeeOther)
		return nil
	})
	r.raw(forAll, http.MethodGet, "/enter/{code}", func(w http.ResponseWriter, req *http.Request) error {
		secret, ok := a.Access.Redeem(req.PathValue("code"))
		if !ok {
			http.Redirect(w, req, "/login", http.StatusSeeOther)
			return nil
		}
		setSession(w, req, secret, int(sessionLife.Seconds()))
		http.Redirect(w, req, "/", http.StatusSeeOther)
		return nil
	})
}

func setSession(w http.ResponseWriter, req *http.Request, value string, age int) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, Secure: req.TLS != nil})
}

// pages shows the web pages to people who are logged in; everybody else is asked to.
func (a *API) pages() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		k := identified(req.Context())
		open := req.URL.Path == "/login" || strings.HasPrefix(req.URL.Path, "/assets/") || req.URL.Path == "/favicon.ico"
		if !open && !k.person {
			if req.Method != http.MethodGet {
				err := k.err
				if err == nil {
					err = core.Errorf(core.Denied, "a run's token is good for its own run alone")
				}
				a.refuse(w, err)
				return
			}
			http.Redirect(w, req, "/login?next="+url.QueryEscape(req.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		a.Pages.ServeHTTP(w, req)
	})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client is gone; there is nobody to tell
}
