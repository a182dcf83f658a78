package httpapi

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/terrace-cd/terrace/internal/blob"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/store"
)

// backend is the state protocol on a port of its own, over a real database.
type backend struct {
	testing.TB
	*httptest.Server
	db    *store.DB
	state *state.Service
	log   *lines

	mu      sync.Mutex
	callers map[string]state.Caller // by token
	drop    map[string]int          // by method: replies to lose
	fail    map[string]int          // by method: requests to answer 503
	seen    []string                // methods
	bodies  map[string][]string     // of LOCK and UNLOCK
}

func newBackend(t testing.TB, options ...state.Option) *backend {
	t.Helper()
	return newBackendOn(t, filepath.Join(t.TempDir(), "terrace.db"), options...)
}

func newBackendOn(t testing.TB, database string, options ...state.Option) *backend {
	t.Helper()
	dir := t.TempDir()
	db, err := store.Open(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	ring, err := seal.Open(filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{TB: t, db: db, state: state.New(db, blobs, ring, options...), log: &lines{}, callers: map[string]state.Caller{
		"ana-token": {By: "user:ana", Person: true, CanWrite: true}, "bob-token": {By: "user:bob", Person: true, CanWrite: true},
	}, drop: map[string]int{}, fail: map[string]int{}, bodies: map[string][]string{}}
	b.Server = httptest.NewServer(b.faults(StateHandler(b.state, b.who, slog.New(slog.NewTextHandler(b.log, nil)))))
	t.Cleanup(func() {
		b.Close()
		_ = db.Close()
	})
	if err := db.Update(t.Context(), func(tx core.Tx) error {
		if err := tx.AddProject(core.Project{Name: "shop"}); err != nil {
			return err
		}
		return tx.AddRelease(core.Release{Project: "shop", Number: 1, Commit: "abc"})
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *backend) who(req *http.Request) (state.Caller, error) {
	secret, _ := secretOf(req)
	b.mu.Lock()
	defer b.mu.Unlock()
	if c, ok := b.callers[secret]; ok {
		return c, nil
	}
	return state.Caller{}, core.Errorf(core.Unauthenticated, "this token is not valid")
}

// faults loses replies after the work is done, and refuses work for a while.
func (b *backend) faults(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b.mu.Lock()
		b.seen = append(b.seen, req.Method)
		if req.Method == "LOCK" || req.Method == "UNLOCK" {
			body, _ := io.ReadAll(req.Body) // what is cut off is refused below
			req.Body = io.NopCloser(bytes.NewReader(body))
			b.bodies[req.Method] = append(b.bodies[req.Method], string(body))
		}
		drop, fail := b.drop[req.Method] > 0, b.fail[req.Method] > 0
		if drop {
			b.drop[req.Method]--
		}
		if fail {
			b.fail[req.Method]--
		}
		b.mu.Unlock()
		switch {
		case fail:
			http.Error(w, "try again", http.StatusServiceUnavailable)
		case drop:
			next.ServeHTTP(httptest.NewRecorder(), req)
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				b.Error(err)
				return
			}
			_ = conn.Close() // the reply is lost
		default:
			next.ServeHTTP(w, req)
		}
	})
}

// lose makes the reply to the next request of each method get lost.
func (b *backend) lose(methods ...string) { b.next(b.drop, methods) }

// busy makes the next request of each method be answered with 503.
func (b *backend) busy(methods ...string) { b.next(b.fail, methods) }

// failing makes every request of a method be answered with 503, until it works.
func (b *backend) failing(method string) { b.set(b.fail, method, 1<<30) }

func (b *backend) works(method string) { b.set(b.fail, method, 0) }

func (b *backend) set(what map[string]int, method string, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	what[method] = n
}

// lockIDs returns the IDs that were asked for in LOCK requests.
func (b *backend) lockIDs() (ids []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, body := range b.bodies["LOCK"] {
		var info struct{ ID string }
		if err := json.Unmarshal([]byte(body), &info); err != nil {
			b.Error(err)
		}
		ids = append(ids, info.ID)
	}
	return ids
}

// unlockBody returns what the last UNLOCK said.
func (b *backend) unlockBody() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.bodies["UNLOCK"]
	if len(all) == 0 {
		b.Error("no UNLOCK came")
		return ""
	}
	return all[len(all)-1]
}

func (b *backend) next(what map[string]int, methods []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range methods {
		what[m] = 1
	}
}

// calm wants every lost reply and every 503 to have happened.
func (b *backend) calm() {
	b.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, what := range []map[string]int{b.drop, b.fail} {
		for method, n := range what {
			if n != 0 {
				b.Errorf("no %s came for the fault to happen", method)
			}
		}
	}
}

// methods returns what was asked since the last time.
func (b *backend) methods() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := strings.Join(b.seen, " ")
	b.seen = nil
	clear(b.bodies)
	return out
}

// lines counts what is logged.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, string(p))
	return len(p), nil
}

func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.all
	l.all = nil
	return out
}

// do sends a request and returns status and body.
func (b *backend) do(method, path, token string, body []byte, header ...string) (int, string, http.Header) {
	req, err := http.NewRequestWithContext(b.Context(), method, b.URL+path, bytes.NewReader(body))
	if err != nil {
		b.Error(err)
		return 0, "", nil
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := b.Client().Do(req)
	if err != nil {
		b.Error(err)
		return 0, "", nil
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		b.Error(err)
	}
	return resp.StatusCode, string(content), resp.Header
}

const (
	address = "/state/shop/dev/web"
	anaLock = `{"ID":"l-ana","Operation":"OperationTypeApply","Info":"","Who":"ana@laptop","Version":"1.12.6","Created":"2026-01-01T00:00:00Z","Path":""}`
)

func stateBody(serial int, filler string) []byte {
	return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.12.6","serial":%d,"lineage":"lin","outputs":{"a":{"value":%q,"type":"string"}},"resources":[]}`, serial, filler)
}

func TestStateProtocol(t *testing.T) {
	b := newBackend(t, state.WithLimit(1000))
	one := stateBody(1, "x")
	digest := func(body []byte) string {
		sum := md5.Sum(body)
		return base64.StdEncoding.EncodeToString(sum[:])
	}
	for i, c := range []struct {
		method, path, token, body string
		header                    []string
		status                    int
		want                      string // part of the answer
	}{
		{"GET", address, "", "", nil, 401, "not valid"},
		{"GET", address, "wrong", "", nil, 401, "not valid"},
		{"GET", address, "ana-token", "", nil, 204, ""},
		{"POST", address + "?ID=l-ana", "ana-token", string(one), nil, 409, "not locked"},
		{"LOCK", address, "ana-token", "", nil, 400, "not JSON"},
		{"LOCK", address, "ana-token", strings.Repeat("x", state.MaxLockInfo+1), nil, 413, "at most"},
		{"LOCK", address, "ana-token", anaLock, nil, 200, ""},
		{"LOCK", address, "ana-token", anaLock, nil, 200, ""},
		{"LOCK", address, "bob-token", `{"ID":"l-bob"}`, nil, 423, anaLock},
		{"UNLOCK", address, "bob-token", `{"ID":"l-bob"}`, nil, 423, anaLock},
		{"POST", address + "?ID=l-ana", "ana-token", string(one), []string{"Content-MD5", digest(one)}, 200, ""},
		{"POST", address + "?ID=l-ana", "ana-token", string(one), []string{"Content-MD5", digest(one)}, 200, ""},
		{"POST", address + "?ID=l-ana", "ana-token", string(stateBody(2, "x")), []string{"Content-MD5", digest(one)}, 400, "damaged"},
		{"POST", address + "?ID=l-ana", "ana-token", string(stateBody(2, "x")), []string{"Content-MD5", "%%%"}, 400, "base64"},
		{"POST", address + "?ID=l-ana", "ana-token", string(stateBody(1, "y")), nil, 409, "recovery slot"},
		{"POST", address + "?ID=l-ana", "ana-token", "not a state", nil, 400, "not a state file"},
		{"POST", address + "?ID=l-ana", "ana-token", string(stateBody(3, strings.Repeat("x", 1000))), nil, 413, "at most 1000"},
		{"POST", address, "ana-token", string(stateBody(3, "x")), nil, 409, "no lock ID"},
		{"GET", address, "bob-token", "", nil, 200, string(one)},
		{"DELETE", address, "ana-token", "", nil, 423, anaLock},
		{"UNLOCK", address, "ana-token", anaLock, nil, 200, ""},
		{"UNLOCK", address, "ana-token", anaLock, nil, 200, ""},
		{"DELETE", address, "ana-token", "", nil, 200, ""},
		{"DELETE", address, "ana-token", "", nil, 200, ""},
		{"GET", address, "ana-token", "", nil, 204, ""},
		{"PUT", address + "/lock", "ana-token", anaLock, nil, 200, ""},
		{"DELETE", address + "/lock", "ana-token", "", nil, 200, ""},
		{"PATCH", address, "ana-token", "", nil, 400, "PATCH"},
		{"GET", address + "/lock", "ana-token", "", nil, 400, "/lock"},
		{"GET", "/state/shop/dev", "ana-token", "", nil, 400, "PROJECT"},
		{"GET", "/state/shop/dev/web/more/of/it", "ana-token", "", nil, 400, "PROJECT"},
		{"GET", "/state/nowhere/dev/web", "ana-token", "", nil, 400, "no project nowhere"},
		{"LOCK", "/state/nowhere/dev/web", "ana-token", anaLock, nil, 400, "no project nowhere"},
		{"GET", "/state/shop/dev/..%2F..%2Fetc", "ana-token", "", nil, 400, "cannot name a stack"},
		{"GET", "/state/shop/dev/%00", "ana-token", "", nil, 400, "cannot name a stack"},
		{"GET", "/state/shop/dev/-rf", "ana-token", "", nil, 400, "cannot name a stack"},
	} {
		b.log.take()
		status, answer, header := b.do(c.method, c.path, c.token, []byte(c.body), c.header...)
		if status != c.status || !strings.Contains(answer, c.want) {
			t.Errorf("%d: %s %s: got %d %s, want %d with %q", i, c.method, c.path, status, answer, c.status, c.want)
		}
		logged := b.log.take()
		if status >= 400 {
			if !json.Valid([]byte(answer)) || header.Get("Content-Type") != "application/json" {
				t.Errorf("%d: the refusal is not JSON: %s", i, answer)
			}
			if len(logged) != 1 {
				t.Errorf("%d: %d lines were logged for one refused request: %q", i, len(logged), logged)
			}
		} else if len(logged) != 0 {
			t.Errorf("%d: logged %q", i, logged)
		}
	}
}

// TestCutOff: a body that ends before it should is refused.
func TestCutOff(t *testing.T) {
	b := newBackend(t)
	b.do("LOCK", address, "ana-token", []byte(anaLock))
	content := stateBody(1, "x")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+address+"?ID=l-ana", io.MultiReader(bytes.NewReader(content), failing{}))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer ana-token")
	if resp, err := b.Client().Do(req); err == nil {
		_ = resp.Body.Close()
		t.Errorf("answered %d", resp.StatusCode)
	}
	if status, _, _ := b.do("GET", address, "ana-token", nil); status != http.StatusNoContent {
		t.Errorf("a state that was cut off is there: %d", status)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestThousandClients: never two holders; each loser gets 423 with the holder (fault 15).
func TestThousandClients(t *testing.T) {
	b := newBackend(t)
	const clients = 1000
	var holders, won, lost atomic.Int32
	var wg sync.WaitGroup
	gate := make(chan struct{}, 64) // sockets at a time
	for i := range clients {
		wg.Go(func() {
			gate <- struct{}{}
			defer func() { <-gate }()
			id := fmt.Sprintf("l-%d", i)
			status, answer, _ := b.do("LOCK", address, "ana-token", []byte(`{"ID":"`+id+`"}`))
			switch status {
			case http.StatusOK:
				won.Add(1)
				if n := holders.Add(1); n != 1 {
					t.Errorf("%d holders at once", n)
				}
				if s, a, _ := b.do("POST", address+"?ID="+id, "ana-token", stateBody(int(won.Load()), id)); s != http.StatusOK {
					t.Errorf("the holder's write: %d %s", s, a)
				}
				holders.Add(-1)
				if s, a, _ := b.do("UNLOCK", address, "ana-token", []byte(`{"ID":"`+id+`"}`)); s != http.StatusOK {
					t.Errorf("the holder's UNLOCK: %d %s", s, a)
				}
			case http.StatusLocked:
				lost.Add(1)
				var info struct{ ID string }
				if err := json.Unmarshal([]byte(answer), &info); err != nil || !strings.HasPrefix(info.ID, "l-") || info.ID == id {
					t.Errorf("a loser is told %q, %v", answer, err)
				}
			default:
				t.Errorf("LOCK: %d %s", status, answer)
			}
		})
	}
	wg.Wait()
	if won.Load() == 0 || won.Load()+lost.Load() != clients {
		t.Errorf("%d won and %d lost of %d", won.Load(), lost.Load(), clients)
	}
	versions, err := b.state.Versions(t.Context(), "shop", "web", "dev", 0)
	if err != nil || len(versions) != int(won.Load()) {
		t.Errorf("%d versions of %d holders, %v", len(versions), won.Load(), err)
	}
}

// TestConcurrentWriters: of many different writes with one serial and one lock, one
// is stored and the others are kept aside; none is lost.
func TestConcurrentWriters(t *testing.T) {
	b := newBackend(t)
	b.do("LOCK", address, "ana-token", []byte(anaLock))
	const writers = 30
	var stored atomic.Int32
	var wg sync.WaitGroup
	for i := range writers {
		wg.Go(func() {
			switch status, answer, _ := b.do("POST", address+"?ID=l-ana", "ana-token", stateBody(1, fmt.Sprint(i))); status {
			case http.StatusOK:
				stored.Add(1)
			case http.StatusConflict:
			default:
				t.Errorf("%d %s", status, answer)
			}
		})
	}
	wg.Wait()
	kept, err := b.state.RecoveredList(t.Context(), "shop", "web", "dev")
	if err != nil || stored.Load() != 1 || len(kept) != writers-1 {
		t.Errorf("%d stored and %d kept of %d, %v", stored.Load(), len(kept), writers, err)
	}
}
