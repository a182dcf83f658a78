package e2e

import (
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

type moduleUse struct {
	Module, Instance, Constraint, Version, Applied, Newest string
	Upgrade                                                bool
}

// A module of the registry, from tags of a repository: a release keeps the version that it
// got, terrace modules tells what an upgrade would touch, a commit that raises the constraint
// brings it, and a tag that was moved brings nothing. People's own engines find it, too.
func TestModulesOfTheRegistry(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	lib := testkit.Git(t)
	publish := func(tag, word string) string {
		t.Helper()
		lib.Write("greeter/main.tf", fmt.Sprintf("variable \"place\" {\n  type        = string\n  description = \"Where.\"\n}\nmodule \"loud\" {\n  source = \"../loud\"\n  text   = \"%s in ${var.place}\"\n}\noutput \"said\" {\n  value = module.loud.text\n}\n", word))
		lib.Write("loud/main.tf", "variable \"text\" {\n  type = string\n}\nresource \"terraform_data\" \"it\" {\n  input = var.text\n}\noutput \"text\" {\n  value = terraform_data.it.output\n}\n")
		lib.Write("greeter/README.md", "Greets, loudly.")
		commit := lib.Commit(tag)
		lib.Run("tag", "--force", tag)
		lib.Run("push", "-q", "--force", "origin", "HEAD", "--tags")
		return commit
	}
	publish("greeter/v1.0.0", "one")
	publish("greeter/v1.1.0-rc.1", "rc")
	host := strings.TrimPrefix(w.url, "http://")
	source := host + "/team/greeter/generic"
	says(t, "module add", w.run("module", "add", "team/greeter/generic", "--repo", lib.Remote, "--path", "greeter", "--tags", "greeter/v*"), "1.0.0", source, "~> 1.0")
	says(t, "module show", w.run("module", "show", "team/greeter/generic", "--readme"), "place", "(required)", "Where.", "said", "Greets, loudly.")

	w.park("", "", "")
	stack := func(constraint, more string) {
		w.repo.Write("stacks/hello/main.tf", fmt.Sprintf("variable \"place\" {\n  type = string\n}\nmodule \"greeter\" {\n  source  = %q\n  version = %q\n  place   = var.place\n}\noutput \"said\" {\n  value = module.greeter.said\n}\n%s", source, constraint, more))
	}
	w.stack("other", "other", "")
	stack("~> 1.0", "")
	w.settled("A greeter")
	said := func(environment, want string) {
		t.Helper()
		if out := w.run("state", "pull", "hello@"+environment); !strings.Contains(out, want+" in "+environment) {
			t.Errorf("%s does not say %q", environment, want)
		}
	}
	said("dev", "one")
	said("production", "one")

	publish("greeter/v1.1.0", "two")
	w.run("module", "refresh", "team/greeter/generic")
	uses := ask[[]moduleUse](w, "modules")
	want := moduleUse{"team/greeter/generic", "hello@dev", "~> 1.0", "1.0.0", "1.0.0", "1.1.0", true}
	if len(uses) != 2 || uses[0] != want || uses[1].Instance != "hello@production" {
		t.Fatalf("terrace modules says %+v", uses)
	}
	says(t, "modules", w.run("modules"), "team/greeter/generic 1.1.0 would touch hello@dev, hello@production")
	if state, reason := w.cell("hello@dev"); state != "up_to_date" {
		t.Errorf("a tag alone makes hello@dev %s: %s", state, reason)
	}

	// A tag that moves is refused, and a commit about something else brings nothing.
	evil := publish("greeter/v1.0.0", "evil")
	w.run("module", "refresh", "team/greeter/generic")
	says(t, "module show", w.run("module", "show", "team/greeter/generic"), "its tag was moved to "+evil[:8])
	says(t, "events", w.run("events", "--json"), "module.moved")
	stack("~> 1.0", "# the same\n")
	w.wants(w.ends(w.pushed("Something else")), "succeeded", "dev succeeded", "production succeeded")
	said("production", "one")

	stack("~> 1.1", "")
	r := w.ends(w.pushed("The new greeter"))
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	for _, run := range w.runsOf(r) {
		if !strings.HasPrefix(run.Instance, "hello@") {
			t.Errorf("%s ran, too", run.Instance)
		}
	}
	said("production", "two")
	if uses := ask[[]moduleUse](w, "modules", "--upgrades"); len(uses) != 0 {
		t.Errorf("there are upgrades to what is newest: %+v", uses)
	}
	if _, stderr, code := w.try("module", "remove", "team/greeter/generic"); code != 1 || !strings.Contains(stderr, "is used by park") {
		t.Errorf("what is used can be removed: %d %s", code, stderr)
	}

	// No version fits: the run says so, and the release does not change when one is there.
	stack("~> 9.0", "")
	w.ends(w.pushed("Too new"))
	says(t, "run show", w.run("run", "show", w.runAt("hello@dev", "failed").ID), "~> 9.0", "team/greeter/generic", "terrace module show")

	w.ownEngine(source)
}

// ownEngine fetches a module with the engine that somebody has on their own machine, over
// https, found by the host's name alone.
func (w *world) ownEngine(source string) {
	w.Helper()
	target, err := url.Parse(w.url)
	if err != nil {
		w.Fatal(err)
	}
	front := httptest.NewTLSServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }})
	w.Cleanup(front.Close)
	dir := w.T.TempDir()
	certificate := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600); err != nil {
		w.Fatal(err)
	}
	_, address, _ := strings.Cut(source, "/")
	host := strings.TrimPrefix(front.URL, "https://")
	code := fmt.Sprintf("module \"g\" {\n  source  = \"%s/%s\"\n  version = \"1.0.0\"\n  place   = \"here\"\n}\n", host, address)
	if err := os.WriteFile(filepath.Join(dir, "main.tf"), []byte(code), 0o600); err != nil {
		w.Fatal(err)
	}
	initialise := func(token string) (string, error) {
		config := filepath.Join(dir, "rc")
		text := ""
		if token != "" {
			text = fmt.Sprintf("credentials %q {\n  token = %q\n}\n", host, token)
		}
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			w.Fatal(err)
		}
		cmd := exec.CommandContext(w.Context(), testkit.Tofu(w.T), "get")
		cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "SSL_CERT_FILE=" + certificate, "TF_CLI_CONFIG_FILE=" + config}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := initialise(""); err == nil {
		w.Errorf("anybody gets modules: %s", out)
	}
	if out, err := initialise(w.token); err != nil {
		w.Errorf("tofu get: %v\n%s", err, out)
	}
	for _, path := range []string{"/modules/v1/team/greeter/generic/versions", "/modules/v1/team/greeter/generic/1.0.0/download", "/modules/v1/team/greeter/generic/1.0.0/1-x/module.tar.gz"} {
		resp, err := http.Get(w.url + path)
		if err != nil {
			w.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized && resp.StatusCode != http.StatusForbidden {
			w.Errorf("%s answers %s to nobody", path, resp.Status)
		}
	}
}
