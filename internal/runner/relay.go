package runner

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/spool"
)

const (
	// relayTry bounds one try to pass a request on, a large state included.
	relayTry = 2 * time.Minute
	// relayDial bounds making a connection.
	relayDial = 5 * time.Second
	// spoolAfter is how long a write is tried before it is kept here. The pauses between
	// tries grow from relayFirst to relayMost.
	spoolAfter = 2 * time.Second
	relayFirst = 100 * time.Millisecond
	relayMost  = 3 * time.Second
)

// relay is the state backend that the engine sees, on loopback. It passes requests on to
// the server with the run's token, which the engine never has. While the server cannot
// be reached it waits, except with writes: those are kept in the spool, acknowledged when
// they are on disk, and delivered in their order when the server is back. A lock is only
// ever given by the server. What the server says, it says to the engine: a refusal, and
// also an error of its own.
type relay struct {
	address string // of the instance's state at the server
	token   string
	queue   *spool.Queue
	say     func(format string, args ...any)
	client  *http.Client

	ctx      context.Context // ends with the attempt
	stop     context.CancelFunc
	work     sync.WaitGroup
	listener net.Listener
	server   *http.Server
	password string

	mu      sync.Mutex // one request at a time reaches the spool or the server
	locked  bool       // the server gave the engine the lock
	last    *answer    // to GET, as long as the lock keeps it true; nil when it is not known
	changed chan struct{}

	no      sync.Mutex
	refused error // what the server said no to, of what was promised to the engine
}

// answer is the server's to a request.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// startRelay starts listening, until close.
func startRelay(ctx context.Context, address, token string, queue *spool.Queue, say func(string, ...any)) (*relay, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "the runner cannot listen on loopback for its engine: %w", err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = (&net.Dialer{Timeout: relayDial}).DialContext
	r := &relay{address: address, token: token, queue: queue, say: say, client: &http.Client{Transport: transport}, listener: listener, password: rand.Text(), changed: make(chan struct{}, 1)}
	r.ctx, r.stop = context.WithCancel(ctx)
	r.server = &http.Server{Handler: http.HandlerFunc(r.serve), ReadHeaderTimeout: 10 * time.Second, BaseContext: func(net.Listener) context.Context { return r.ctx }}
	r.work.Go(func() { _ = r.server.Serve(listener) }) // until close
	r.work.Go(r.deliver)
	return r, nil
}

// url is where the engine finds the relay.
func (r *relay) url() string { return "http://" + r.listener.Addr().String() + "/state" }

// close ends the relay. What is in the spool stays there.
func (r *relay) close() error {
	r.stop()
	err := r.server.Close()
	r.work.Wait()
	r.client.CloseIdleConnections()
	return err
}

func (r *relay) serve(w http.ResponseWriter, req *http.Request) {
	_, password, _ := req.BasicAuth()
	if subtle.ConstantTimeCompare([]byte(password), []byte(r.password)) != 1 {
		http.Error(w, "this relay is for the engine of one run", http.StatusUnauthorized)
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, "the body could not be read whole: "+err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	a, err := r.handle(req, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	for _, name := range []string{"Content-Type", "Content-MD5", "Cache-Control"} {
		if value := a.header.Get(name); value != "" {
			w.Header().Set(name, value)
		}
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the engine is gone; there is nobody to tell
}

func (r *relay) handle(req *http.Request, body []byte) (answer, error) {
	kept := spool.Entry{Method: req.Method, Lock: req.URL.Query().Get("ID"), MD5: req.Header.Get("Content-MD5"), Body: body}
	switch req.Method {
	case http.MethodPost, "UNLOCK":
		if r.queue.Len() == 0 {
			// Whatever becomes of the engine now: the body is here in full.
			if a, err := r.insist(r.ctx, kept, spoolAfter); err == nil {
				r.note(kept, a)
				return a, nil
			}
			r.say("the server cannot be reached; what the engine stores is kept by the runner until it can")
		}
		if err := r.queue.Push(kept); err != nil {
			return answer{}, fmt.Errorf("the server cannot be reached, and the runner cannot keep the state either: %w", err)
		}
		r.wake()
		a := answer{status: http.StatusOK}
		r.note(kept, a)
		return a, nil
	case http.MethodGet:
		state, ok, err := r.queue.State()
		if err != nil {
			return answer{}, err
		}
		if ok {
			return stateAnswer(state), nil
		}
		if r.last != nil {
			a, err := r.insist(req.Context(), kept, spoolAfter)
			if err != nil && req.Context().Err() == nil {
				return *r.last, nil // nobody else can have written since
			}
			return a, err
		}
	}
	if err := r.empty(req.Context()); err != nil {
		return answer{}, err
	}
	a, err := r.insist(req.Context(), kept, 0)
	if err == nil {
		r.note(kept, a)
	}
	return a, err
}

func stateAnswer(state []byte) answer {
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: state}
}

// note remembers what the state is while the engine holds its lock.
func (r *relay) note(e spool.Entry, a answer) {
	switch {
	case a.status/100 != 2 && a.status != http.StatusNotFound:
	case e.Method == "LOCK":
		r.locked, r.last = true, nil
	case e.Method == http.MethodGet && r.locked:
		r.last = &a
	case e.Method == http.MethodPost && r.locked:
		kept := stateAnswer(e.Body)
		r.last = &kept
	case e.Method == "UNLOCK", e.Method == http.MethodDelete:
		r.locked, r.last = false, nil
	}
}

// insist passes a request on until the server answers, or ctx ends, or, with a limit,
// until it could not be reached for so long.
func (r *relay) insist(ctx context.Context, e spool.Entry, limit time.Duration) (answer, error) {
	began := time.Now()
	for pause := relayFirst; ; pause = min(2*pause, relayMost) {
		a, err := r.once(ctx, e)
		if err == nil {
			return a, nil
		}
		if limit > 0 && time.Since(began) > limit {
			return answer{}, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return answer{}, fmt.Errorf("the server cannot be reached: %w", err)
		}
	}
}

// once is one try. The error says that the server could not be reached; a proxy that
// says so, and a server whose database is away, count as that.
func (r *relay) once(ctx context.Context, e spool.Entry) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, relayTry)
	defer cancel()
	address := r.address
	if e.Lock != "" {
		address += "?ID=" + url.QueryEscape(e.Lock)
	}
	req, err := http.NewRequestWithContext(ctx, e.Method, address, bytes.NewReader(e.Body))
	if err != nil {
		return answer{status: http.StatusBadRequest, body: []byte(err.Error())}, nil
	}
	req.SetBasicAuth("terrace", r.token)
	if len(e.Body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if e.MD5 != "" {
		req.Header.Set("Content-MD5", e.MD5)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, err
	}
	switch resp.StatusCode {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return answer{}, fmt.Errorf("it answers %s: %s", resp.Status, bytes.TrimSpace(body[:min(len(body), 300)]))
	}
	return answer{resp.StatusCode, resp.Header, body}, nil
}

func (r *relay) wake() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// deliver sends what is in the spool, in order.
func (r *relay) deliver() {
	for {
		for pause := relayFirst; r.queue.Len() > 0; {
			more, err := r.deliverFirst()
			if err == nil && more {
				pause = relayFirst
				continue
			}
			select {
			case <-time.After(pause):
			case <-r.ctx.Done():
				return
			}
			pause = min(2*pause, relayMost)
		}
		select {
		case <-r.changed:
		case <-r.ctx.Done():
			return
		}
	}
}

// deliverFirst delivers the oldest entry. The server keeps a well-formed write that it
// refuses in the instance's recovery slot; here it is the reason why the outcome is
// unknown.
func (r *relay) deliverFirst() (delivered bool, err error) {
	e, ok, err := r.queue.First()
	if err != nil || !ok {
		return false, err
	}
	a, err := r.once(r.ctx, e)
	if err != nil {
		return false, err
	}
	if a.status/100 == 5 {
		return false, fmt.Errorf("the server answers %d", a.status)
	}
	if a.status/100 != 2 && e.Method == http.MethodPost {
		r.no.Lock()
		r.refused = errors.Join(r.refused, fmt.Errorf("the server refused a state that reached it late (%d): %s", a.status, bytes.TrimSpace(a.body)))
		r.no.Unlock()
	}
	if err := r.queue.Drop(); err != nil {
		return false, err
	}
	return true, nil
}

// empty waits until everything that was promised is delivered.
func (r *relay) empty(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for r.queue.Len() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		case <-r.ctx.Done():
			return r.ctx.Err()
		}
	}
	return nil
}

// settle waits until the server has every state that the engine stored, and returns what
// it refused of it.
func (r *relay) settle(ctx context.Context) error {
	if n := r.queue.Len(); n > 0 {
		r.say("waiting for the server, to deliver what it missed")
	}
	if err := r.empty(ctx); err != nil {
		return err
	}
	r.no.Lock()
	defer r.no.Unlock()
	return r.refused
}

// relayTo starts the relay that the engine of this attempt uses.
func (a *attempt) relayTo(address string) (err error) {
	// It outlives the attempt's right to report: what an engine stores while it is made to
	// stop has to reach the server, which keeps it aside.
	a.relay, err = startRelay(context.WithoutCancel(a.report), address, a.Token, a.queue, a.say)
	return err
}

// settle waits until the server has what the engine stored.
func (a *attempt) settle() error {
	if a.relay == nil {
		return nil
	}
	return a.relay.settle(a.report)
}
