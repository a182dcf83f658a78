package app_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/app"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// repository makes a git repository with files and returns its folder.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	commit(t, dir, "first", files)
	return dir
}

func commit(t *testing.T, dir, message string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", message)
}

func git(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ana", "GIT_AUTHOR_EMAIL=ana@example.com", "GIT_COMMITTER_NAME=Ana", "GIT_COMMITTER_EMAIL=ana@example.com"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, out)
	}
}

const twoEnvironments = `project "p" {
  stacks = ["stacks/*"]
}
environment "dev" {}
environment "production" {
  after = ["dev"]
}
`

func start(t *testing.T, o app.Options) (*app.App, *client.Client) {
	t.Helper()
	if o.Data == "" {
		o.Data = t.TempDir()
	}
	o.Listen = "127.0.0.1:0"
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	a, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	c := client.New(a.URL(), a.Token())
	t.Cleanup(c.Close)
	return a, c
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// A runner that ends before it changed anything is started again, three times in all;
// then the run is errored, the rollout too, and nothing waits for ever (rule 19).
func TestARunnerThatCannotWork(t *testing.T) {
	_, c := start(t, app.Options{Exe: "/bin/false"})
	repo := repository(t, map[string]string{"terrace.hcl": twoEnvironments, "stacks/web/main.tf": `output "id" { value = "1" }`})
	if _, err := c.AddProject(t.Context(), wire.AddProject{Name: "p", Repo: repo}); err != nil {
		t.Fatal(err)
	}
	var all []wire.Rollout
	eventually(t, "the end of the rollout", func() bool {
		var err error
		all, err = c.Rollouts(t.Context(), "p", 1)
		return err == nil && len(all) == 1 && all[0].Status == "errored"
	})
	if s := all[0].Stages[1].Status; s != "waiting" {
		t.Errorf("production is %s", s)
	}
	runs, err := c.Runs(t.Context(), "p", client.RunFilter{})
	if err != nil || len(runs) != 1 || runs[0].Attempt != 3 || runs[0].Error == nil {
		t.Errorf("%+v, %v", runs, err)
	}
	status, err := c.Status(t.Context(), "p", true)
	if err != nil || status.Instances[0].State != "errored" {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestOneServerAtATimeOnADataFolder(t *testing.T) {
	dir := t.TempDir()
	start(t, app.Options{Data: dir, Exe: "/bin/false"})
	_, err := app.Start(t.Context(), app.Options{Data: dir, Listen: "127.0.0.1:0", Exe: "/bin/false"})
	if core.CodeOf(err) != core.Conflict {
		t.Errorf("a second server: %v", err)
	}
}

// A server whose master key is gone does not go on with another one.
func TestALostMasterKeyIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	o := app.Options{Data: dir, Listen: "127.0.0.1:0", Exe: "/bin/false"}
	a, err := app.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "master.key")
	if err := os.Rename(key, key+".kept"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // a refused start leaves no new key behind
		if _, err := app.Start(t.Context(), o); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "master key") {
			t.Fatalf("without its key: %v", err)
		}
	}
	if err := os.Rename(key+".kept", key); err != nil {
		t.Fatal(err)
	}
	start(t, app.Options{Data: dir, Exe: "/bin/false"})
}

// never is longer than any test.
const never = time.Hour

// eventually waits for something that the server does by itself.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not come", what)
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// hook sends a webhook as docs/how-to describes it.
func hook(t *testing.T, url, secret, body string) int {
	t.Helper()
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(body))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Terrace-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

func TestTheAddressThatOthersUse(t *testing.T) {
	for _, bad := range []string{"terrace.example.com", "ftp://terrace.example.com", "https://", "https://terrace.example.com/?a=b", ":"} {
		_, err := app.Start(t.Context(), app.Options{Data: t.TempDir(), Listen: "127.0.0.1:0", URL: bad})
		if core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), bad) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	a, err := app.Start(t.Context(), app.Options{Data: t.TempDir(), Listen: "127.0.0.1:0", URL: "https://terrace.example.com/"})
	if err != nil {
		t.Fatal(err)
	}
	if a.URL() != "https://terrace.example.com" {
		t.Errorf("it is reached at %s", a.URL())
	}
	if err := a.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
