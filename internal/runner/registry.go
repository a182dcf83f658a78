package runner

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/step/engine"
	"github.com/terrace-cd/terrace/internal/wire"
)

// registry is the module registry that the engine sees, on loopback. It has the versions
// that the release got and no others, so the engine takes what the input digest is of,
// whatever was published since. Archives come from the server with the run's token, which
// the engine never has: its path is all it takes, and all that it is good for is these.
type registry struct {
	has      wire.Registry
	fetch    func(ctx context.Context, module, version string) (wire.ModuleArchive, error)
	path     string
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup

	mu      sync.Mutex
	fetched map[wire.RegistryModule]wire.ModuleArchive
}

func openRegistry(ctx context.Context, has wire.Registry, fetch func(ctx context.Context, module, version string) (wire.ModuleArchive, error)) (*registry, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "the runner cannot listen on loopback for modules: %w", err)
	}
	r := &registry{has: has, fetch: fetch, path: rand.Text(), listener: listener, fetched: map[wire.RegistryModule]wire.ModuleArchive{}}
	mux := http.NewServeMux()
	const one = "/{path}/{namespace}/{name}/{system}"
	mux.HandleFunc("GET "+one+"/versions", r.route(r.versions))
	mux.HandleFunc("GET "+one+"/{version}/download", r.route(r.download))
	mux.HandleFunc("GET "+one+"/{version}/module.tar.gz", r.route(r.archive))
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	r.serving.Go(func() { _ = r.server.Serve(listener) }) // until close
	return r, nil
}

// url is where the engine finds the registry.
func (r *registry) url() string { return "http://" + r.listener.Addr().String() + "/" + r.path + "/" }

func (r *registry) close() error {
	err := r.server.Close()
	r.serving.Wait()
	return err
}

func (r *registry) route(f func(http.ResponseWriter, *http.Request, wire.RegistryModule)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		if subtle.ConstantTimeCompare([]byte(req.PathValue("path")), []byte(r.path)) != 1 {
			http.Error(w, "this registry is for the engine of one run", http.StatusForbidden)
			return
		}
		module := req.PathValue("namespace") + "/" + req.PathValue("name") + "/" + req.PathValue("system")
		f(w, req, wire.RegistryModule{Module: module, Version: req.PathValue("version")})
	}
}

func (r *registry) versions(w http.ResponseWriter, _ *http.Request, of wire.RegistryModule) {
	type version struct {
		Version string `json:"version"`
	}
	type listed struct {
		Versions []version `json:"versions"`
	}
	var answer struct {
		Modules []listed `json:"modules"`
	}
	all := listed{Versions: []version{}}
	for _, m := range r.has.Modules {
		if m.Module == of.Module {
			all.Versions = append(all.Versions, version{m.Version})
		}
	}
	answer.Modules = append(answer.Modules, all)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // the engine is gone; there is nobody to tell
}

func (r *registry) download(w http.ResponseWriter, req *http.Request, of wire.RegistryModule) {
	a, ok := r.get(w, req, of)
	if !ok {
		return
	}
	location := "./module.tar.gz"
	if a.Folder != "" {
		location += "//" + a.Folder
	}
	w.Header().Set("X-Terraform-Get", location)
	w.WriteHeader(http.StatusNoContent)
}

func (r *registry) archive(w http.ResponseWriter, req *http.Request, of wire.RegistryModule) {
	a, ok := r.get(w, req, of)
	if !ok {
		return
	}
	w.Header().Set("Content-Type", "application/gzip")
	w.Header().Set("Content-Length", strconv.Itoa(len(a.Archive)))
	_, _ = w.Write(a.Archive) // the engine is gone; there is nobody to tell
}

// get fetches a version once for the attempt.
func (r *registry) get(w http.ResponseWriter, req *http.Request, of wire.RegistryModule) (wire.ModuleArchive, bool) {
	if !slices.Contains(r.has.Modules, of) {
		http.Error(w, "the release did not get this version", http.StatusNotFound)
		return wire.ModuleArchive{}, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.fetched[of]
	if !ok {
		var err error
		if a, err = r.fetch(req.Context(), of.Module, of.Version); err != nil {
			http.Error(w, "version "+of.Version+" of the module "+of.Module+" cannot be had: "+core.MessageOf(err), http.StatusBadRequest)
			return wire.ModuleArchive{}, false
		}
		r.fetched[of] = a
	}
	return a, true
}

// openModules starts the registry of this attempt, when its stack uses one.
func (a *attempt) openModules() (*engine.Registry, error) {
	if a.job.Modules == nil {
		return nil, nil
	}
	var err error
	if a.registry, err = openRegistry(a.work, *a.job.Modules, func(ctx context.Context, module, version string) (wire.ModuleArchive, error) {
		return a.api.RunModule(ctx, a.Run, module, version)
	}); err != nil {
		return nil, err
	}
	a.mask.Add(a.registry.path)
	out := &engine.Registry{Host: a.job.Modules.Host, URL: a.registry.url(), Versions: map[string][]string{}}
	for _, m := range a.job.Modules.Modules {
		out.Versions[m.Module] = append(out.Versions[m.Module], m.Version)
	}
	return out, nil
}
