package e2e

import (
	"strings"
	"testing"
	"time"
)

// Rule 7: a barrier behind a window holds newer releases back, though they have no window
// themselves; skipping the window for it lets all of them through, in order.
func TestBarrierBehindAWindow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("one", "zeroth", "")
	zeroth := w.repo.Commit("Zero")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(zeroth), "succeeded", "dev succeeded", "production succeeded")

	day := strings.ToLower(time.Now().UTC().AddDate(0, 0, 3).Weekday().String()[:3])
	w.park("", "freeze {\n    from = \"2020-01-01T00:00\"\n    to = \"2099-01-01T00:00\"\n  }\n  window { days = [\""+day+"\"] }", "")
	w.stack("one", "first", "")
	first := w.repo.Commit("One\n\nTerrace-Barrier: true")
	w.push()
	w.waitsAt(first, "production", "freeze", "window")
	w.park("", "", "")
	w.stack("one", "second", "")
	second := w.repo.Commit("Two")
	w.push()
	w.waitsAt(second, "production", "order")
	says(t, "the newer one", w.of(second).Stages[1].WaitsFor, "release 2, which goes first (barrier)")

	// Skipping for the one behind it skips the barrier no more than it skips a check.
	if _, _, code := w.try("promote", "production", "--release", "3", "--yes", "--skip-gate", "upstream,hold,freeze,window", "--reason", "quick"); code != 3 {
		t.Errorf("exit %d while the barrier goes first", code)
	}
	w.waitsAt(second, "production", "order")
	w.run("promote", "production", "--release", "2", "--yes", "--skip-gate", "freeze,window", "--reason", "it goes first")
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	w.order("production", first, second)
}

// Rule 6: with queue = "every" a release that fails is not waited for; the next is its
// correction, and those behind it keep their order.
func TestEveryCommitGoesOnAfterAFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park(`queue = "every"`, `queue = "every"`, "")
	w.stack("one", "zeroth", "")
	zeroth := w.repo.Commit("Zero")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(zeroth), "succeeded", "dev succeeded", "production succeeded")
	w.run("hold", "dev", "--reason", "gather")
	w.stack("one", "first", "resource \"terraform_data\" \"bad\" {\n  provisioner \"local-exec\" {\n    command = \"exit 3\"\n  }\n}\n")
	first := w.repo.Commit("One, which fails")
	w.stack("one", "second", "")
	second := w.repo.Commit("Two, which corrects it")
	w.stack("one", "third", "")
	third := w.repo.Commit("Three")
	w.push()
	w.waitsAt(third, "dev", "hold", "order")
	w.run("promote", "dev", "--yes")
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	w.wants(w.ends(first), "failed", "dev failed", "production waiting")
	w.order("production", second, third)
	w.order("dev", first, second, third)
}
