package app_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/app"
	"github.com/terrace-cd/terrace/internal/wire"
)

// lines collects log lines.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, strings.TrimSpace(string(p)))
	return len(p), nil
}

func (l *lines) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

func ask(t *testing.T, method, url, token, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("Content-Type", "application/json")
	noRedirect := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := noRedirect.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

var parameter = regexp.MustCompile(`\{[^}]+\}`)

// Nothing of the API answers somebody who does not say who they are, and no run's
// token does what is for people. A route added later is found by its OpenAPI entry.
func TestEveryRouteNeedsAnIdentity(t *testing.T) {
	a, _ := start(t, app.Options{Exe: "/bin/false"})
	_, text := ask(t, http.MethodGet, a.URL()+"/api/openapi.json", "", "")
	var doc struct {
		Paths map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v\n%.300s", err, text)
	}
	if len(doc.Paths) < 30 {
		t.Fatalf("the API has %d paths", len(doc.Paths))
	}
	open := map[string]bool{"/api/v1/health": true}
	for path, methods := range doc.Paths {
		for method := range methods {
			url := a.URL() + parameter.ReplaceAllString(path, "x")
			status, body := ask(t, strings.ToUpper(method), url, "", "{}")
			if want := http.StatusUnauthorized; (status != want) != open[path] {
				t.Errorf("%s %s without a token: %d %s", method, path, status, body)
			}
			if status, body := ask(t, strings.ToUpper(method), url, "tr_nonsense", "{}"); !open[path] && status != http.StatusUnauthorized {
				t.Errorf("%s %s with a wrong token: %d %s", method, path, status, body)
			}
		}
	}
	for _, path := range []string{"/api/v1/runs/x/logs/stream", "/api/v1/changes", "/api/v1/projects/p/states/dev/web/pull", "/state/p/dev/web"} {
		if status, body := ask(t, http.MethodGet, a.URL()+path, "", ""); status != http.StatusUnauthorized {
			t.Errorf("%s without a token: %d %s", path, status, body)
		}
	}
	for _, path := range []string{"/", "/p/x", "/runs/x", "/runs/x/log"} {
		if status, _ := ask(t, http.MethodGet, a.URL()+path, "", ""); status != http.StatusSeeOther {
			t.Errorf("%s without a session: %d", path, status)
		}
	}
}

// Bad input gets a 4xx that says what is wrong, changes nothing, and leaves one line
// in the log.
func TestBadInput(t *testing.T) {
	log := &lines{}
	a, c := start(t, app.Options{Exe: "/bin/false", Log: slog.New(slog.NewTextHandler(log, nil))})
	before, err := c.Events(t.Context(), "", 0)
	if err != nil {
		t.Fatal(err)
	}
	log.take()
	v1 := a.URL() + "/api/v1"
	deep := strings.Repeat(`{"name":`, 100_000)
	for _, r := range []struct {
		method, url, body string
		status            int
		says              string
	}{
		{"POST", v1 + "/projects", `{"name":`, 400, "unexpected end"},
		{"POST", v1 + "/projects", deep, 400, ""},
		{"POST", v1 + "/projects", `[]`, 422, "object"},
		{"POST", v1 + "/projects", `{"name":"p"}`, 422, "repo"},
		{"POST", v1 + "/projects", `{"name":"p","repo":"/x","rogue":1}`, 422, "rogue"},
		{"POST", v1 + "/projects", `{"name":"../x","repo":"/x"}`, 400, "cannot name a project"},
		{"POST", v1 + "/projects", `{"name":"p","repo":"--upload-pack=touch /tmp/x"}`, 400, ""},
		{"POST", v1 + "/projects", `{"name":"p","repo":"ext::sh -c id"}`, 400, ""},
		{"POST", v1 + "/projects", `{"name":"p","repo":"/does/not/exist"}`, 400, "/does/not/exist"},
		{"POST", v1 + "/projects", `{"name":"p","repo":"/x","path":"../../etc"}`, 400, "not a directory inside"},
		{"GET", v1 + "/projects/nope/status", "", 404, "there is no project"},
		{"GET", v1 + "/projects/%2e%2e%2f/status", "", 404, ""},
		{"GET", v1 + "/runs/r-nope", "", 404, "r-nope"},
		{"GET", v1 + "/nowhere", "", 404, "/api/openapi"},
		{"PATCH", v1 + "/projects", "", 404, ""},
		{"GET", v1 + "/projects/p/rollouts?limit=-1", "", 422, "limit"},
		{"GET", v1 + "/projects/p/rollouts?limit=many", "", 422, "limit"},
		{"POST", v1 + "/runs/r-x/claim", `{}`, 403, ""},
		{"PUT", v1 + "/projects/p/secrets/dev/TF_CLI_CONFIG_FILE", `{"value":"x"}`, 400, "TF_"},
		{"POST", v1 + "/tokens", `{"name":"x","ttl":"-1h"}`, 400, "lifetime"},
		{"POST", a.URL() + "/hooks/p", `{}`, 401, "signed"},
		{"POST", a.URL() + "/hooks/;id", `{}`, 401, "signed"},
		{"GET", a.URL() + "/state/p/dev/web", "", 400, "project"},
		{"POST", a.URL() + "/state/p/dev/web?ID=x", "not a state", 400, ""},
		{"LOCK", a.URL() + "/state/p/dev/web", "{", 400, ""},
		{"BREW", a.URL() + "/state/p/dev/web", "", 400, "state protocol"},
		{"GET", a.URL() + "/state/p", "", 400, "state protocol"},
	} {
		name := fmt.Sprintf("%s %s %.40s", r.method, r.url, r.body)
		status, body := ask(t, r.method, r.url, a.Token(), r.body)
		if status != r.status || !strings.Contains(body, r.says) {
			t.Errorf("%s: %d %s, want %d with %q", name, status, body, r.status, r.says)
		}
		var answer struct{ Code, Message string }
		if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Message == "" || answer.Code == "" {
			t.Errorf("%s: the answer has no code and message: %s", name, body)
		}
		if got := log.take(); len(got) != 1 || bytes.Contains([]byte(got[0]), []byte("level=ERROR")) {
			t.Errorf("%s leaves %d log lines: %q", name, len(got), got)
		}
	}
	after, err := c.Events(t.Context(), "", 0)
	if err != nil || len(after) != len(before) {
		t.Errorf("something changed: %d events before, %d after, %v", len(before), len(after), err)
	}
	if all, err := c.Projects(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("projects: %v, %v", all, err)
	}
}

// A webhook is a signed hint; a hundred of them make one release (rule 3).
func TestWebhooks(t *testing.T) {
	a, c := start(t, app.Options{Exe: "/bin/false", Poll: never})
	repo := repository(t, map[string]string{"terrace.hcl": twoEnvironments, "stacks/web/main.tf": ""})
	p, err := c.AddProject(t.Context(), wire.AddProject{Name: "p", Repo: repo})
	if err != nil {
		t.Fatal(err)
	}
	if p.Webhook == nil || p.Webhook.Secret == "" {
		t.Fatalf("no webhook: %+v", p)
	}
	commit(t, repo, "second", map[string]string{"stacks/web/main.tf": "# changed\n"})
	for range 100 {
		if status := hook(t, a.URL()+"/hooks/p", p.Webhook.Secret, `{"ref":"refs/heads/main"}`); status != http.StatusAccepted {
			t.Fatalf("a signed webhook: %d", status)
		}
	}
	if status := hook(t, a.URL()+"/hooks/p", "wrong", `{}`); status != http.StatusUnauthorized {
		t.Errorf("a webhook with a wrong signature: %d", status)
	}
	eventually(t, "the second release", func() bool {
		s, err := c.Status(t.Context(), "p", false)
		return err == nil && s.Head != nil && s.Head.Number == 2
	})
	all, err := c.Rollouts(t.Context(), "p", 100)
	if err != nil || len(all) != 2 {
		t.Errorf("%d rollouts, %v", len(all), err)
	}
}

var update = flag.Bool("update", false, "write docs/reference/openapi.yaml anew")

// The reference of the API is what the server says of itself.
func TestOpenAPI(t *testing.T) {
	const file = "../../docs/reference/openapi.yaml"
	a, _ := start(t, app.Options{Exe: "/bin/false", Version: "1"})
	_, got := ask(t, http.MethodGet, a.URL()+"/api/openapi.yaml", "", "")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s is not what the code says; write it with: go test ./internal/app -run TestOpenAPI -update\n%s", file, cmp.Diff(string(want), got))
	}
}
