package testkit

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Proxy passes TCP connections on to a server, until it is told to break them: what a
// network, or a server's end, does to those who talk to it.
type Proxy struct {
	t      testing.TB
	listen *net.TCPListener
	work   sync.WaitGroup

	mu     sync.Mutex
	target string
	mode   proxyMode
	conns  map[net.Conn]bool
	faults []*fault
}

type proxyMode int

const (
	passing proxyMode = iota
	cut
	stalled
)

// fault is what happens to the next request that begins with request.
type fault struct {
	request string
	forward bool // the server gets it; its reply is dropped
	done    chan struct{}
}

// NewProxy listens on a loopback port of its own for a server at target, as
// "127.0.0.1:8750". It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{t: t, listen: l, target: target, conns: map[net.Conn]bool{}}
	p.work.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.breakAll(cut)
		p.work.Wait()
	})
	return p
}

// Addr is where the proxy listens; it never changes.
func (p *Proxy) Addr() string { return p.listen.Addr().String() }

// URL is Addr as a URL.
func (p *Proxy) URL() string { return "http://" + p.Addr() }

// Target sends new connections to another address: the server was started again.
func (p *Proxy) Target(addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = addr
}

// Cut resets every connection, and each new one, until Restore.
func (p *Proxy) Cut() { p.breakAll(cut) }

// Stall accepts connections and answers nothing, as a network does that loses every
// packet. Requests under way get no answer any more either. Until Restore.
func (p *Proxy) Stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mode = stalled
}

// Restore lets new connections through. Stalled ones are reset.
func (p *Proxy) Restore() { p.breakAll(passing) }

// DropReply lets the server have the next request that begins with request (as "POST
// /state/") and cuts the connection when it answers. The channel is closed when that
// has happened.
func (p *Proxy) DropReply(request string) <-chan struct{} { return p.fail(request, true) }

// DropRequest cuts the connection on which the next such request comes, before the
// server sees any of it.
func (p *Proxy) DropRequest(request string) <-chan struct{} { return p.fail(request, false) }

func (p *Proxy) fail(request string, forward bool) <-chan struct{} {
	f := &fault{request: request, forward: forward, done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, f)
	return f.done
}

func (p *Proxy) breakAll(mode proxyMode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.mode
	p.mode = mode
	if mode == passing && was == passing {
		return
	}
	for c := range p.conns {
		reset(c)
	}
}

// reset closes a connection the hard way: what is under way is lost.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // it is closed either way
	}
	_ = c.Close()
}

func (p *Proxy) accept() {
	for {
		client, err := p.listen.Accept()
		if err != nil {
			if !errors.Is(err, net.ErrClosed) {
				p.t.Errorf("the proxy stopped accepting: %v", err)
			}
			return
		}
		p.work.Go(func() { p.serve(client) })
	}
}

// hold notes an open connection, so that it can be broken; false when it is not to be.
func (p *Proxy) hold(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mode == cut {
		reset(c)
		return false
	}
	p.conns[c] = true
	return true
}

func (p *Proxy) drop(c net.Conn) {
	reset(c)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

func (p *Proxy) serve(client net.Conn) {
	if !p.hold(client) {
		return
	}
	defer p.drop(client)
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return // there is no server: the client's connection is reset
	}
	if !p.hold(server) {
		return
	}
	defer p.drop(server)
	link := &link{proxy: p, client: client, server: server, fresh: true}
	done := make(chan struct{})
	go func() {
		defer close(done)
		link.answers()
		reset(client)
	}()
	link.requests()
	reset(server)
	<-done
}

// link is one connection through the proxy.
type link struct {
	proxy          *Proxy
	client, server net.Conn

	mu    sync.Mutex
	fresh bool   // what comes next from the client begins a request
	fault *fault // the reply that comes next is dropped
}

// requests passes on what the client sends.
func (l *link) requests() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := l.client.Read(buffer)
		if n > 0 && !l.pass(buffer[:n]) {
			return
		}
		if err != nil {
			return
		}
	}
}

func (l *link) pass(data []byte) bool {
	l.mu.Lock()
	if l.fresh {
		l.fresh = false
		l.fault = l.proxy.faultFor(string(data))
	}
	f := l.fault
	l.mu.Unlock()
	if l.proxy.stalls() {
		return l.swallow(l.client)
	}
	if f != nil && !f.forward {
		close(f.done)
		return false
	}
	_, err := l.server.Write(data)
	return err == nil
}

// answers passes on what the server sends.
func (l *link) answers() {
	buffer := make([]byte, 64<<10)
	for {
		n, err := l.server.Read(buffer)
		if n > 0 {
			l.mu.Lock()
			l.fresh = true
			f := l.fault
			l.mu.Unlock()
			if l.proxy.stalls() {
				l.swallow(l.server)
				return
			}
			if f != nil {
				reset(l.client)
				close(f.done)
				return
			}
			if _, err := l.client.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// swallow reads and forgets until the connection is broken.
func (l *link) swallow(from io.Reader) bool {
	_, _ = io.Copy(io.Discard, from)
	return false
}

func (p *Proxy) stalls() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode == stalled
}

// faultFor takes the fault that is meant for a request, if there is one.
func (p *Proxy) faultFor(request string) *fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, f := range p.faults {
		if strings.HasPrefix(request, f.request) {
			p.faults = append(p.faults[:i:i], p.faults[i+1:]...)
			return f
		}
	}
	return nil
}
