package engine_test

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what the protocol uses
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/step/engine"
	"github.com/terrace-cd/terrace/internal/testkit"
)

func TestMain(m *testing.M) {
	democloudtest.Main()
	if err := process.Adopt(); err != nil { // as runners do
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

// backend keeps one state as the built-in backend does, and fails when it is told to.
type backend struct {
	*httptest.Server
	mu    sync.Mutex
	state []byte
	lock  []byte
	posts int
	// fail answers a request with a status when it is not 0.
	fail func(r *http.Request, posts int) int
}

const token = "run-token-canary"

func startBackend(t testing.TB) *backend {
	b := &backend{}
	b.Server = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.Close)
	return b
}

func (b *backend) serve(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if _, password, _ := r.BasicAuth(); password != token || err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method == http.MethodPost {
		b.posts++
	}
	if b.fail != nil {
		if status := b.fail(r, b.posts); status != 0 {
			w.WriteHeader(status)
			return
		}
	}
	switch r.Method {
	case http.MethodGet:
		if b.state == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_, _ = w.Write(b.state) // the client's own business
	case http.MethodPost:
		sum := md5.Sum(body) //nolint:gosec // see above
		if r.Header.Get("Content-MD5") != base64.StdEncoding.EncodeToString(sum[:]) {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		b.state = body
	case "LOCK":
		if b.lock != nil {
			w.WriteHeader(http.StatusLocked)
			_, _ = w.Write(b.lock) // likewise
			return
		}
		b.lock = body
	case "UNLOCK":
		b.lock = nil
	}
}

func (b *backend) failing(f func(r *http.Request, posts int) int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = f
}

func (b *backend) lockedBy(info string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lock = nil
	if info != "" {
		b.lock = []byte(info)
	}
}

func (b *backend) serial(t testing.TB) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	var s struct{ Serial int }
	if err := json.Unmarshal(b.state, &s); err != nil {
		t.Fatal(err)
	}
	return s.Serial
}

// world is a stack, and what its sessions share.
type world struct {
	testing.TB
	*backend
	tree, dir string
	out       bytes.Buffer
	o         engine.Options
}

// engines returns OpenTofu, and Terraform where the machine has it.
func engines(t testing.TB) []engine.Engine {
	all := []engine.Engine{found(t, engine.Tofu, testkit.Tofu(t))}
	if file, ok := testkit.Terraform(t); ok {
		all = append(all, found(t, engine.Terraform, file))
	}
	return all
}

var cache = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "terrace-test-") })

func found(t testing.TB, name, file string) engine.Engine {
	dir, err := cache()
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Find(t.Context(), name, "", engine.FindOptions{Path: filepath.Dir(file), Cache: dir})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func newWorld(t testing.TB, e engine.Engine, files map[string]string) *world {
	t.Helper()
	w := &world{TB: t, backend: startBackend(t), tree: t.TempDir()}
	w.dir = filepath.Join(w.tree, "stacks", "web")
	w.write(files)
	home := t.TempDir()
	w.o = engine.Options{Engine: e, Tree: w.tree, Dir: w.dir, Temp: t.TempDir(), Backend: w.backend.URL + "/state", Token: token,
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "LANG=C.UTF-8"}, Output: &w.out, Run: "r-1", Fence: 7}
	return w
}

// write writes files: names without a slash are in the stack's directory.
func (w *world) write(files map[string]string) {
	w.Helper()
	for name, text := range files {
		file := filepath.Join(w.dir, name)
		if strings.Contains(name, "/") {
			file = filepath.Join(w.tree, name)
		}
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			w.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			w.Fatal(err)
		}
	}
}

func (w *world) open() *engine.Session {
	w.Helper()
	s, err := engine.Open(w.Context(), w.o)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() {
		if err := s.Close(); err != nil {
			w.Error(err)
		}
	})
	return s
}

func (w *world) init(s *engine.Session) (skipped bool) {
	w.Helper()
	skipped, err := s.Init(w.Context())
	if err != nil {
		w.Fatalf("%v\n%s", err, w.out.String())
	}
	return skipped
}

func (w *world) plan(s *engine.Session) engine.Planned {
	w.Helper()
	p, err := s.Plan(w.Context(), engine.PlanOptions{})
	if err != nil {
		w.Fatalf("%v\n%s", err, w.out.String())
	}
	return p
}

// deploy is a whole run. It returns how many engine processes it took.
func (w *world) deploy() (commands int) {
	w.Helper()
	s := w.open()
	w.init(s)
	if w.plan(s).Changes {
		a, err := s.Apply(w.Context())
		if err != nil || !a.Stored || a.Unsaved != nil {
			w.Fatalf("%+v %v\n%s", a, err, w.out.String())
		}
	}
	if err := s.Close(); err != nil {
		w.Fatal(err)
	}
	return s.Commands()
}

func (w *world) outputs() map[string]any {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var s struct {
		Outputs map[string]struct{ Value any }
	}
	if err := json.Unmarshal(w.state, &s); err != nil {
		w.Fatal(err)
	}
	out := map[string]any{}
	for name, o := range s.Outputs {
		out[name] = o.Value
	}
	return out
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within 20 s", what)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
