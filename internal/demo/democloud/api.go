package democloud

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Headers in which a provider says on whose behalf it works.
const (
	RunHeader   = "Terrace-Run"
	FenceHeader = "Terrace-Fence"
)

const maxBody = 1 << 20

// want is the body of a create and of an update.
type want struct {
	Name string `json:"name"`
	Spec Spec   `json:"spec"`
	// Latency overrides the cloud's own; only for create.
	Latency *Duration `json:"latency,omitempty"`
}

// problem is the body of every answer that is an error.
type problem struct {
	Code    core.Code `json:"code"`
	Message string    `json:"message"`
}

// answer is the value of Record in /resolve.
type answer struct {
	Name    string   `json:"name"`
	Records []Record `json:"records"`
}

// Record is a DNS record as /resolve tells it.
type Record struct {
	Tenant string `json:"tenant"`
	Type   string `json:"type"`
	Value  string `json:"value"`
	TTL    int64  `json:"ttl"`
}

func (c *Cloud) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(*http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			v, err := f(r)
			respond(w, v, err)
		})
	}
	mux.HandleFunc("GET /{$}", c.page)
	handle("GET /healthz", func(*http.Request) (any, error) { return struct{}{}, nil })
	handle("GET /resolve", c.serveResolve)
	handle("GET /v1/resources", func(r *http.Request) (any, error) {
		return c.list(r.FormValue("tenant"), Type(r.FormValue("type"))), nil
	})
	handle("POST /v1/{tenant}/{type}", c.serveCreate)
	handle("GET /v1/{tenant}/{type}/{id}", c.serveGet)
	handle("PUT /v1/{tenant}/{type}/{id}", c.serveUpdate)
	handle("DELETE /v1/{tenant}/{type}/{id}", c.serveDelete)
	handle("POST /v1/{tenant}/server/{id}/stop", func(r *http.Request) (any, error) { return c.servePower(r, Stop) })
	handle("POST /v1/{tenant}/server/{id}/start", func(r *http.Request) (any, error) { return c.servePower(r, Start) })
	handle("GET /faults", func(*http.Request) (any, error) { return c.faults.list(), nil })
	handle("POST /faults", func(r *http.Request) (any, error) {
		var f Fault
		if err := decode(r, &f); err != nil {
			return nil, err
		}
		return c.faults.add(f)
	})
	handle("DELETE /faults", func(*http.Request) (any, error) { return struct{}{}, c.faults.remove("") })
	handle("DELETE /faults/{id}", func(r *http.Request) (any, error) { return struct{}{}, c.faults.remove(r.PathValue("id")) })
	handle("GET /journal", c.serveJournal)
	return localOnly(mux)
}

// localOnly keeps web pages away that a browser on this machine shows: those that
// reach the port under another host's name, and, with decode, those that post forms.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
		if host != "localhost" && (err != nil || !ip.IsLoopback()) {
			respond(w, nil, core.Errorf(core.Denied, "democloud answers to loopback names only, not to %q", r.Host))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (c *Cloud) serveCreate(r *http.Request) (any, error) {
	var body want
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	latency := c.opts.Latency
	if body.Latency != nil {
		latency = time.Duration(*body.Latency)
	}
	tenant, t := r.PathValue("tenant"), Type(r.PathValue("type"))
	var made Resource
	err := c.around(r.Context(), Create, t, tenant, body.Name, func() (err error) {
		made, err = c.create(caller(r), tenant, t, body.Name, body.Spec, latency)
		return err
	})
	return made, err
}

func (c *Cloud) serveGet(r *http.Request) (any, error) {
	return c.withExisting(r, Read, func(ctx context.Context, old Resource) (any, error) {
		return c.get(ctx, old.Tenant, old.Type, old.ID, r.FormValue("wait") == "ready")
	})
}

func (c *Cloud) serveUpdate(r *http.Request) (any, error) {
	var body want
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	return c.withExisting(r, Update, func(_ context.Context, old Resource) (any, error) {
		return c.update(caller(r), old.Tenant, old.Type, old.ID, body.Name, body.Spec)
	})
}

func (c *Cloud) serveDelete(r *http.Request) (any, error) {
	return c.withExisting(r, Delete, func(_ context.Context, old Resource) (any, error) {
		return struct{}{}, c.remove(caller(r), old.Tenant, old.Type, old.ID)
	})
}

func (c *Cloud) servePower(r *http.Request, op Operation) (any, error) {
	r.SetPathValue("type", string(Server))
	return c.withExisting(r, op, func(_ context.Context, old Resource) (any, error) {
		return c.setPower(caller(r), old.Tenant, old.ID, op)
	})
}

// withExisting carries out an operation on the resource that the path names, through
// the fault that fits it.
func (c *Cloud) withExisting(r *http.Request, op Operation, do func(context.Context, Resource) (any, error)) (any, error) {
	ctx := r.Context()
	old, err := c.get(ctx, r.PathValue("tenant"), Type(r.PathValue("type")), r.PathValue("id"), false)
	if err != nil {
		return nil, err
	}
	var v any
	err = c.around(ctx, op, old.Type, old.Tenant, old.Name, func() (err error) {
		v, err = do(ctx, old)
		return err
	})
	return v, err
}

// serveResolve answers for one tenant, or for all when none is named.
func (c *Cloud) serveResolve(r *http.Request) (any, error) {
	name := r.FormValue("name")
	if name == "" {
		return nil, core.Errorf(core.Invalid, "say which name to resolve: /resolve?name=www.example")
	}
	found := answer{Name: name}
	for _, res := range c.list(r.FormValue("tenant"), DNSRecord) {
		if strings.EqualFold(res.Name, name) && res.State == Ready {
			found.Records = append(found.Records, Record{res.Tenant, res.Spec.RecordType, res.Spec.Value, res.Spec.TTL})
		}
	}
	if found.Records == nil {
		return nil, core.Errorf(core.NotFound, "no DNS record has the name %q", name)
	}
	return found, nil
}

func (c *Cloud) serveJournal(r *http.Request) (any, error) {
	after := int64(0)
	if text := r.FormValue("after"); text != "" {
		var err error
		if after, err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, core.Errorf(core.Invalid, "after=%q is not a number", text)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.journal.entries(after)
}

func caller(r *http.Request) Caller {
	return Caller{Run: r.Header.Get(RunHeader), Fence: r.Header.Get(FenceHeader)}
}

func decode(r *http.Request, v any) error {
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return core.Errorf(core.Invalid, "the body has to be JSON: send it with Content-Type: application/json")
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return core.Errorf(core.Invalid, "the body is not what is expected here: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return core.Errorf(core.Invalid, "the body goes on after its end")
	}
	return nil
}

var statusOf = map[core.Code]int{
	core.Invalid: http.StatusBadRequest, core.NotFound: http.StatusNotFound, core.Conflict: http.StatusConflict,
	core.Denied: http.StatusForbidden, core.Unavailable: http.StatusServiceUnavailable, core.Internal: http.StatusInternalServerError,
}

func respond(w http.ResponseWriter, v any, err error) {
	w.Header().Set("Content-Type", "application/json")
	if err != nil {
		code := core.CodeOf(err)
		w.WriteHeader(statusOf[code])
		v = problem{code, core.MessageOf(err)}
	}
	_ = json.NewEncoder(w).Encode(v) // the caller is gone then
}
