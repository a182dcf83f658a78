package faults

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the state protocol's digest
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// door stands between runners and the server. It passes requests on, one by one, notes
// what the server acknowledged, and lets a test interfere.
type door struct {
	url       string
	server    func() string
	transport *http.Transport

	mu     sync.Mutex
	shut   bool
	open   map[net.Conn]bool
	before func(*passing) // see meddle
	after  func(*passing)
	acks   []ack
}

// passing is a request on its way. In before, answer can be set, which the server then
// never sees it; in after it is the server's. drop breaks the connection instead of answering.
type passing struct {
	method, path, query string
	body                []byte
	answer              *answer
	drop                bool
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

// ack is a state that the server said it has.
type ack struct {
	instance string
	stateFile
	md5 string
}

func newDoor(t testing.TB, server func() string) *door {
	t.Helper()
	d := &door{server: server, transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}, open: map[net.Conn]bool{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.url = "http://" + listener.Addr().String()
	s := &http.Server{Handler: d, ReadHeaderTimeout: 10 * time.Second, ErrorLog: log.New(io.Discard, "", 0), ConnState: d.note}
	go func() { _ = s.Serve(listener) }() // ends with Close
	t.Cleanup(func() {
		_ = s.Close() // what is under way is the runners'
		d.transport.CloseIdleConnections()
	})
	return d
}

// note keeps the open connections, and while the door is shut, closes new ones.
func (d *door) note(c net.Conn, state http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch state {
	case http.StateNew:
		d.open[c] = true
		if d.shut {
			_ = c.Close() // that is the point
		}
	case http.StateClosed, http.StateHijacked:
		delete(d.open, c)
	}
}

// cut separates runners and server: what is open breaks, and nothing gets through
// until mend.
func (d *door) cut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = true
	for c := range d.open {
		_ = c.Close() // that is the point
	}
}

func (d *door) mend() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.shut = false
}

// meddle calls before with every request ahead of the server and after with its answer;
// nil for neither. They may wait, and kill. They are called by many goroutines at once.
func (d *door) meddle(before, after func(*passing)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.before, d.after = before, after
}

func (d *door) acknowledged() []ack {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]ack(nil), d.acks...)
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	before, after := d.before, d.after
	d.mu.Unlock()
	p := &passing{method: r.Method, path: r.URL.Path, query: r.URL.RawQuery}
	var err error
	if p.body, err = io.ReadAll(r.Body); err != nil {
		panic(http.ErrAbortHandler) // the runner is gone
	}
	if before != nil {
		before(p)
	}
	if p.answer == nil && !p.drop {
		if p.answer, err = d.pass(r, p.body); err != nil {
			panic(http.ErrAbortHandler) // to the runner, nobody is there
		}
		d.remember(p)
		if after != nil {
			after(p)
		}
	}
	if p.drop {
		panic(http.ErrAbortHandler)
	}
	for name, values := range p.answer.header {
		w.Header()[name] = values
	}
	w.WriteHeader(p.answer.status)
	_, _ = w.Write(p.answer.body) // the runner may be gone
}

// pass sends a request to the server. It is not tried twice.
func (d *door) pass(r *http.Request, body []byte) (*answer, error) {
	// What is on its way arrives, also when the runner is gone.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, d.server()+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = r.Header.Clone()
	resp, err := d.transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	return &answer{status: resp.StatusCode, header: resp.Header, body: text}, nil
}

// remember notes an acknowledged state.
func (d *door) remember(p *passing) {
	instance, ok := p.writesState()
	if !ok || p.answer.status/100 != 2 {
		return
	}
	a := ack{instance: instance, md5: digest(p.body)}
	if json.Unmarshal(p.body, &a.stateFile) != nil {
		return // the oracle sees what was stored
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.acks = append(d.acks, a)
}

// state is the instance whose state a request is about.
func (p *passing) state() (instance string, ok bool) {
	parts := strings.Split(strings.TrimPrefix(p.path, "/"), "/")
	if len(parts) < 4 || parts[0] != "state" {
		return "", false
	}
	return parts[3] + "@" + parts[2], true
}

// writesState tells a state's upload from everything else.
func (p *passing) writesState() (instance string, ok bool) {
	instance, ok = p.state()
	return instance, ok && p.method == http.MethodPost && strings.Contains(p.query, "ID=")
}

func digest(body []byte) string {
	sum := md5.Sum(body) //nolint:gosec // the state protocol's digest
	return hex.EncodeToString(sum[:])
}
