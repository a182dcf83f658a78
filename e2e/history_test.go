package e2e

import (
	"strings"
	"syscall"
	"testing"
)

// Rule 2: when a force-push takes away a deployed commit, nothing is promoted until a
// person accepts the new history.
func TestRewrittenHistoryStopsTheProject(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("one", "base", "")
	w.repo.Commit("Base")
	w.stack("one", "first", "")
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	w.repo.Run("reset", "-q", "--hard", "HEAD~1")
	w.stack("one", "other", "")
	other := w.repo.Commit("Another history")
	w.repo.ForcePush()
	w.push()
	w.stopped(first)
	if r := w.of(other); r.ID != "" {
		t.Errorf("the new history has the rollout %+v", r)
	}
	if _, stderr, code := w.try("rollout", "start"); code != 1 || !strings.Contains(stderr, "project acknowledge park") {
		t.Errorf("rollout start: exit %d %s", code, stderr)
	}
	if got := w.output("one@dev", "said"); got != "first in dev" {
		t.Errorf("dev says %q", got)
	}

	w.run("project", "acknowledge", "park")
	w.wants(w.ends(other), "succeeded", "dev succeeded", "production succeeded")
	if got := w.output("one@production", "said"); got != "other in production" {
		t.Errorf("production says %q", got)
	}
	if text := w.run("status"); strings.Contains(text, "acknowledge") {
		t.Errorf("the project is stopped still:\n%s", text)
	}
	if _, _, code := w.try("project", "acknowledge", "park"); code != 1 {
		t.Errorf("acknowledging nothing: exit %d", code)
	}
}

// stopped waits until the status says that a commit is missing, and how to go on.
func (w *world) stopped(commit string) {
	w.Helper()
	var text string
	w.eventually("the project to be stopped", func() bool {
		text = w.run("status")
		return strings.Contains(text, "rewritten")
	})
	says(w.T, "status", text, commit[:8], "terrace project acknowledge park")
}

// Rule 7: a newer release queues behind a barrier, and both go through.
func TestBarrierIsNotSkipped(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second, third := w.threeAtAHold("", "Two\n\nTerrace-Barrier: true")
	w.run("unhold", "production")
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	w.wants(w.ends(first), "superseded", "dev succeeded", "production superseded")
	w.order("production", second, third)
}

// Rule 6: with queue = "every" no commit is skipped, also not those of one push.
func TestEveryCommitGoesThrough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, second, third := w.threeAtAHold(`queue = "every"`, "Two")
	w.stack("one", "fourth", "")
	fourth := w.repo.Commit("Four")
	w.stack("one", "fifth", "")
	fifth := w.repo.Commit("Five")
	w.push()
	w.awaits(fifth, "dev to be done", func(r rollout) bool { s, _ := r.stage("dev"); return s == "succeeded" })
	w.run("unhold", "production")
	for _, commit := range []string{first, second, third, fourth, fifth} {
		w.wants(w.ends(commit), "succeeded", "dev succeeded", "production succeeded")
	}
	w.order("production", first, second, third, fourth, fifth)
}

// threeAtAHold promotes three commits up to a hold on production.
func (w *world) threeAtAHold(queue, message string) (first, second, third string) {
	w.Helper()
	w.park(queue, queue, "")
	w.stack("one", "zeroth", "")
	zeroth := w.repo.Commit("Zero")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(zeroth), "succeeded", "dev succeeded", "production succeeded")
	w.run("hold", "production", "--reason", "wait")
	var commits []string
	for _, m := range []string{"One", message, "Three"} {
		w.stack("one", strings.ToLower(m[:3]), "")
		commit := w.repo.Commit(m)
		w.push()
		w.awaits(commit, "dev to be done", func(r rollout) bool { s, _ := r.stage("dev"); return s == "succeeded" })
		commits = append(commits, commit)
	}
	return commits[0], commits[1], commits[2]
}

// order wants the commits to have been applied in an environment in this order, after
// the first one and without others between them.
func (w *world) order(environment string, commits ...string) {
	w.Helper()
	var got []string
	for _, r := range get[[]run](w, "runs?environment="+environment) {
		got = append([]string{r.Release.Commit}, got...)
	}
	if want := strings.Join(commits, " "); strings.Join(got[1:], " ") != want {
		w.Errorf("%s had %q, want %q", environment, got[1:], want)
	}
}

// Two upgrades in the middle of a rollout, one while something is applied, lose nothing
// and repeat nothing.
func TestTwoRestartsMidRolloutLoseNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "stack \"two\" {\n  inputs = { on = stack.one.said }\n}\n")
	w.stack("one", "one", w.gate("dev", "a"))
	w.stack("two", "two", "variable \"on\" {\n  type = string\n}\n"+w.gate("production", "b"))
	commit := w.repo.Commit("Two stacks")
	w.repo.Push()
	w.add("park")
	for _, word := range []string{"a", "b"} {
		w.began(word)
		w.stop(syscall.SIGTERM)
		w.start()
		if r := w.of(commit); r.Status != "running" {
			t.Errorf("after the restart the rollout is %s", r.Status)
		}
		open(t, w.file("go-"+word))
	}
	w.wants(w.ends(commit), "succeeded", "dev succeeded", "production succeeded")
	runs := get[[]run](w, "runs")
	if len(runs) != 4 {
		t.Errorf("there were the runs %v", instances(runs))
	}
	for _, r := range runs {
		if r.Status != "succeeded" {
			t.Errorf("%s is %s: %+v", r.Instance, r.Status, r.Error)
		}
		if text := w.run("run", "logs", r.ID); !strings.Contains(text, "Apply complete") && !strings.Contains(text, "Creation complete") {
			t.Errorf("the log of %s lost its end:\n%s", r.Instance, text)
		}
	}
	for _, word := range []string{"a", "b"} {
		if b, d := lines(w.file("began-"+word)), lines(w.file("done-"+word)); b != 1 || d != 1 {
			t.Errorf("gate %s began %d times and was done %d times", word, b, d)
		}
	}
}
