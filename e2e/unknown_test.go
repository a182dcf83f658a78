package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// ancestors lists the processes above one up to the runner, which is the last.
func (w *world) ancestors(pid int) []int {
	w.Helper()
	var above []int
	for {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			w.Fatal(err)
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		pid, err = strconv.Atoi(fields[1])
		if err != nil {
			w.Fatal(err)
		}
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			w.Fatal(err)
		}
		above = append(above, pid)
		if args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00"); filepath.Base(args[0]) == filepath.Base(terrace) {
			if len(args) != 2 || args[1] != "exec" {
				w.Fatalf("above the gate is %q, which is no runner", args)
			}
			return above
		}
		if pid <= 1 {
			w.Fatal("there is no runner above the gate")
		}
	}
}

// Rule 20: an apply whose end nobody saw is unknown at once, nothing enters, and after
// a person had it found out the rollout goes on by itself.
func TestKilledRunnerIsUnknownUntilRecovered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("one", "first", w.gate("dev", "a"))
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	gate := w.began("a")
	above := w.ancestors(gate)
	for _, pid := range above[max(0, len(above)-2):] {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	killed := time.Now()
	r := w.ends(first)
	if took := time.Since(killed); took > 30*time.Second {
		t.Errorf("the rollout became %s after %s", r.Status, took)
	}
	w.wants(r, "unknown", "dev unknown", "production waiting")
	lost := w.runAt("one@dev", "unknown")
	says(t, "run show", w.run("run", "show", lost.ID), "terrace run recover "+lost.ID)
	if state, reason := w.cell("one@dev"); state != "unknown" {
		t.Errorf("one@dev is %s: %s", state, reason)
	} else {
		says(t, "the status", reason, "terrace run recover "+lost.ID)
	}
	testkit.Eventually(t, 10*time.Second, "the gate's process to be gone", func() bool { return syscall.Kill(gate, 0) == syscall.ESRCH })
	if stdout, stderr, code := w.try("rollout", "watch", r.ID, "--timeout", "30s"); code != 1 && code != 3 {
		t.Errorf("rollout watch: exit %d\n%s%s", code, stdout, stderr)
	}

	t.Log("a newer commit does not enter")
	w.stack("one", "second", "")
	second := w.repo.Commit("Two")
	w.push()
	w.awaits(second, "the newer commit to wait for the lease", func(r rollout) bool {
		_, why := r.stage("dev")
		return strings.Contains(why, "lease of dev") && strings.Contains(why, "unknown")
	})
	if runs := ask[[]run](w, "run", "list"); len(runs) != 1 {
		t.Errorf("there are the runs %v", instances(runs))
	}
	w.run("rollout", "cancel", w.of(second).ID)
	w.wants(w.ends(second), "cancelled", "dev cancelled", "production cancelled")

	t.Log("recovered, the stage goes on by itself")
	open(t, w.file("go-a"))
	w.run("run", "recover", lost.ID)
	if _, stderr, code := w.try("run", "recover", "r-0"); code != 1 {
		t.Errorf("recovering a run that is not there: exit %d %s", code, stderr)
	}
	w.wants(w.awaits(first, "the recovered rollout to go on", func(r rollout) bool { return r.Status != "running" && r.Status != "unknown" }),
		"succeeded", "dev succeeded", "production succeeded")
	if got := w.output("one@production", "said"); got != "first in production" {
		t.Errorf("production says %q", got)
	}
	if _, stderr, code := w.try("run", "recover", lost.ID); code != 1 || !strings.Contains(stderr, "recovered already") {
		t.Errorf("recovering twice: exit %d %s", code, stderr)
	}
}

// A runner that hangs is given up by a person, not before it was asked to stop: it is
// killed, and its outcome is unknown.
func TestAbandonedRunner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("one", "first", w.gate("dev", "a"))
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	above := w.ancestors(w.began("a"))
	runner := above[len(above)-1]
	if err := syscall.Kill(runner, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	hanging := w.runAt("one@dev", "applying")
	if _, stderr, code := w.try("run", "abandon", hanging.ID); code != 1 || !strings.Contains(stderr, "terrace run cancel "+hanging.ID) {
		t.Errorf("abandoned although it answered just now: exit %d %s", code, stderr)
	}
	w.run("run", "cancel", hanging.ID)
	w.run("run", "abandon", hanging.ID, "--reason", "it hangs")
	lost := w.runAt("one@dev", "unknown")
	if lost.Error == nil {
		t.Fatal("the run has no message")
	}
	says(t, "the message", lost.Error.Message, "abandoned by", "it hangs", "terrace run recover "+lost.ID)
	for _, pid := range above {
		testkit.Eventually(t, 10*time.Second, "its processes to be gone", func() bool { return syscall.Kill(pid, 0) == syscall.ESRCH })
	}
	if _, stderr, code := w.try("run", "abandon", hanging.ID); code != 1 || !strings.Contains(stderr, "is over") {
		t.Errorf("abandoned twice: exit %d %s", code, stderr)
	}
	open(t, w.file("go-a"))
	w.run("run", "recover", lost.ID)
	w.awaits(first, "the recovered rollout to go on", func(r rollout) bool { return r.Status == "succeeded" })
}
