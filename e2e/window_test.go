package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Rules 24 and 28: nothing enters while the window is closed, also when the commit takes the
// window away, and what waits says until when.
func TestWindowsLetInWhenTheyOpen(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	days := func(d ...time.Weekday) string {
		var names []string
		for _, day := range d {
			names = append(names, fmt.Sprintf("%q", strings.ToLower(day.String()[:3])))
		}
		return "window {\n    days = [" + strings.Join(names, ", ") + "]\n    zone = \"Europe/London\"\n  }"
	}
	london, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	today := time.Now().In(london).Weekday()
	around := days((today+6)%7, today, (today+1)%7) // the test may see midnight
	later := days((today+3)%7, (today+4)%7)

	w.park("", around, "")
	w.stack("web", "one", "")
	first := w.repo.Commit("Within the window")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	// It moves the window, and meets the old one, which is open.
	w.park("", later, "")
	w.stack("web", "two", "")
	second := w.repo.Commit("A window later in the week")
	w.push()
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")

	w.stack("web", "three", "")
	third := w.repo.Commit("Too late, or too early")
	w.push()
	waits := func(commit string) {
		t.Helper()
		opening := "the window of production, which opens at 00:00 on " + ((today + 3) % 7).String()
		w.awaits(commit, "to wait for the window", func(r rollout) bool { return strings.HasPrefix(r.Stages[1].WaitsFor, opening) })
		w.wants(w.of(commit), "running", "dev succeeded", "production waiting")
	}
	waits(third)
	if _, reason := w.cell("web@production"); !strings.Contains(reason, "the window of production") {
		t.Errorf("the status says %q", reason)
	}
	w.park("", "", "")
	fourth := w.repo.Commit("Without a window")
	w.push()
	waits(fourth)
	if said := w.output("web@production", "said"); said != "two in production" {
		t.Errorf("production says %v", said)
	}
}
