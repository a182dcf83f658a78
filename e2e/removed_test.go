package e2e

import (
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// Rule 27: what leaves the repository is destroyed after a person said yes, dependants
// first; what has nothing simply ends.
func TestRemovedStacksAreDestroyedBehindAnApproval(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const wired = "stack \"house\" {\n  inputs = { on = stack.ground.said }\n}\n"
	w.park("", "", wired)
	w.stack("kept", "kept", "")
	w.stack("ground", "ground", "")
	w.stack("house", "house", "variable \"on\" {\n  type = string\n}\n")
	w.repo.Write("stacks/empty/main.tf", "output \"nothing\" {\n  value = 1\n}\n")
	first := w.repo.Commit("Four stacks")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	w.park("", "", "")
	w.repo.Remove("stacks/ground")
	w.repo.Remove("stacks/house")
	w.repo.Remove("stacks/empty")
	w.repo.Commit("Only one is left")
	w.push()

	for _, environment := range []string{"dev", "production"} {
		house := w.runAt("house@"+environment, "awaiting_approval")
		if house.Kind != "destroy" || house.Changes.Delete != 1 {
			t.Errorf("%s is a %s that deletes %d", house.ID, house.Kind, house.Changes.Delete)
		}
		if state, reason := w.cell("house@" + environment); state != "waiting" {
			t.Errorf("house@%s is %s: %s", environment, state, reason)
		} else {
			says(t, "the status", reason, "terrace approve "+house.ID)
		}
		if state, _ := w.cell("empty@" + environment); state != "" {
			t.Errorf("empty@%s had nothing and is %s", environment, state)
		}
		stdout, stderr, code := w.try("rollout", "start", "--wait", "--timeout", "60s")
		if code != 3 {
			t.Errorf("rollout start --wait: exit %d, want 3\n%s%s", code, stdout, stderr)
		}
		says(t, "rollout start --wait", stdout+stderr, "terrace approve "+house.ID, "house@"+environment)
		says(t, "state show", w.run("state", "show", "house@"+environment), "terraform_data.it")
		w.run("approve", house.ID, "--reason", "nobody lives there")
		ground := w.runAt("ground@"+environment, "awaiting_approval")
		testkit.Eventually(t, patience, "the house to be gone", func() bool { state, _ := w.cell("house@" + environment); return state == "" })
		w.run("approve", ground.ID)
		testkit.Eventually(t, patience, "the ground to be gone", func() bool { state, _ := w.cell("ground@" + environment); return state == "" })
	}
	w.wants(w.ends(w.repo.Head()), "succeeded", "dev succeeded", "production succeeded")
	for _, i := range ask[status](w, "status").Instances {
		if i.State != "up_to_date" || i.Instance != "kept@dev" && i.Instance != "kept@production" {
			t.Errorf("%s is %s: %s", i.Instance, i.State, i.Reason)
		}
	}
}

// A person who says no keeps what is there. The next release asks again.
func TestRejectedDestructionKeepsTheStack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("kept", "kept", "")
	w.stack("house", "house", "")
	first := w.repo.Commit("Two stacks")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	w.repo.Remove("stacks/house")
	second := w.repo.Commit("One is left")
	w.push()
	w.run("reject", w.runAt("house@dev", "awaiting_approval").ID, "--reason", "somebody lives there")
	w.wants(w.ends(second), "cancelled", "dev cancelled", "production waiting")
	says(t, "run show", w.run("run", "show", w.runAt("house@dev", "cancelled").ID), "somebody lives there")
	says(t, "state show", w.run("state", "show", "house@dev"), "terraform_data.it")

	// It comes back, and is up to date without a change.
	w.stack("house", "house", "")
	third := w.repo.Commit("It comes back")
	w.push()
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	if state, reason := w.cell("house@dev"); state != "up_to_date" {
		t.Errorf("house@dev is %s: %s", state, reason)
	}
}
