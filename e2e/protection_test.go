package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// protected writes a stack with an immutable server and a stateful database.
func (w *world) protected(size, database, protection string) string {
	w.Helper()
	w.park("", "", "stack \"shop\" {\n  immutable = [\"terraform_data.server\"]\n  "+protection+"\n}\n")
	w.repo.Write("stacks/shop/main.tf", `resource "terraform_data" "server" {
  input = "`+size+`"
  lifecycle {
    create_before_destroy = true
  }
}

`+database+`

output "server" {
  value = terraform_data.server.id
}
`)
	commit := w.repo.Commit("Size " + size)
	w.repo.Push()
	return commit
}

const (
	stateful = `stateful = ["terraform_data.database"]`
	database = "resource \"terraform_data\" \"database\" {\n  input = \"orders\"\n}\n"
	renamed  = "resource \"terraform_data\" \"store\" {\n  input = \"orders\"\n}\n"
)

// Rule 14: what is immutable is replaced, without anybody asking for it.
func TestImmutableIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.protected("small", database, stateful)
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	before := w.output("shop@production", "server")

	second := w.protected("large", database, stateful)
	w.push()
	r := w.ends(second)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	for _, run := range w.runsOf(r) {
		if run.Changes.Replace != 1 || run.Changes.Update != 0 {
			t.Errorf("%s replaces %d and updates %d", run.Instance, run.Changes.Replace, run.Changes.Update)
		}
		says(t, run.ID, w.run("run", "show", run.ID), "terraform_data.server is replaced instead of changed in place", `immutable = ["terraform_data.server"]`)
		says(t, "the log of "+run.ID, w.run("run", "logs", run.ID), "planning again")
	}
	if after := w.output("shop@production", "server"); after == before {
		t.Errorf("the server is still %v", after)
	}
}

// Rule 28: a protection is gone for the release after the one that took it away, although
// nothing had to run for that one.
func TestProtectionIsTakenAwayInTwoSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.protected("small", database, stateful)
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	second := w.protected("small", database, "")
	w.push()
	r := w.ends(second)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	if n := len(w.runsOf(r)); n != 0 {
		t.Errorf("%d runs for a protection", n)
	}
	third := w.protected("small", renamed, "")
	w.push()
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
}

// Rules 13 and 28: a commit that renames the database and takes its protection away in one
// go is stopped before anything is changed, and an exception lets exactly that through,
// once and in one environment.
func TestStatefulIsNotDestroyed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.protected("small", database, stateful)
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	kept := w.run("state", "pull", "shop@dev")

	second := w.protected("small", renamed, "")
	w.push()
	r := w.ends(second)
	w.wants(r, "failed", "dev failed", "production waiting")
	runs := w.runsOf(r)
	if len(runs) != 1 || runs[0].Error == nil {
		t.Fatalf("runs %+v", runs)
	}
	says(t, "the denial", runs[0].Error.Message, "shop@dev would destroy terraform_data.database", "its block is not in the code any more",
		`stateful = ["terraform_data.database"]`, "which is there now", "moved block", "terrace except shop@dev 'terraform_data.database'")
	if w.run("state", "pull", "shop@dev") != kept {
		t.Error("the state was changed")
	}

	for _, bad := range [][]string{
		{"except", "shop@dev", "terraform_data.*", "--reason", "x"}, {"except", "shop@dev", "terraform_data", "--reason", "x"}, {"except", "shop@dev", "terraform_data.database"},
		{"except", "nobody@dev", "terraform_data.database", "--reason", "x"}, {"except", "shop@dev", "terraform_data.database", "--reason", "x", "--for", "1000h"},
	} {
		if _, _, code := w.try(bad...); code == 0 {
			t.Errorf("%q is accepted", bad)
		}
	}
	says(t, "no exceptions", w.run("except", "list"), "No exceptions")
	ended := ask[struct{ ID string }](w, "except", "shop@dev", "terraform_data.database", "--reason", "too early").ID
	w.run("except", "end", ended)
	used := ask[struct{ ID string }](w, "except", "shop@dev", "terraform_data.database", "--for", "1h", "--reason", "the orders are archived").ID
	says(t, "the list", w.run("except", "list"), used, "shop@dev", "the orders are archived")

	w.run("rollout", "start")
	r = w.ends(second)
	w.wants(r, "failed", "dev succeeded", "production failed") // the exception was for dev
	says(t, "the list", w.run("except", "list", "--all"), used, "used by r-", ended, "ended")
	says(t, "the list", w.run("except", "list"), "No exceptions")
	says(t, "the audit log", w.run("events"), "exception.made", "exception.used", "exception.ended")

	// Once: the same again is denied again.
	third := w.protected("small", database, stateful)
	w.push()
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	fourth := w.protected("small", "", stateful)
	w.push()
	w.wants(w.ends(fourth), "failed", "dev failed", "production waiting")
	if !strings.Contains(w.run("state", "show", "shop@production"), "terraform_data.database") {
		t.Error("the database of production is gone")
	}

	// Forgetting counts as destroying, also by hand.
	forgets := func() (string, int) {
		var state map[string]any
		if err := json.Unmarshal([]byte(w.run("state", "pull", "shop@production")), &state); err != nil {
			t.Fatal(err)
		}
		state["serial"], state["resources"] = state["serial"].(float64)+1, []any{}
		file := w.file("forgets.tfstate")
		content, err := json.Marshal(state)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := w.try("state", "push", "shop@production", file)
		return stdout + stderr, code
	}
	said, code := forgets()
	if code == 0 {
		t.Error("a state without the database is accepted")
	}
	says(t, "state push", said, "shop@production would forget terraform_data.database", "Leave it in the state", "terrace except shop@production 'terraform_data.database'")
	w.run("except", "shop@production", "terraform_data.database", "--reason", "it is looked after elsewhere now")
	if said, code := forgets(); code != 0 {
		t.Errorf("with an exception: %s", said)
	}
	says(t, "the list", w.run("except", "list", "--all"), "used by user:")
}
