package demo

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/git"
	"github.com/terrace-cd/terrace/internal/wire"
)

// TestMain lets the repository's hook start this binary, and nothing else: a test that
// started itself would do so for ever.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		if len(os.Args) != 4 || os.Args[1] != "send-hook" {
			fmt.Fprintf(os.Stderr, "this test binary does not know %q\n", os.Args[1:])
			os.Exit(2)
		}
		if err := SendHook(context.Background(), os.Args[2], os.Args[3], os.Stdin); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := git.Run(t.Context(), git.Cmd{Dir: dir, Args: args})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func TestRepository(t *testing.T) {
	t.Parallel()
	const cloud = "http://127.0.0.1:12345"
	r, err := newRepository(t.Context(), t.TempDir(), cloud, "# a lock\n")
	if err != nil {
		t.Fatal(err)
	}
	for _, stack := range []string{"network", "database", "web"} {
		if got := gitIn(t, r.bare, "show", "main:stacks/"+stack+"/.terraform.lock.hcl"); got != "# a lock" {
			t.Errorf("the lock file of %s is %q", stack, got)
		}
	}
	if hcl := gitIn(t, r.bare, "show", "main:terrace.hcl"); strings.Count(hcl, cloud) != 3 || strings.Contains(hcl, exampleCloud) {
		t.Errorf("terrace.hcl uses another cloud:\n%s", hcl)
	}

	const secret = "s3cret with ' a quote"
	signed := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		body, err := io.ReadAll(req.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		_, _ = mac.Write(body)
		if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); err == nil && req.Header.Get("X-Terrace-Signature") != want {
			err = fmt.Errorf("signed %q instead of %q", req.Header.Get("X-Terrace-Signature"), want)
		}
		if err == nil && !strings.Contains(string(body), "refs/heads/main") {
			err = fmt.Errorf("the body is %q", body)
		}
		signed <- err
	}))
	defer server.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.tell(wire.Webhook{URL: server.URL, Secret: secret}, exe, []string{"send-hook"}); err != nil {
		t.Fatal(err)
	}
	if err := r.changePage(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-signed:
		if err != nil {
			t.Error(err)
		}
	default:
		t.Error("the push did not send the webhook")
	}
	if got := gitIn(t, r.bare, "show", "--format=", "--numstat", "main"); got != "1\t1\tansible/page.yml" {
		t.Errorf("the second commit changes %q", got)
	}
	head, err := r.head(t.Context())
	if err != nil || head != gitIn(t, r.bare, "rev-parse", "main") {
		t.Errorf("head is %q, %v", head, err)
	}
	if err := r.changePage(t.Context()); err == nil {
		t.Error("the page can be changed to the same version twice")
	}
}

func TestSendHookFailures(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	if err := SendHook(t.Context(), "http://127.0.0.1:1", secret, strings.NewReader("")); core.CodeOf(err) != core.Invalid {
		t.Errorf("without a secret: %v", err)
	}
	if err := os.WriteFile(secret, []byte("s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := SendHook(t.Context(), "http://127.0.0.1:1", secret, strings.NewReader("")); core.CodeOf(err) != core.Unavailable {
		t.Errorf("without a server: %v", err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	if err := SendHook(t.Context(), server.URL, secret, strings.NewReader("")); core.CodeOf(err) != core.Denied {
		t.Errorf("refused: %v", err)
	}
}

func TestFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b")
	if got, err := folder(dir); err != nil || got != dir {
		t.Errorf("a new one: %q, %v", got, err)
	}
	if err := writeAll(filepath.Join(dir, "file"), "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := folder(dir); core.CodeOf(err) != core.Conflict {
		t.Errorf("one in use: %v", err)
	}
}
