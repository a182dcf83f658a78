package e2e

import (
	"strings"
	"testing"
)

// What a person asks to be replaced is replaced by the next run, several at once, whatever
// their keys; a run that fails before its apply leaves it to be done.
func TestReplaceByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const servers = `resource "terraform_data" "server" {
  count = 2
}

resource "terraform_data" "named" {
  for_each = toset(["a.b"])
}

resource "terraform_data" "database" {}

output "first" {
  value = terraform_data.server[0].id
}

output "second" {
  value = terraform_data.server[1].id
}

output "named" {
  value = terraform_data.named["a.b"].id
}
`
	protect := "stack \"web\" {\n  stateful = [\"terraform_data.database\"]\n}\n"
	w.park("", "", protect)
	w.stack("web", "one", servers)
	first := w.repo.Commit("Servers")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	ids := func() (first, second, named any) {
		return w.output("web@production", "first"), w.output("web@production", "second"), w.output("web@production", "named")
	}
	one, two, named := ids()

	for _, bad := range []struct{ args, says []string }{
		{[]string{"web@production", "terraform_data.server"}, []string{"did you mean terraform_data.server[0], terraform_data.server[1]?"}},
		{[]string{"web@production", "terraform_data.databas"}, []string{"did you mean terraform_data.database?"}},
		{[]string{"web@production", "data.local_file.x"}, []string{"is a data source"}},
		{[]string{"web@production", "terraform_data.database"}, []string{"It is protected", "terrace except web@production"}},
		{[]string{"nobody@production", "terraform_data.database"}, []string{"nothing in its state"}},
	} {
		_, stderr, code := w.try(append([]string{"replace"}, bad.args...)...)
		if code != 1 {
			t.Errorf("%q: exit %d", bad.args, code)
		}
		says(t, strings.Join(bad.args, " "), stderr, bad.says...)
	}
	says(t, "the list", w.run("replace", "list"), "Nothing is to be replaced")

	type replacement struct{ ID, Address, Status, Run string }
	asked := ask[[]replacement](w, "replace", "web@production", "terraform_data.server[0]", `terraform_data.named["a.b"]`, "terraform_data.server[1]", "--reason", "slow disks")
	if len(asked) != 3 {
		t.Fatalf("asked for %+v", asked)
	}
	if _, stderr, code := w.try("replace", "web@production", "terraform_data.server[0]"); code != 1 || !strings.Contains(stderr, "asked for already") {
		t.Errorf("twice: exit %d, %s", code, stderr)
	}
	for _, r := range asked {
		if r.Address == "terraform_data.server[1]" {
			w.run("replace", "end", r.ID)
			if _, _, code := w.try("replace", "end", r.ID); code != 1 {
				t.Errorf("taken back twice: exit %d", code)
			}
		}
	}
	if state, reason := w.cell("web@production"); state != "behind" || !strings.Contains(reason, "asked for the replacement of") {
		t.Errorf("the board says %s: %s", state, reason)
	}

	// A run that fails before its apply leaves it.
	w.stack("web", "one", servers+"\nresource \"terraform_data\" \"broken\" {\n  input = file(\"nothing\")\n}\n")
	broken := w.repo.Commit("Broken")
	w.push()
	w.ends(broken)
	open := func() (left []replacement) { return ask[[]replacement](w, "replace", "list") }
	if left := open(); len(left) != 2 {
		t.Errorf("after a run that failed: %+v", left)
	}

	w.stack("web", "one", servers)
	third := w.repo.Commit("Mended")
	w.push()
	r := w.ends(third)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	if newOne, newTwo, newNamed := ids(); newOne == one || newTwo != two || newNamed == named {
		t.Errorf("the servers were %v, %v, %v and are %v, %v, %v", one, two, named, newOne, newTwo, newNamed)
	}
	for _, run := range w.runsOf(r) {
		if run.Instance == "web@production" {
			says(t, "the run", w.run("run", "show", run.ID), "terraform_data.server[0] is replaced, as", "slow disks")
			says(t, "the plan", w.run("run", "plan", run.ID), "asked for by", "slow disks")
		}
	}
	if left := open(); len(left) != 0 {
		t.Errorf("still to be done: %+v", left)
	}
	says(t, "the list", w.run("replace", "list", "--all"), "done by r-", "taken back by")
	says(t, "the audit log", w.run("events"), "replacement.asked", "replacement.done", "replacement.taken_back")
	if state, _ := w.cell("web@production"); state != "up_to_date" {
		t.Errorf("the board says %s", state)
	}
}
