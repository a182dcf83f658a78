package e2e

import (
	"os"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// asked writes a verification that notes each time it is asked, and ends with the exit
// code that a file holds.
func (w *world) asked() string {
	w.Helper()
	w.repo.Write("check.sh", "echo x >> \"$1/asked\"\nif [ -e \"$1/code\" ]; then exit \"$(cat \"$1/code\")\"; fi\n")
	return "stack \"one\" {\n  verify \"command\" {\n    command = [\"sh\", \"check.sh\", \"" + w.dir + "\"]\n  }\n}\n"
}

func (w *world) answers(code string) {
	w.Helper()
	// At once: half of an answer would be another one.
	if err := os.WriteFile(w.file("code.new"), []byte(code), 0o600); err != nil {
		w.Fatal(err)
	}
	if err := os.Rename(w.file("code.new"), w.file("code")); err != nil {
		w.Fatal(err)
	}
}

// Rule 17: a bake in which every answer is a pass lets the release on; one in which
// the answer becomes a fail ends the stage, and nothing goes downstream.
func TestBakeGoesOnAsking(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park(`bake = "1s"`, "", w.asked())
	w.stack("one", "first", "")
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	if n := lines(w.file("asked")); n < 3 { // after each apply, and in the bake
		t.Errorf("it was asked %d times", n)
	}

	w.park(`bake = "10m"`, "", w.asked())
	w.stack("one", "second", "")
	second := w.repo.Commit("Two")
	before := lines(w.file("asked"))
	w.push()
	w.awaits(second, "dev to bake", func(r rollout) bool { s, why := r.stage("dev"); return s == "baking" && strings.Contains(why, "10m") })
	testkit.Eventually(t, patience, "the bake to ask", func() bool { return lines(w.file("asked")) >= before+2 })
	w.answers("1")
	r := w.ends(second)
	w.wants(r, "failed", "dev failed", "production waiting")
	if _, why := r.stage("production"); !strings.Contains(why, "dev, which failed") {
		t.Errorf("production waits for %q", why)
	}
	watch := w.runAt("one@dev", "failed")
	if watch.Kind != "verify" || watch.Error == nil || !strings.Contains(watch.Error.Message, "exit 1") {
		t.Errorf("the bake ended with %+v", watch)
	}
	if got := w.output("one@production", "said"); got != "first in production" {
		t.Errorf("production says %q", got)
	}
	if state, reason := w.cell("one@dev"); state == "up_to_date" {
		t.Errorf("one@dev is %s: %s", state, reason)
	}
}

// Rule 16: no answer is no pass. The stage waits with its lease until it is asked for
// again; nothing is applied a second time.
func TestInconclusiveVerificationPauses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", w.asked())
	w.stack("one", "first", "")
	w.answers("75")
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	r := w.awaits(first, "dev to pause", func(r rollout) bool { _, why := r.stage("dev"); return strings.Contains(why, "inconclusive") })
	w.wants(r, "running", "dev running", "production waiting")
	if stdout, stderr, code := w.try("rollout", "watch", r.ID, "--timeout", "60s"); code != 3 || strings.Contains(stderr, "still goes on") {
		t.Errorf("rollout watch: exit %d\n%s%s", code, stdout, stderr)
	}
	if text := w.run("status"); strings.Contains(text, "is held") {
		t.Errorf("an inconclusive verification holds dev:\n%s", text)
	}
	versions := w.run("state", "versions", "one@dev")
	w.answers("0")
	stdout, stderr, code := w.try("rollout", "start", "--wait")
	if code != 0 {
		t.Errorf("rollout start --wait: exit %d\n%s%s", code, stdout, stderr)
	}
	again := w.of(first)
	w.wants(again, "succeeded", "dev succeeded", "production succeeded")
	if again.ID == r.ID {
		t.Error("asking again made no rollout of its own")
	}
	if now := w.run("state", "versions", "one@dev"); strings.Count(now, "\n") != strings.Count(versions, "\n") {
		t.Errorf("asking again changed the state:\n%s", now)
	}
}
