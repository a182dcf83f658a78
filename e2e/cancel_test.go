package e2e

import (
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// pipe makes a named pipe, at which whoever reads waits until it is closed.
func (w *world) pipe(name string) (path string, closing func()) {
	w.Helper()
	path = w.file(name)
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		w.Fatal(err)
	}
	closing = sync.OnceFunc(func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0) // does not wait for a reader
		if err == nil {
			err = errors.Join(os.Remove(path), f.Close())
		}
		if err != nil {
			w.Error(err)
		}
	})
	w.Cleanup(closing)
	return path, closing
}

// A run that is cancelled while it applies keeps what it did; the environment is held
// and says so; a newer commit passes.
func TestCancelledApplyHoldsTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"run", "rollout"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.park("", "", "")
			w.stack("one", "first", w.gate("dev", "a"))
			first := w.repo.Commit("One")
			w.repo.Push()
			w.add("park")
			w.began("a")
			if way == "run" {
				w.run("run", "cancel", w.runAt("one@dev", "applying").ID)
				w.wants(w.ends(first), "cancelled", "dev cancelled", "production waiting")
			} else {
				w.run("rollout", "cancel", w.of(first).ID)
				w.wants(w.ends(first), "cancelled", "dev cancelled", "production cancelled")
			}
			cancelled := w.runAt("one@dev", "cancelled")
			if cancelled.Error == nil {
				t.Fatal("the run has no message")
			}
			says(t, "the message", cancelled.Error.Message, "cancelled", "terraform_data.it", "terraform_data.gate")
			says(t, "the state", w.run("state", "show", "one@dev"), "terraform_data.it")
			says(t, "the status", w.run("status"), "dev is held", cancelled.Instance)
			if lines(w.file("done-a")) > 0 {
				t.Error("the provisioner went on")
			}

			t.Log("a newer commit passes")
			w.stack("one", "second", "")
			second := w.repo.Commit("Two")
			w.push()
			w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
			if text := w.run("status"); strings.Contains(text, "held") {
				t.Errorf("the hold was not lifted:\n%s", text)
			}
		})
	}
}

// A run that is cancelled before it applies leaves nothing behind and holds nothing.
func TestCancelledBeforeTheApplyHoldsNothing(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"run", "rollout"} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.park("", "", "")
			w.stack("one", "first", "")
			pipe, closing := w.pipe("pipe")
			w.repo.Write("stacks/one/slow.tf", "resource \"terraform_data\" \"slow\" {\n  input = var.place == \"dev\" ? file(\""+pipe+"\") : \"\"\n}\n")
			first := w.repo.Commit("One")
			w.repo.Push()
			w.add("park")
			r := w.runAt("one@dev", "planning")
			if way == "run" {
				w.run("run", "cancel", r.ID)
				closing()
				w.wants(w.ends(first), "cancelled", "dev cancelled", "production waiting")
			} else {
				w.run("rollout", "cancel", w.of(first).ID)
				testkit.Eventually(t, patience, "the run's cancellation", func() bool { return strings.Contains(w.run("events"), "run.cancel_asked") })
				closing()
				w.wants(w.ends(first), "cancelled", "dev cancelled", "production cancelled")
			}
			cancelled := w.runAt("one@dev", "cancelled")
			if cancelled.Error == nil {
				t.Fatal("the run has no message")
			}
			says(t, "the message", cancelled.Error.Message, "cancelled", "before anything was changed")
			if text := w.run("status"); strings.Contains(text, "held") {
				t.Errorf("something is held:\n%s", text)
			}
			if _, _, code := w.try("run", "cancel", r.ID); code != 1 {
				t.Errorf("cancelling what is over: exit %d", code)
			}

			t.Log("asked again, the same commit goes through")
			open(t, pipe)
			w.run("rollout", "start", "--wait")
			w.wants(w.of(first), "succeeded", "dev succeeded", "production succeeded")
		})
	}
}

// Rule 22: what a person holds is passed by nobody until a person lifts it.
func TestHoldLetsNothingIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("one", "first", "")
	w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(w.repo.Head()), "succeeded", "dev succeeded", "production succeeded")
	w.run("hold", "production", "--reason", "the fair is on")
	says(t, "status", w.run("status"), "production is held", "the fair is on")
	w.stack("one", "second", "")
	second := w.repo.Commit("Two")
	w.push()
	waits := func(r rollout) bool {
		status, why := r.stage("production")
		return status == "waiting" && strings.Contains(why, "the fair is on")
	}
	w.awaits(second, "production to wait", waits)
	if stdout, stderr, code := w.try("rollout", "start", "--wait", "--timeout", "30s"); code != 3 {
		t.Errorf("rollout start --wait: exit %d, want 3\n%s%s", code, stdout, stderr)
	} else {
		says(t, "rollout start --wait", stdout+stderr, "the fair is on")
		if strings.Contains(stderr, "still goes on") {
			t.Error("it waited for its timeout although only a person can open this")
		}
	}
	w.stack("one", "third", "")
	third := w.repo.Commit("Three")
	w.push()
	w.awaits(third, "production to wait again", waits)
	if got := w.output("one@production", "said"); got != "first in production" {
		t.Errorf("production says %q", got)
	}
	w.run("unhold", "production")
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	w.wants(w.ends(second), "superseded", "dev succeeded", "production superseded")
	if _, _, code := w.try("unhold", "production"); code != 1 {
		t.Errorf("lifting a hold that is not there: exit %d", code)
	}
	testkit.Eventually(t, patience, "the events to tell", func() bool {
		text := w.run("events")
		return strings.Contains(text, "held") && strings.Contains(text, "production")
	})
}
