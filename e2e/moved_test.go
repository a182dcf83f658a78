package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// settled adds the repository with what is committed, and waits until it is everywhere.
func (w *world) settled(subject string) {
	w.Helper()
	commit := w.repo.Commit(subject)
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(commit), "succeeded", "dev succeeded", "production succeeded")
}

// pushed commits and pushes.
func (w *world) pushed(subject string) string {
	w.Helper()
	commit := w.repo.Commit(subject)
	w.push()
	return commit
}

// idOf is the ID of the resource "it" in an instance's state.
func (w *world) idOf(instance string) string {
	w.Helper()
	id := readState(w.T, []byte(w.run("state", "pull", instance))).id("it")
	if id == "" {
		w.Fatalf("%s has no resource", instance)
	}
	return id
}

// destroyed fails if anything was ever planned for destruction.
func (w *world) nothingDestroyed() {
	w.Helper()
	for _, r := range get[[]run](w, "runs?limit=1000") {
		if r.Kind == "destroy" || r.Changes.Delete+r.Changes.Replace > 0 {
			w.Errorf("%s of %s is a %s with %+v", r.ID, r.Instance, r.Kind, r.Changes)
		}
	}
}

// Rule 27: a stack that gets another name keeps its state, its history and its
// infrastructure, in every environment, and those that depend on it do not run.
func TestRenamedStackKeepsItsState(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	guest := "variable \"on\" {\n  type = string\n}\n"
	w.park("", "", "stack \"guest\" {\n  inputs = { on = stack.house.said }\n}\n")
	w.stack("house", "house", "")
	w.stack("guest", "guest", guest)
	w.settled("A house with a guest")
	ids := map[string]string{"dev": w.idOf("house@dev"), "production": w.idOf("house@production")}
	first := w.runAt("house@dev", "succeeded")

	const renamed = "stack \"home\" {\n  moved_from = \"house\"\n}\nstack \"guest\" {\n  inputs = { on = stack.home.said }\n}\n"
	w.park("", "", renamed)
	w.repo.Remove("stacks/house")
	w.stack("home", "house", "")
	second := w.pushed("The house is a home")
	r := w.ends(second)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	runs := w.runsOf(r)
	for _, run := range runs {
		if !strings.HasPrefix(run.Instance, "home@") || run.Changes != (struct{ Create, Update, Replace, Delete int }{}) {
			t.Errorf("%s of %s changes %+v", run.ID, run.Instance, run.Changes)
		}
		says(t, "run show", w.run("run", "show", run.ID), "Check moved: pass", "it was house@")
	}
	if len(runs) != 2 {
		t.Errorf("%d runs, want one in each environment", len(runs))
	}
	for environment, id := range ids {
		if now := w.idOf("home@" + environment); now != id {
			t.Errorf("the resource of home@%s is %s, was %s", environment, now, id)
		}
		if state, reason := w.cell("home@" + environment); state != "up_to_date" {
			t.Errorf("home@%s is %s: %s", environment, state, reason)
		}
		if state, _ := w.cell("house@" + environment); state != "" {
			t.Errorf("house@%s is still there: %s", environment, state)
		}
	}
	w.nothingDestroyed()

	t.Log("history stays readable, under both names")
	says(t, "runs of the new name", w.run("run", "list", "--stack", "home"), first.ID, "house@dev", "home@dev")
	says(t, "runs of the old name", w.run("run", "list", "--stack", "house"), first.ID)
	says(t, "the old run's log", w.run("run", "logs", first.ID), "house@dev")
	says(t, "the audit log", w.run("events"), "instance.moved")
	type version struct{ ID, Serial int64 }
	versions := ask[[]version](w, "state", "versions", "home@dev")
	if len(versions) == 0 {
		t.Fatal("the versions are gone")
	}
	for _, v := range versions {
		old := w.run("state", "pull", "home@dev", "--version", strconv.FormatInt(v.ID, 10))
		if got := readState(t, []byte(old)); int64(got.Serial) != v.Serial {
			t.Errorf("version %d opens with serial %d, want %d", v.ID, got.Serial, v.Serial)
		}
	}

	t.Log("a laptop that still uses the old name does not begin anew")
	out, err := w.laptop("house@dev", "stacks/home", "plan", "-input=false", "-var", "place=dev")
	if err == nil || !strings.Contains(out, "409") { // of the answer, engines show the status alone
		t.Errorf("tofu plan with the old name: %v\n%s", err, out)
	}

	t.Log("then it changes like any other")
	w.stack("home", "castle", "")
	third := w.pushed("A castle")
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	w.park("", "", strings.Replace(renamed, "moved_from = \"house\"", "", 1))
	fourth := w.pushed("It was always a castle")
	r = w.ends(fourth)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	if n := len(w.runsOf(r)); n != 0 {
		t.Errorf("%d runs for a moved_from that goes", n)
	}
	if now := w.idOf("home@dev"); now != ids["dev"] {
		t.Errorf("the resource is %s, was %s", now, ids["dev"])
	}
	w.stop(syscall.SIGTERM)
	if out, err := exec.CommandContext(t.Context(), terrace, "admin", "check", "--data", w.data).CombinedOutput(); err != nil {
		t.Errorf("admin check: %v\n%s", err, out)
	}
	w.start()
}

// laptop runs the engine as a person would, with the state of an instance.
func (w *world) laptop(instance, folder string, args ...string) (string, error) {
	w.Helper()
	dir := filepath.Join(w.T.TempDir(), "laptop")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(w.repo.Dir, folder))); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "terrace_override.tf"), []byte("terraform {\n  backend \"http\" {}\n}\n"), 0o600); err != nil {
		w.Fatal(err)
	}
	_, environment, _ := strings.Cut(instance, "@")
	stack := strings.TrimSuffix(instance, "@"+environment)
	address := w.url + "/state/park/" + environment + "/" + stack
	env := append(os.Environ(), "TF_CLI_CONFIG_FILE=", "TF_HTTP_ADDRESS="+address, "TF_HTTP_LOCK_ADDRESS="+address, "TF_HTTP_UNLOCK_ADDRESS="+address,
		"TF_HTTP_LOCK_METHOD=LOCK", "TF_HTTP_UNLOCK_METHOD=UNLOCK", "TF_HTTP_USERNAME=terrace", "TF_HTTP_PASSWORD="+w.token, "TF_HTTP_RETRY_MAX=0")
	var all strings.Builder
	for _, line := range [][]string{{"init", "-input=false"}, args} {
		cmd := exec.CommandContext(w.Context(), testkit.Tofu(w.T), append([]string{"-chdir=" + dir}, append(line, "-no-color")...)...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		all.Write(out)
		if err != nil {
			return all.String(), err
		}
	}
	return all.String(), nil
}

// Rule 27: a rename that changes something is stopped before anything is changed; as a
// commit of its own it goes through.
func TestRenameProvesThatNothingChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("house", "house", "")
	w.settled("A house")
	id := w.idOf("house@dev")

	w.park("", "", "stack \"home\" {\n  moved_from = \"house\"\n}\n")
	w.repo.Remove("stacks/house")
	w.stack("home", "castle", "")
	second := w.pushed("A castle that is called home")
	r := w.ends(second)
	w.wants(r, "failed", "dev failed", "production waiting")
	failed := w.runAt("home@dev", "failed")
	says(t, "the denial", failed.Error.Message, "home@dev was house@dev before", "would change terraform_data.it", "a commit of its own", "terrace except home@dev 'terraform_data.it'")
	if now := w.idOf("home@dev"); now != id {
		t.Errorf("the resource is %s, was %s", now, id)
	}

	t.Log("the rename alone, with something new")
	w.stack("home", "house", "resource \"terraform_data\" \"door\" {\n}\n")
	third := w.pushed("First the name")
	r = w.ends(third)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	for _, run := range w.runsOf(r) {
		if run.Changes.Create != 1 || run.Changes.Update+run.Changes.Replace+run.Changes.Delete != 0 {
			t.Errorf("%s changes %+v", run.Instance, run.Changes)
		}
		says(t, "run show", w.run("run", "show", run.ID), "Check moved: warn", "terraform_data.door would be added")
	}
	w.stack("home", "castle", "resource \"terraform_data\" \"door\" {\n}\n")
	w.wants(w.ends(w.pushed("Then the castle")), "succeeded", "dev succeeded", "production succeeded")
	if now := w.idOf("home@production"); now == "" {
		t.Error("nothing is left")
	}
	w.nothingDestroyed()

	t.Log("an exception lets a change through with the rename")
	w.park("", "", "stack \"palace\" {\n  moved_from = \"home\"\n}\n")
	w.repo.Remove("stacks/home")
	w.stack("palace", "palace", "resource \"terraform_data\" \"door\" {\n}\n")
	fifth := w.pushed("A palace")
	w.wants(w.ends(fifth), "failed", "dev failed", "production waiting")
	w.run("except", "palace@dev", "terraform_data.it", "--reason", "it is what it is called")
	w.run("rollout", "start")
	w.wants(w.awaits(fifth, "dev to be through", func(r rollout) bool { s, _ := r.stage("production"); return r.Status != "running" && s == "failed" }),
		"failed", "dev succeeded", "production failed")
}

// Rule 27: renames are known also where the release that made them never came by, where
// moved_from was taken out too early, and where they are taken back.
func TestRenamesAreFollowed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rename := func(from, to, more string) {
		w.park("", "", fmt.Sprintf("stack %q {\n  %s\n}\n", to, more))
		w.repo.Remove("stacks/" + from)
		w.stack(to, "house", "")
	}
	w.park("", "", "")
	w.stack("house", "house", "")
	w.settled("A house")
	ids := map[string]string{"dev": w.idOf("house@dev"), "production": w.idOf("house@production")}
	same := func(stack string) {
		t.Helper()
		for environment, id := range ids {
			if now := w.idOf(stack + "@" + environment); now != id {
				t.Errorf("the resource of %s@%s is %s, was %s", stack, environment, now, id)
			}
		}
		w.nothingDestroyed()
	}

	w.run("hold", "production", "--reason", "everybody is away")
	inDev := func(commit string) {
		t.Helper()
		w.awaits(commit, "dev to be through", func(r rollout) bool { s, _ := r.stage("dev"); return s == "succeeded" })
	}
	rename("house", "home", "moved_from = \"house\"")
	inDev(w.pushed("It is a home"))
	rename("home", "villa", "moved_from = \"home\"")
	inDev(w.pushed("It is a villa"))
	rename("villa", "villa", "")
	third := w.pushed("It was always a villa")
	inDev(third)
	if state, reason := w.cell("house@production"); state == "" {
		t.Errorf("house@production is %s: %s", state, reason)
	}
	w.run("unhold", "production")
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	same("villa")

	t.Log("taken back, without a word")
	w.park("", "", "")
	w.repo.Remove("stacks/villa")
	w.stack("house", "house", "")
	fourth := w.pushed("It is a house after all")
	w.wants(w.ends(fourth), "succeeded", "dev succeeded", "production succeeded")
	same("house")
	says(t, "all its runs", w.run("run", "list", "--stack", "house", "-e", "dev"), "house@dev", "home@dev", "villa@dev")
}

// Rule 27: where both names have a state, only a person can say which one it is; where
// somebody has the lock, the stage waits.
func TestRenameThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("house", "house", "")
	w.stack("home", "home", "")
	w.settled("A house and a home")
	house, home := w.idOf("house@dev"), w.idOf("home@dev")

	w.park("", "", "stack \"home\" {\n  moved_from = \"house\"\n}\n")
	w.repo.Remove("stacks/house")
	second := w.pushed("Which of the two?")
	r := w.ends(second)
	w.wants(r, "failed", "dev failed", "production waiting")
	says(t, "the failure", w.runAt("home@dev", "failed").Error.Message, "home@dev is moved from house@dev", "both have a state", "take moved_from out", "Nothing was changed")
	if w.idOf("house@dev") != house || w.idOf("home@dev") != home {
		t.Error("something was changed")
	}

	t.Log("a stage waits for whoever has the lock")
	w.park("", "", "stack \"hut\" {\n  moved_from = \"house\"\n}\n")
	w.stack("hut", "house", "")
	if resp, text := w.send("LOCK", w.url+"/state/park/dev/house", []byte(`{"ID":"held","Who":"ana"}`), map[string]string{"Authorization": "Bearer " + w.token}); resp.StatusCode != http.StatusOK {
		t.Fatalf("LOCK: %s %s", resp.Status, text)
	}
	third := w.pushed("A hut")
	w.awaits(third, "dev to wait for the lock", func(r rollout) bool {
		_, waits := r.stage("dev")
		return strings.Contains(waits, "house@dev, which becomes hut@dev") && strings.Contains(waits, "terrace state unlock house@dev")
	})
	w.run("state", "unlock", "house@dev", "--yes")
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	if now := w.idOf("hut@dev"); now != house {
		t.Errorf("the resource is %s, was %s", now, house)
	}
	w.nothingDestroyed()
}
