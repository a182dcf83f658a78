package runner

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// gate is how an apply waits for its own new hosts. A provisioner of the stack's code
// (`terrace provision`, in a local-exec) asks on loopback that Ansible makes ready what the
// apply has created so far; the engine goes on, to the load balancer and then to what the
// new hosts replace, when it has. The engine's graph is the order, and its failure the
// stop: docs/how-to/zero-downtime.md.
type gate struct {
	attempt  *attempt
	listener net.Listener
	server   *http.Server
	serving  sync.WaitGroup
	password string
	bin      string // a folder with this program, for PATH

	mu       sync.Mutex // one at a time
	applying bool
}

// gateLimit bounds what a provisioner may say, in bytes.
const gateLimit = 8 << 20

func (a *attempt) openGate() (*gate, error) {
	listener, err := (&net.ListenConfig{}).Listen(a.report, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "the runner cannot listen on loopback for provisioners: %w", err)
	}
	g := &gate{attempt: a, listener: listener, password: rand.Text(), bin: filepath.Join(a.temp(), "bin")}
	a.mask.Add(g.password)
	if err := g.link(); err != nil {
		_ = listener.Close() // there is nothing to serve
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /provision", g.serve)
	g.server = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return a.work }}
	g.serving.Go(func() { _ = g.server.Serve(listener) }) // until close
	return g, nil
}

// link lets code of the run call this very program by its name.
func (g *gate) link() error {
	program, err := os.Executable()
	if err != nil {
		return core.Errorf(core.Unavailable, "the runner does not find its own program: %w", err)
	}
	if err := os.MkdirAll(g.bin, 0o700); err != nil {
		return core.Errorf(core.Unavailable, "no folder for programs: %w", err)
	}
	link := filepath.Join(g.bin, "terrace")
	_ = os.Remove(link) // of an attempt before
	if err := os.Symlink(program, link); err != nil {
		return core.Errorf(core.Unavailable, "the runner's program cannot be given to provisioners: %w", err)
	}
	return nil
}

// environment adds what `terrace provision` needs to that of the engine.
func (g *gate) environment(env []string) []string {
	out := make([]string, 0, len(env)+2)
	for _, v := range env {
		if path, ok := strings.CutPrefix(v, "PATH="); ok {
			v = "PATH=" + path + string(os.PathListSeparator) + g.bin
		}
		out = append(out, v)
	}
	return append(out, wire.GateURL+"=http://"+g.listener.Addr().String(), wire.GateToken+"="+g.password)
}

func (g *gate) close() error {
	err := g.server.Close()
	g.serving.Wait()
	return err
}

// open says whether the apply is under way: at no other time there is anything to wait for.
func (g *gate) open(applying bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.applying = applying
}

func (g *gate) serve(w http.ResponseWriter, req *http.Request) {
	if subtle.ConstantTimeCompare([]byte(req.Header.Get("Authorization")), []byte("Bearer "+g.password)) != 1 {
		http.Error(w, "this is for provisioners of one run", http.StatusUnauthorized)
		return
	}
	var during wire.During
	if err := json.NewDecoder(io.LimitReader(req.Body, gateLimit)).Decode(&during); err != nil {
		http.Error(w, "the outputs cannot be read: "+err.Error(), http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.applying {
		http.Error(w, "the engine is not applying now; there is nothing to provision", http.StatusConflict)
		return
	}
	if err := g.attempt.during(during); err != nil {
		http.Error(w, g.attempt.mask.String(core.MessageOf(err)), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// during provisions in the middle of the apply.
func (a *attempt) during(during wire.During) error {
	after, err := a.api.During(a.work, a.Run, during)
	if err != nil {
		return err
	}
	a.mask.Add(after.Mask...)
	if after.Provision == nil {
		a.say("all hosts are as the release wants them already")
		return nil
	}
	report, err := a.provision(*after.Provision)
	if err != nil {
		return err
	}
	_, err = a.api.Provisioned(a.report, a.Run, report)
	return err
}
