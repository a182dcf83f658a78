package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// verifications is what terrace verify --wait says.
type verifications struct {
	Runs []struct {
		Kind, Status string
		Verified     []struct{ Message string }
	}
	Skipped []struct{ Instance, Why string }
}

// Rule 16: whether what is there works can be asked again on the same release, by hand;
// a real Prometheus says what a metric is.
func TestVerifyingByHand(t *testing.T) {
	t.Parallel()
	var errors atomic.Int64
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintf(w, "app_errors %d\n", errors.Load())
	}))
	t.Cleanup(site.Close)
	server := testkit.Prometheus(t, strings.TrimPrefix(site.URL, "http://"))
	w := newWorld(t)
	w.repo.Write("check.sh", "echo x >> \"$1/asked\"\nwhile [ -e \"$1/slow\" ]; do sleep 0.1; done\nif [ -e \"$1/code\" ]; then exit \"$(cat \"$1/code\")\"; fi\n")
	w.park("", "", `stack "one" {
  verify "prometheus" {
    url    = "`+server+`"
    query  = "sum(app_errors{job=\"${output.job}\"})"
    below  = 5
    within = "20s"
  }
  verify "command" {
    command = ["sh", "check.sh", "`+w.dir+`"]
  }
}
`)
	w.stack("one", "first", "output \"job\" {\n  value = \"test\"\n}\n")
	w.stack("two", "first", "")
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	states, runs := w.run("state", "versions", "one@dev"), len(ask[[]struct{ ID string }](w, "run", "list"))

	t.Log("a pass")
	out := w.run("verify", "one@dev", "--wait")
	says(t, "verify", out, "one@dev: pass (release 1, r-", `sum(app_errors{job="test"}): pass: it is 0, which is below 5`, "check.sh", "exit 0")
	if now := w.run("state", "versions", "one@dev"); strings.Count(now, "\n") != strings.Count(states, "\n") {
		t.Errorf("asking changed the state:\n%s", now)
	}
	if all := ask[[]struct{ ID string }](w, "run", "list"); len(all) != runs+1 {
		t.Errorf("asking once made %d runs", len(all)-runs)
	}

	t.Log("no answer")
	w.answers("75")
	stdout, stderr, code := w.try("verify", "one@dev", "--wait")
	if code != 1 || !strings.Contains(stdout, "one@dev: inconclusive") {
		t.Errorf("verify: exit %d\n%s%s", code, stdout, stderr)
	}
	if state, reason := w.cell("one@dev"); state != "up_to_date" {
		t.Errorf("without an answer one@dev is %s: %s", state, reason)
	}
	w.answers("0")

	t.Log("a fail, in an environment of which one stack has nothing to ask")
	errors.Store(7)
	testkit.Eventually(t, patience, "Prometheus to know", func() bool {
		resp, err := http.Get(server + "/api/v1/query?query=app_errors%3D%3D7")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		return err == nil && strings.Contains(string(body), `"7"`)
	})
	stdout, stderr, code = w.try("verify", "dev", "--wait", "--json")
	var v verifications
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		t.Fatalf("%v: %s%s", err, stdout, stderr)
	}
	if code != 1 || len(v.Runs) != 1 || v.Runs[0].Kind != "verify" || v.Runs[0].Status != "failed" || len(v.Runs[0].Verified) != 2 || !strings.Contains(v.Runs[0].Verified[0].Message, "it is 7, which is not below 5") {
		t.Errorf("verify: exit %d\n%s%s", code, stdout, stderr)
	}
	if len(v.Skipped) != 1 || v.Skipped[0].Instance != "two@dev" || !strings.Contains(v.Skipped[0].Why, "no verify block") {
		t.Errorf("skipped %+v", v.Skipped)
	}
	if state, reason := w.cell("one@dev"); state == "up_to_date" || !strings.Contains(reason, "terrace rollout start") {
		t.Errorf("after a fail one@dev is %s: %s", state, reason)
	}
	errors.Store(0)

	t.Log("what cannot be asked is said")
	for _, bad := range [][]string{{"verify", "nowhere"}, {"verify", "nobody@dev"}, {"verify", "a@b@c"}, {"verify", "two@dev"}, {"verify"}} {
		if _, _, code := w.try(bad...); code == 0 {
			t.Errorf("%q is accepted", bad)
		}
	}

	t.Log("a release that enters ends it, and while it is there nobody asks by hand")
	if err := os.WriteFile(w.file("slow"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := lines(w.file("asked"))
	by := ask[struct{ Runs []run }](w, "verify", "one@dev").Runs[0]
	if again := ask[struct{ Runs []run }](w, "verify", "dev").Runs[0]; again.ID != by.ID {
		t.Errorf("asked again, %s asks, and not %s", again.ID, by.ID)
	}
	w.eventually("it to ask", func() bool { return lines(w.file("asked")) > before })
	w.stack("one", "second", "output \"job\" {\n  value = \"test\"\n}\n")
	second := w.pushed("Two")
	w.eventually("it to give way", func() bool {
		for _, r := range get[[]run](w, "runs?environment=dev&stack=one") {
			if r.ID == by.ID {
				by = r
			}
		}
		return by.Status == "cancelled"
	})
	says(t, "what was asked by hand", by.Error.Message, "release 2, which entered dev")
	if _, stderr, code := w.try("verify", "dev"); code != 1 || !strings.Contains(stderr, "release 2 is in dev") || !strings.Contains(stderr, "terrace rollout start --commit 2") {
		t.Errorf("verify while a release is in dev: exit %d\n%s", code, stderr)
	}
	if err := os.Remove(w.file("slow")); err != nil {
		t.Fatal(err)
	}
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	if state, reason := w.cell("one@dev"); state != "up_to_date" {
		t.Errorf("verified again, one@dev is %s: %s", state, reason)
	}
}
