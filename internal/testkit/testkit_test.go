package testkit_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/terrace-cd/terrace/internal/testkit"
)

func TestTofuStartsWithoutTheMachinesSettings(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), testkit.Tofu(t), "version")
	cmd.Env = testkit.EngineEnv(t)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "OpenTofu v1.") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestGitTellsAStory(t *testing.T) {
	t.Parallel()
	repo := testkit.Git(t)
	repo.Write("a/b.tf", "one")
	first := repo.Commit("first")
	repo.Branch("topic")
	repo.Write("a/b.tf", "two")
	repo.Commit("second")
	repo.Checkout("main")
	merge := repo.Merge("topic", "merge")
	repo.Push()
	if got := repo.Run("--git-dir="+repo.Remote, "rev-list", "--first-parent", "main"); got != merge+"\n"+first {
		t.Errorf("the remote's history is %s", got)
	}
	if repo.Read("a/b.tf") != "two" {
		t.Error("the merge brought nothing")
	}
}

func TestSSHDLetsItsKeyIn(t *testing.T) {
	t.Parallel()
	s := testkit.SSHD(t)
	known := t.TempDir() + "/known_hosts"
	write(t, known, s.KnownHosts)
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", "none", "-i", s.KeyFile, "-p", fmt.Sprint(s.Port), "-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes",
		"-o", "UserKnownHostsFile="+known, s.User+"@127.0.0.1", "echo", "in").CombinedOutput()
	if err != nil || strings.TrimSpace(string(out)) != "in" {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestChromiumShowsAPage(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, `<!doctype html><title>t</title><p id="p">before</p><script>p.textContent = "after"</script>`)
	}))
	defer server.Close()
	var text string
	if err := chromedp.Run(testkit.Chromium(t), chromedp.Navigate(server.URL), chromedp.Text("#p", &text)); err != nil || text != "after" {
		t.Errorf("%q, %v", text, err)
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestS3KeepsObjects(t *testing.T) {
	t.Parallel()
	b := testkit.S3(t)
	if other := testkit.S3(t); other.Endpoint != b.Endpoint || other.Bucket == b.Bucket {
		t.Errorf("two calls gave %s and %s; want two buckets of one service", b.URL, other.URL)
	}
	own := testkit.FaultyS3(t)
	if own.Endpoint == b.Endpoint {
		t.Error("a faulty service is shared")
	}
	anonymous := func() (int, error) {
		resp, err := http.Get(own.Endpoint + "/" + own.Bucket)
		if err != nil {
			return 0, err
		}
		return resp.StatusCode, resp.Body.Close()
	}
	if code, err := anonymous(); err != nil || code != http.StatusForbidden {
		t.Errorf("a request without credentials was answered %d, %v", code, err)
	}
	own.Stop(t)
	if code, err := anonymous(); err == nil {
		t.Errorf("a service that was stopped answered %d", code)
	}
	own.Start(t)
	if code, err := anonymous(); err != nil || code != http.StatusForbidden {
		t.Errorf("a service that was started again answered %d, %v", code, err)
	}
}
