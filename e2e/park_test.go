package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// park writes a terrace.hcl with dev and production. More may be said of either, and
// after them.
func (w *world) park(dev, production, more string) {
	w.Helper()
	w.repo.Write("terrace.hcl", fmt.Sprintf(`project "park" {
  stacks = ["stacks/*"]
}

environment "dev" {
  variables = { place = environment.name }
  %s
}

environment "production" {
  after     = ["dev"]
  variables = { place = environment.name }
  %s
}

%s
`, dev, production, more))
}

// stack writes a stack of one resource that says a word, with more code behind it.
func (w *world) stack(name, word, more string) {
	w.Helper()
	w.repo.Write("stacks/"+name+"/main.tf", fmt.Sprintf(`variable "place" {
  type = string
}

resource "terraform_data" "it" {
  input = "%s in ${var.place}"
}

output "said" {
  value = terraform_data.it.output
}

%s
`, word, more))
}

// gate is a resource that, in one place, says that it began and waits for a file before
// it is done. It is made again whenever the word changes.
func (w *world) gate(place, word string) string {
	w.Cleanup(func() { open(w.T, w.file("go-"+word)) }) // nobody may wait longer than the test
	return fmt.Sprintf(`resource "terraform_data" "gate" {
  depends_on       = [terraform_data.it]
  triggers_replace = ["%[2]s"]
  provisioner "local-exec" {
    command = var.place != "%[1]s" ? "true" : "echo $$ >> %[3]s/began-%[2]s; while [ ! -e %[3]s/go-%[2]s ]; do sleep 0.05; done; echo x >> %[3]s/done-%[2]s"
  }
}
`, place, word, w.dir)
}

func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

// began waits until a gate was reached and returns the process that waits there.
func (w *world) began(word string) int {
	w.Helper()
	testkit.Eventually(w, patience, "the gate "+word+" to be reached", func() bool { return lines(w.file("began-"+word)) > 0 })
	data, err := os.ReadFile(w.file("began-" + word))
	if err != nil {
		w.Fatal(err)
	}
	first, _, _ := strings.Cut(string(data), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		w.Fatal(err)
	}
	return pid
}

// get asks the API itself, which is quicker than the command line where one asks often.
func get[T any](w *world, path string) T {
	w.Helper()
	var v T
	resp, text := w.send(http.MethodGet, w.url+"/api/v1/projects/"+w.project+"/"+path, nil, map[string]string{"Authorization": "Bearer " + w.token})
	if err := json.Unmarshal([]byte(text), &v); resp.StatusCode != http.StatusOK || err != nil {
		w.Fatalf("GET %s: %s %v\n%s", path, resp.Status, err, text)
	}
	return v
}

// of returns the newest rollout of a commit; it has no ID when there is none.
func (w *world) of(commit string) rollout {
	w.Helper()
	for _, r := range get[[]rollout](w, "rollouts") {
		if r.Release.Commit == commit {
			return r
		}
	}
	return rollout{}
}

// awaits waits until the newest rollout of a commit fulfils is.
func (w *world) awaits(commit, what string, is func(rollout) bool) rollout {
	w.Helper()
	var r rollout
	ok := false
	defer func() {
		if !ok {
			w.Logf("it is %+v", r)
		}
	}()
	testkit.Eventually(w, patience, what, func() bool {
		r = w.of(commit)
		ok = r.ID != "" && is(r)
		return ok
	})
	return r
}

// ends waits until the newest rollout of a commit does nothing more by itself.
func (w *world) ends(commit string) rollout {
	w.Helper()
	return w.awaits(commit, "the rollout of "+commit+" to end", func(r rollout) bool { return r.Status != "running" })
}

func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	testkit.Eventually(w, patience, what, is)
}

// stage is what a rollout's stage is and what it waits for.
func (r rollout) stage(environment string) (status, waitsFor string) {
	for _, s := range r.Stages {
		if s.Environment == environment {
			return s.Status, s.WaitsFor
		}
	}
	return "", ""
}

// runAt waits until the newest run at an instance has a status.
func (w *world) runAt(instance, status string) run {
	w.Helper()
	stack, environment, _ := strings.Cut(instance, "@")
	var r run
	testkit.Eventually(w, patience, "a run at "+instance+" to be "+status, func() bool {
		all := get[[]run](w, "runs?environment="+environment+"&stack="+stack)
		if len(all) > 0 {
			r = all[0]
		}
		return r.Status == status
	})
	return r
}

// state is what the board says of an instance: its state and the reason.
func (w *world) cell(instance string) (state, reason string) {
	w.Helper()
	for _, i := range get[status](w, "status").Instances {
		if i.Instance == instance {
			return i.State, i.Reason
		}
	}
	return "", ""
}

// says fails unless a text contains all words.
func says(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s does not say %q:\n%s", what, word, text)
		}
	}
}
