package democloud

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// listenFor opens the port of a server or load balancer: the one it had before, or a
// free one when it is new or somebody else took it. nil for other types.
func (c *Cloud) listenFor(r Resource) (net.Listener, error) {
	if r.Type != Server && r.Type != LoadBalancer {
		return nil, nil
	}
	if r.Address != "" {
		if ln, err := net.Listen("tcp", r.Address); err == nil {
			return ln, nil
		}
	}
	return net.Listen("tcp", "127.0.0.1:0")
}

// machine is a running server: it serves its folder and says in each answer who it is.
type machine struct {
	http   *http.Server
	root   *os.Root // keeps links in the folder from leading out of it
	name   atomic.Pointer[Resource]
	served sync.WaitGroup
}

func newMachine(ln net.Listener, folder string, r Resource) (*machine, error) {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return nil, err
	}
	m := &machine{root: root}
	m.name.Store(&r)
	files := http.FileServerFS(root.FS())
	m.http = &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			r := m.name.Load()
			w.Header().Set("Democloud-Server", r.Name)
			w.Header().Set("Democloud-Image", r.Spec.Image)
			w.Header().Set("Cache-Control", "no-store")
			if page := path.Join(path.Clean("/" + req.URL.Path)[1:], "index.html"); strings.HasSuffix(req.URL.Path, "/") && !isFile(root, page) {
				// A list of files is no site; nginx says the same.
				http.Error(w, "403 Forbidden: there is no index.html", http.StatusForbidden)
				return
			}
			files.ServeHTTP(w, req)
		}),
	}
	m.served.Go(func() { _ = m.http.Serve(ln) }) // ends with close, says nothing else
	return m, nil
}

func isFile(root *os.Root, name string) bool {
	info, err := root.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

func (m *machine) rename(r Resource) { m.name.Store(&r) }

// close ends the server at once, as pulling the plug does.
func (m *machine) close() {
	_ = errors.Join(m.http.Close(), m.root.Close()) // the port is free either way
	m.served.Wait()
}
