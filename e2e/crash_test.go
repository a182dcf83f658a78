package e2e

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// gated is a repository whose apply in production says that it began, waits for a file
// called go, and then says that it is done.
func gated(w *world) (began, gate, done string) {
	began, gate, done = filepath.Join(w.dir, "began"), filepath.Join(w.dir, "go"), filepath.Join(w.dir, "done")
	w.repo.Write("terrace.hcl", `project "gated" {
  stacks = ["stacks/*"]
}

environment "dev" {
  variables = { folder = "" }
}

environment "production" {
  after     = ["dev"]
  variables = { folder = "`+w.dir+`" }
}
`)
	w.repo.Write("stacks/one/main.tf", `variable "folder" {
  type = string
}

resource "terraform_data" "one" {
  provisioner "local-exec" {
    command = var.folder == "" ? "true" : "echo x >> ${var.folder}/began; while [ ! -e ${var.folder}/go ]; do sleep 0.05; done; echo x >> ${var.folder}/done"
  }
}
`)
	return began, gate, done
}

func lines(file string) int {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	return strings.Count(string(data), "\n")
}

func open(t *testing.T, gate string) {
	t.Helper()
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// applying brings a fresh world to the middle of its apply in production.
func applying(t *testing.T) (w *world, commit, gate, done string) {
	w = newWorld(t)
	began, gate, done := gated(w)
	commit = w.repo.Commit("One")
	w.repo.Push()
	w.add("gated")
	testkit.Eventually(t, patience, "production to apply", func() bool { return lines(began) == 1 })
	return w, commit, gate, done
}

// once wants the apply in production to have happened once, by one run.
func (w *world) once(commit, done string) {
	w.Helper()
	r := w.rolloutOf(commit)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	if n := lines(done); n != 1 {
		w.Errorf("the apply in production happened %d times", n)
	}
	if n := lines(filepath.Join(filepath.Dir(done), "began")); n != 1 {
		w.Errorf("the apply in production began %d times", n)
	}
	if runs := ask[[]run](w, "run", "list", "--environment", "production"); len(runs) != 1 || runs[0].Status != "succeeded" {
		w.Errorf("production had the runs %v", instances(runs))
	}
	if !strings.Contains(w.run("state", "show", "one@production"), "terraform_data.one") {
		w.Error("the state does not have what was applied")
	}
}

// The server is killed while production applies and comes back: the run ends as it
// would have, once.
func TestKilledServerFindsItsRunAgain(t *testing.T) {
	t.Parallel()
	w, commit, gate, done := applying(t)
	w.stop(syscall.SIGKILL)
	w.start()
	open(t, gate)
	w.once(commit, done)
}

// The apply ends while there is no server: its runner keeps the end until there is one,
// and it is as if there always had been.
func TestApplyEndsWithoutAServer(t *testing.T) {
	t.Parallel()
	w, commit, gate, done := applying(t)
	w.stop(syscall.SIGKILL)
	open(t, gate)
	testkit.Eventually(t, patience, "the apply to end", func() bool { return lines(done) == 1 })
	w.start()
	w.once(commit, done)
}

// A runner that the next server found again is watched as if it were its own: its end is
// seen at once.
func TestFoundRunnerIsWatched(t *testing.T) {
	t.Parallel()
	w, _, _, done := applying(t)
	w.stop(syscall.SIGKILL)
	w.start()
	testkit.Eventually(t, patience, "the runner to be found", func() bool { return strings.Contains(w.log(), "found the runner of a run again") })
	_, found, _ := strings.Cut(w.log(), "found the runner of a run again")
	var pid int
	for _, field := range strings.Fields(found) {
		if value, ok := strings.CutPrefix(field, "pid="); ok && pid == 0 {
			if n, err := strconv.Atoi(value); err == nil {
				pid = n
			}
		}
	}
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); pid < 2 || err != nil {
		t.Fatalf("killing %d: %v", pid, err)
	}
	testkit.Eventually(t, patience, "its end to be seen", func() bool {
		all := ask[[]run](w, "run", "list", "--environment", "production")
		return len(all) == 1 && all[0].Status == "unknown"
	})
	if took := time.Since(killed); took > 10*time.Second {
		t.Errorf("that took %s", took)
	}
	if n := lines(done); n != 0 {
		t.Error("what the runner had started went on")
	}
}

// An upgrade: the server is asked to stop, and its run goes on.
func TestStoppedServerLeavesItsRunAlone(t *testing.T) {
	t.Parallel()
	w, commit, gate, done := applying(t)
	w.stop(syscall.SIGTERM)
	w.start()
	open(t, gate)
	w.once(commit, done)
}
