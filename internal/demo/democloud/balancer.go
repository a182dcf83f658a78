package democloud

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"sync"
	"time"
)

// balancer is a running load balancer. It gives requests to its healthy backends in
// turn; one that can't be connected to, or that breaks off before it answers, is left out
// at once, and the request goes to the next one if that does no harm.
type balancer struct {
	http      *http.Server
	transport *http.Transport
	served    sync.WaitGroup
	cancel    context.CancelFunc

	mu       sync.Mutex
	path     string
	backends []backend
	next     int
}

type backend struct {
	addr    string
	healthy bool
}

var errNoBackend = errors.New("no healthy server")

func newBalancer(ln net.Listener, healthPath string, every time.Duration) *balancer {
	b := &balancer{
		path: healthPath,
		// Connections are not kept: on loopback they cost nothing, and a kept one
		// to a server that is gone would cost a request.
		transport: &http.Transport{DisableKeepAlives: true},
	}
	proxy := &httputil.ReverseProxy{
		Transport: b,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetXForwarded()
			r.Out.URL.Scheme = "http"
			r.Out.Host = r.In.Host
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			if errors.Is(err, errNoBackend) {
				http.Error(w, "The load balancer has no healthy server.", http.StatusServiceUnavailable)
				return
			}
			http.Error(w, "The load balancer got no answer from its server.", http.StatusBadGateway)
		},
	}
	b.http = &http.Server{Handler: proxy, ReadHeaderTimeout: 10 * time.Second}
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.served.Go(func() { _ = b.http.Serve(ln) }) // ends with close, says nothing else
	b.served.Go(func() { b.watch(ctx, every) })
	return b
}

func (b *balancer) close() {
	b.cancel()
	_ = b.http.Close() // the port is free either way
	b.served.Wait()
}

func (b *balancer) setHealthPath(path string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.path = path
}

// setBackends keeps what is known of those that stay; new ones have to prove themselves.
func (b *balancer) setBackends(addrs []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var now []backend
	for _, addr := range addrs {
		i := slices.IndexFunc(b.backends, func(old backend) bool { return old.addr == addr })
		now = append(now, backend{addr: addr, healthy: i >= 0 && b.backends[i].healthy})
	}
	b.backends = now
}

func (b *balancer) watch(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			b.look(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// look asks every backend for the health path.
func (b *balancer) look(ctx context.Context) {
	b.mu.Lock()
	path, backends := b.path, slices.Clone(b.backends)
	b.mu.Unlock()
	var asked sync.WaitGroup
	for _, be := range backends {
		asked.Go(func() { b.mark(be.addr, b.probe(ctx, be.addr, path)) })
	}
	asked.Wait()
}

func (b *balancer) probe(ctx context.Context, addr, path string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return false
	}
	resp, err := b.transport.RoundTrip(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // only the status counts
	return resp.StatusCode == http.StatusOK
}

func (b *balancer) mark(addr string, healthy bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.backends {
		if b.backends[i].addr == addr {
			b.backends[i].healthy = healthy
		}
	}
}

// pick returns the next healthy backend, "" when there is none.
func (b *balancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range b.backends {
		be := b.backends[b.next%len(b.backends)]
		b.next = (b.next + 1) % len(b.backends)
		if be.healthy {
			return be.addr
		}
	}
	return ""
}

// RoundTrip sends a request to a healthy backend. When none is known to be, it looks
// at all of them first, so that a server counts from the moment it answers.
func (b *balancer) RoundTrip(req *http.Request) (*http.Response, error) {
	body := req.Body
	if body != nil {
		defer func() { _ = body.Close() }() // RoundTrip has to, whatever happens
	}
	looked := false
	for {
		addr := b.pick()
		if addr == "" && looked {
			return nil, errNoBackend
		}
		if addr == "" {
			looked = true
			b.look(req.Context())
			continue
		}
		try := req.Clone(req.Context())
		try.URL.Host = addr
		if body != nil {
			try.Body = io.NopCloser(body) // a failed connection closes it, unread
		}
		resp, err := b.transport.RoundTrip(try)
		if err == nil || req.Context().Err() != nil || !again(req, err) {
			return resp, err
		}
		b.mark(addr, false)
	}
}

// again says whether a request whose server gave no answer may go to another one: when
// nothing of it was sent, or when asking twice does no more than asking once. It is what
// nginx does (proxy_next_upstream, whose default is error and timeout).
func again(req *http.Request, err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return true
	}
	return req.Method == http.MethodGet || req.Method == http.MethodHead
}
