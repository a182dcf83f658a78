package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// From one kind of state to the other, or to another place, nothing is created twice:
// the run fails before it applies, until the state was moved.
func TestNothingIsCreatedTwiceWhenAStateMoves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	states := filepath.Join(w.dir, "states")
	at := func(folder string) string {
		return fmt.Sprintf("{ path = \"%s/%s/${environment.name}.tfstate\" }", states, folder)
	}
	file := func(folder string) string { return filepath.Join(states, folder, "dev.tfstate") }
	move := func(from []byte, to string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, from, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		t.Helper()
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	// The stack is in dev alone: what this is about is the same everywhere.
	const here = "stack \"one\" {\n  environments = [\"dev\"]\n}\n"
	refused := func(commit string, words ...string) {
		t.Helper()
		r := w.ends(commit)
		w.wants(r, "failed", "dev failed", "production waiting")
		says(t, "run show", w.run("run", "show", w.runAt("one@dev", "failed").ID), append(words, "would create everything a second time")...)
	}
	again := func(commit string) {
		t.Helper()
		was := w.of(commit).ID
		w.run("rollout", "start")
		r := w.awaits(commit, "the next rollout to end", func(r rollout) bool { return r.ID != was && r.Status != "running" })
		w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	}
	w.stack("one", "first", backend("local"))
	w.park("", "", here)
	first := w.repo.Commit("In Terrace")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	inTerrace := []byte(w.run("state", "pull", "one@dev"))
	id := readState(t, inTerrace).id("it")

	t.Log("to the stack's own backend")
	w.ownPark(at("a"), "", here)
	second := w.repo.Commit("In the stack's own")
	w.push()
	refused(second, "is in Terrace", "has no state", "terrace state pull one@dev")
	if _, err := os.Stat(file("a")); err == nil {
		t.Error("something was stored in the stack's own backend")
	}
	// Engines give a state that they move a new lineage.
	move(bytes.Replace(inTerrace, []byte(readState(t, inTerrace).Lineage), []byte("a-new-lineage"), 1), file("a"))
	again(second)
	if got := stateAt(t, file("a")).id("it"); got != id {
		t.Errorf("it is %s, was %s", got, id)
	}
	_, stderr, _ := w.try("state", "pull", "one@dev")
	says(t, "state pull", stderr, "own backend (local)")

	t.Log("to another place")
	w.ownPark(at("b"), "", here)
	third := w.repo.Commit("In another place")
	w.push()
	refused(third, "is not where it was", "has no state", "terrace state forget one@dev")
	move(read(file("a")), file("b"))
	again(third)

	t.Log("an older state in the same place")
	old := read(file("b"))
	w.stack("one", "second", backend("local"))
	fourth := w.repo.Commit("Another word")
	w.push()
	w.wants(w.ends(fourth), "succeeded", "dev succeeded", "production succeeded")
	newer := read(file("b"))
	move(old, file("b"))
	w.stack("one", "third", backend("local"))
	fifth := w.repo.Commit("One more")
	w.push()
	r := w.ends(fifth)
	w.wants(r, "failed", "dev failed", "production waiting")
	says(t, "run show", w.run("run", "show", w.runAt("one@dev", "failed").ID), "went back", "terrace state forget one@dev")

	t.Log("a person may say that it is right")
	w.run("state", "forget", "one@dev", "--yes", "--reason", "restored on purpose")
	if _, stderr, code := w.try("state", "forget", "one@dev", "--yes"); code != 1 || !strings.Contains(stderr, "nothing is known") {
		t.Errorf("forgetting twice: exit %d %s", code, stderr)
	}
	move(newer, file("b"))
	again(fifth)

	t.Log("back to Terrace")
	w.park("", "", here)
	sixth := w.repo.Commit("In Terrace again")
	w.push()
	refused(sixth, "own backend (local)", "terrace state import one@dev")
	if _, stderr, code := w.tryWith(string(newer), "state", "push", "one@dev", "-"); code != 1 {
		t.Errorf("pushing an old state: exit %d", code)
	} else {
		says(t, "state push", stderr, "does not continue it")
	}
	if _, stderr, code := w.tryWith(string(read(file("b"))), "state", "push", "one@dev", "-"); code != 0 {
		// The versions from before have another lineage, and stay what they are.
		says(t, "state push", stderr, "lineage")
		t.Fatalf("pushing the state: exit %d %s", code, stderr)
	}
	again(sixth)
	if got := readState(t, []byte(w.run("state", "pull", "one@dev"))).id("it"); got != id {
		t.Errorf("it is %s, was %s", got, id)
	}
	if out := w.run("status"); strings.Contains(out, "own backend") {
		t.Errorf("the status still speaks of the stack's own backend:\n%s", out)
	}
}

// tryWith is try with a standard input.
func (w *world) tryWith(stdin string, args ...string) (stdout, stderr string, code int) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), terrace, args...)
	cmd.Env = append([]string{"TERRACE_URL=" + w.url, "TERRACE_TOKEN=" + w.token}, w.env...)
	cmd.Dir, cmd.Stdin = w.dir, strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run() // the exit code is what counts
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}
