package previews

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/store"
)

// away is a forge that answers as it is told, and remembers what it was asked.
type away struct {
	*httptest.Server
	mu     sync.Mutex
	answer func(w http.ResponseWriter, req *http.Request)
	asked  []string
	said   string
}

func (f *away) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, req.Method+" "+req.URL.Path)
	if f.answer != nil {
		f.answer(w, req)
		return
	}
	data, _ := io.ReadAll(req.Body)
	w.Header().Set("Content-Type", "application/json")
	switch {
	case strings.Contains(req.URL.Path, "/comments"):
		var in struct{ Body string }
		_ = json.Unmarshal(data, &in)
		f.said = in.Body
		if req.Method == http.MethodPost {
			w.WriteHeader(http.StatusCreated)
		}
		_, _ = io.WriteString(w, `{"id": 5}`)
	case strings.Contains(req.URL.Path, "/statuses/"):
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id": 6}`)
	default:
		_, _ = io.WriteString(w, `[]`)
	}
}

// does changes the answers, and forgets what was asked.
func (f *away) does(answer func(http.ResponseWriter, *http.Request)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer, f.asked = answer, nil
}

func (f *away) count(what string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.asked {
		if strings.HasPrefix(a, what) {
			n++
		}
	}
	return n
}

// told is a service with a project on that forge, and a pull request whose preview is over.
func told(t *testing.T) (*Service, *away) {
	t.Helper()
	dir := t.TempDir()
	f := &away{}
	f.Server = httptest.NewServer(f)
	t.Cleanup(f.Close)
	db, err := store.Open(t.Context(), filepath.Join(dir, "terrace.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	ring, err := seal.Open(filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := ring.Seal(projects.ForgePurpose("shop"), []byte(`{"token":"of-the-forge"}`))
	if err != nil {
		t.Fatal(err)
	}
	s := &Service{Store: db, Projects: &projects.Service{Store: db}, Seal: ring, Bus: bus.New(), Log: slog.New(slog.DiscardHandler), URL: func() string { return "https://terrace.example.com" }}
	if err := db.Update(t.Context(), func(tx core.Tx) error {
		if err := tx.AddProject(core.Project{Name: "shop", Branch: "main", Forge: &core.Forge{Kind: "gitea", URL: f.URL, Repo: "team/shop", Login: hex.EncodeToString(sealed)}}); err != nil {
			return err
		}
		if err := tx.PutPull(core.Pull{Project: "shop", Number: 7, Open: true, PullFacts: core.PullFacts{Commit: strings.Repeat("a", 40), Branch: "try"}}); err != nil {
			return err
		}
		return tx.AddPreview(core.Preview{ID: "pv-1", Project: "shop", Pull: 7, Status: core.PreviewSucceeded, Created: tx.Now(),
			PreviewFacts: core.PreviewFacts{Commit: strings.Repeat("a", 40), Environments: []string{"dev", "production"}}})
	}); err != nil {
		t.Fatal(err)
	}
	return s, f
}

func (s *Service) project(t *testing.T) core.Project {
	t.Helper()
	p, err := s.Projects.Get(t.Context(), "shop")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// posted reads, and changes, what is known of the comment.
func (s *Service) posted(t *testing.T, change func(*core.Post)) (post core.Post) {
	t.Helper()
	if err := s.Store.Update(t.Context(), func(tx core.Tx) (err error) {
		if post, err = tx.Post("shop", "comment/7"); err != nil {
			return err
		}
		change(&post)
		return tx.PutPost(post)
	}); err != nil {
		t.Fatal(err)
	}
	return post
}

// What is said is said once; while the forge is away it is tried again, later and later, and
// what somebody deleted is said anew.
func TestSayOnce(t *testing.T) {
	t.Parallel()
	s, f := told(t)
	f.does(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
	s.say(t.Context(), s.project(t))
	if post := s.posted(t, func(*core.Post) {}); post.Tries != 1 || post.Error == "" || post.ID != "" || post.Retry.IsZero() {
		t.Errorf("a forge that is away: %+v", post)
	}
	if p := s.project(t); p.Forge.Trouble == "" || strings.Contains(p.Forge.Trouble, "of-the-forge") {
		t.Errorf("the trouble is %q", p.Forge.Trouble)
	}
	f.does(nil)
	s.say(t.Context(), s.project(t))
	if n := f.count("POST /api/v1/repos/team/shop/issues/7/comments"); n != 0 {
		t.Errorf("it was tried again at once, %d times", n)
	}
	s.posted(t, func(p *core.Post) { p.Retry = time.Time{} })
	f.does(nil)
	for range 3 {
		s.say(t.Context(), s.project(t))
	}
	if n := f.count("POST /api/v1/repos/team/shop/issues/7/comments"); n != 1 {
		t.Errorf("it was said %d times", n)
	}
	if post := s.posted(t, func(*core.Post) {}); post.ID != "5" || post.Tries != 0 || post.Error != "" || !strings.Contains(f.said, "nothing changes") {
		t.Errorf("said, it is %+v: %q", post, f.said)
	}
	f.does(nil)
	s.posted(t, func(p *core.Post) { p.Digest = "of something else" })
	s.say(t.Context(), s.project(t))
	if f.count("PATCH ") != 1 || f.count("POST /api/v1/repos/team/shop/issues/7/comments") != 0 {
		t.Errorf("a comment is edited: %v", f.asked)
	}
	f.does(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodPatch {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, `{"id": 8}`)
	})
	s.posted(t, func(p *core.Post) { p.Digest = "of something else" })
	s.say(t.Context(), s.project(t))
	if post := s.posted(t, func(*core.Post) {}); post.ID != "8" {
		t.Errorf("a comment that was deleted: %+v", post)
	}
}

// A forge that asks to wait is left alone, in all that is asked of it.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	s, f := told(t)
	f.does(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "600")
		w.WriteHeader(http.StatusTooManyRequests)
	})
	if err := s.Read(t.Context(), "shop"); core.CodeOf(err) != core.Unavailable {
		t.Errorf("reading: %v", err)
	}
	if p := s.project(t); time.Until(p.Forge.Quiet) < 9*time.Minute {
		t.Errorf("it is quiet until %s", p.Forge.Quiet)
	}
	f.does(nil)
	s.say(t.Context(), s.project(t))
	if err := s.Read(t.Context(), "shop"); err != nil {
		t.Error(err)
	}
	if len(f.asked) > 0 {
		t.Errorf("it was asked %v", f.asked)
	}
}

// A token is told to its own forge alone.
func TestLogin(t *testing.T) {
	t.Parallel()
	s, f := told(t)
	for repo, want := range map[string]string{f.URL + "/team/shop.git": "of-the-forge", "https://elsewhere.example.com/team/shop.git": "", "git@elsewhere:team/shop": "", f.URL + ".evil.example.com/team/shop.git": ""} {
		if err := s.Store.Update(t.Context(), func(tx core.Tx) error {
			p, err := tx.Project("shop")
			if err != nil {
				return err
			}
			p.Repo = repo
			return tx.UpdateProject(p)
		}); err != nil {
			t.Fatal(err)
		}
		_, password, err := s.Login(t.Context(), repo)
		if err != nil || password != want {
			t.Errorf("%s: %q, %v", repo, password, err)
		}
	}
}
