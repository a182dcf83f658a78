package e2e

import (
	"strings"
	"testing"
	"time"
)

// Rule 24: a freeze closes an environment though its window is open, says why and until when,
// and lets in again when it is lifted or over.
func TestFreezes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	christmas := func(from, to time.Duration) string {
		const layout = "2006-01-02T15:04"
		now := time.Now().UTC()
		return "window { }\n  freeze {\n    from = \"" + now.Add(from).Format(layout) + "\"\n    to = \"" + now.Add(to).Format(layout) + "\"\n    reason = \"Christmas\"\n  }"
	}
	w.park("", "window { }", "")
	w.stack("web", "one", "")
	first := w.repo.Commit("Before the freeze")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	type freeze struct{ ID, Environment, Status, Reason string }
	set := ask[freeze](w, "freeze", "production", "--reason", "the fair")
	if set.Status != "active" || !strings.HasPrefix(set.ID, "fz-") {
		t.Fatalf("set %+v", set)
	}
	w.stack("web", "two", "")
	second := w.repo.Commit("During the freeze")
	w.push()
	waits := func(commit, text string) {
		t.Helper()
		w.awaits(commit, "to wait for "+text, func(r rollout) bool { return strings.HasPrefix(r.Stages[1].WaitsFor, text) })
		w.wants(w.of(commit), "running", "dev succeeded", "production waiting")
	}
	waits(second, "a freeze of production: the fair (user:")

	for args, want := range map[string]string{
		"freeze prodction":                                       `no environment "prodction"`,
		"freeze production --until 2020-01-01T00:00":             "not after",
		"freeze production --until yesterday":                    "not a time",
		"freeze production --until 2030-01-01T00:00 --for 1h":    "until for",
		"freeze production --all":                                "name one environment",
		"freeze production --for -1h":                            "cannot be taken",
		"freeze production --zone Mars --until 2030-01-01T00:00": "not a time zone",
		"unfreeze --all":                                         "no freeze of all environments",
		"unfreeze dev":                                           "nobody set a freeze on dev",
	} {
		if _, stderr, code := w.try(strings.Fields(args)...); code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("terrace %s: exit %d, %s; want %q", args, code, stderr, want)
		}
	}
	everywhere := ask[freeze](w, "freeze", "--all", "--for", "48h", "--reason", "everybody is away")
	w.run("unfreeze", "production")
	waits(second, "a freeze of production until ")
	if list := ask[[]freeze](w, "freeze", "list"); len(list) != 1 || list[0].ID != everywhere.ID {
		t.Errorf("freezes that go on: %+v", list)
	}
	if all := w.run("freeze", "list", "--all"); !strings.Contains(all, "lifted") || !strings.Contains(all, "the fair") {
		t.Errorf("every freeze:\n%s", all)
	}
	w.run("unfreeze", everywhere.ID)
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")

	// One of the commit itself: it meets its own. Dropping it does not help (rule 28) where it
	// is there; here it never got there, so the commit that drops it goes through.
	w.park("", christmas(-time.Hour, 2*time.Hour), "")
	w.stack("web", "three", "")
	third := w.repo.Commit("Freeze over Christmas")
	w.push()
	waits(third, "a freeze of production until ")
	if list := w.run("freeze", "list"); !strings.Contains(list, "Christmas") || !strings.Contains(list, "terrace.hcl of release 3") {
		t.Errorf("the freeze of the configuration is not listed:\n%s", list)
	}
	w.park("", "window { }", "")
	fourth := w.repo.Commit("Without it")
	w.push()
	w.wants(w.ends(fourth), "succeeded", "dev succeeded", "production succeeded")
	if events := w.run("events"); !strings.Contains(events, "environment.frozen") || !strings.Contains(events, "environment.unfrozen") {
		t.Errorf("events:\n%s", events)
	}
}
