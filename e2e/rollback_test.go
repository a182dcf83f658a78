package e2e

import (
	"strings"
	"testing"
)

const orders = "resource \"terraform_data\" \"orders\" {\n  input = \"precious\"\n}\n\noutput \"orders\" {\n  value = terraform_data.orders.id\n}\n"

// Rule 21, by hand: one command shows what going back does, and does it; what is protected
// and the older release does not have stays, and is there when a newer one comes.
func TestRollback(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("one", "first", "")
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	if _, said, code := w.try("rollback", "production", "--yes"); code != 1 || !strings.Contains(said, "no release older than 1") {
		t.Errorf("rolling the first release back: exit %d\n%s", code, said)
	}

	w.park("", "", "stack \"one\" {\n  stateful = [\"terraform_data.orders\"]\n}\n")
	w.stack("one", "second", orders)
	w.stack("extra", "more", "")
	second := w.repo.Commit("Two, with a database and a stack more")
	w.push()
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	id := w.output("one@production", "orders")

	shown := w.run("rollback", "production", "--dry-run")
	says(t, "the dry run", shown, "from release 2 to release 1", "terraform_data.it", "second in production", "keeps terraform_data.orders", "extra@production is not part")
	if strings.Contains(shown, "- terraform_data.orders") {
		t.Errorf("it would destroy what is protected:\n%s", shown)
	}
	if got := w.output("one@production", "said"); got != "second in production" {
		t.Errorf("after a dry run production says %q", got)
	}
	if _, said, code := w.try("rollback", "production"); code != 2 || !strings.Contains(said, "Say --yes") {
		t.Errorf("without a terminal: exit %d\n%s", code, said)
	}
	for to, want := range map[string]string{"2": "is in production already", "77": "77", "nonsense": "nonsense"} {
		if _, said, code := w.try("rollback", "production", "--yes", "--to", to); code != 1 || !strings.Contains(said, want) {
			t.Errorf("back to %s: exit %d\n%s", to, code, said)
		}
	}
	if _, said, code := w.try("rollback", "nowhere", "--yes"); code != 1 || !strings.Contains(said, "nowhere") {
		t.Errorf("back in nowhere: exit %d\n%s", code, said)
	}

	type gone struct{ Rollout rollout }
	r := ask[gone](w, "rollback", "production", "--yes", "--to", "1", "--reason", "the second is slow").Rollout
	w.eventually("the extra stack to wait for an approval", func() bool {
		_, why := get[[]rollout](w, "rollouts")[0].stage("production")
		return strings.Contains(why, "extra")
	})
	if got := w.output("one@production", "said"); got != "first in production" {
		t.Errorf("after the rollback production says %q", got)
	}
	w.run("reject", w.runAt("extra@production", "awaiting_approval").ID)
	w.eventually("the rollback to end", func() bool { return get[[]rollout](w, "rollouts")[0].Status == "succeeded" })
	shown = w.run("rollout", "show", r.ID)
	says(t, "the rollback", shown, "Rollback from release 2", "the second is slow", "succeeded")
	says(t, "the state", w.run("state", "show", "one@production"), "terraform_data.orders")
	says(t, "the kept stack's state", w.run("state", "show", "extra@production"), "terraform_data.it")
	says(t, "status", w.run("status"), "the rollback from release 2 to release 1", "the second is slow")
	if got := w.output("one@dev", "said"); got != "second in dev" {
		t.Errorf("dev says %q", got)
	}

	// Nothing newer undoes it before somebody lifts the hold; what was kept is found again.
	w.stack("one", "third", orders)
	third := w.repo.Commit("Three")
	w.push()
	w.awaits(third, "production to wait for the hold", func(r rollout) bool {
		_, why := r.stage("production")
		return strings.Contains(why, "a hold on production")
	})
	w.run("unhold", "production")
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	if after := w.output("one@production", "orders"); after != id {
		t.Errorf("the orders are %v, they were %v", after, id)
	}
	if got := w.output("one@production", "said"); got != "third in production" {
		t.Errorf("production says %q", got)
	}
}

// Rule 21, by itself: a verification that says no takes the environment back, once; a
// rollback that would touch what is protected is left to people.
func TestRollbackByItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const asks = "stack \"one\" {\n  stateful = [\"terraform_data.orders\"]\n  verify \"command\" {\n    command = [\"sh\", \"-c\", \"case $0 in *bad*production) exit 1;; esac\", output.said]\n  }\n}\n"
	w.park("", `rollback = "auto"`, asks)
	w.stack("one", "first", "")
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	w.stack("one", "bad", "")
	second := w.repo.Commit("Two, which is bad in production")
	w.push()
	w.wants(w.ends(second), "failed", "dev succeeded", "production failed")
	r := w.back("succeeded")
	if r.Release.Commit != first || len(r.Stages) != 1 {
		t.Errorf("it was rolled back with %+v", r)
	}
	if got := w.output("one@production", "said"); got != "first in production" {
		t.Errorf("production says %q", got)
	}
	says(t, "the rollback", w.run("rollout", "show", r.ID), "Rollback from release 2", "the verification of one@production said no")
	says(t, "status", w.run("status"), "the rollback from release 2 to release 1")

	// The third release creates something protected and is refuted: that is for people.
	w.stack("one", "bad again", orders)
	third := w.repo.Commit("Three, bad too, with a database")
	w.push()
	w.awaits(third, "production to wait for the hold", func(r rollout) bool {
		_, why := r.stage("production")
		return strings.Contains(why, "a hold on production")
	})
	w.run("unhold", "production")
	w.wants(w.ends(third), "failed", "dev succeeded", "production failed")
	r = w.back("failed")
	says(t, "the status", w.run("status"), "terraform_data.orders")
	for _, run := range w.runsOf(r) {
		if run.Kind != "preview" || run.Status != "failed" {
			t.Errorf("%s (%s) is %s", run.ID, run.Kind, run.Status)
		}
	}
	if got := w.output("one@production", "said"); got != "bad again in production" {
		t.Errorf("production says %q", got)
	}
	says(t, "the state", w.run("state", "show", "one@production"), "terraform_data.orders")

	// By hand it goes back, and keeps it.
	w.run("rollback", "production", "--yes", "--wait")
	if got := w.output("one@production", "said"); got != "first in production" {
		t.Errorf("production says %q", got)
	}
	says(t, "the state", w.run("state", "show", "one@production"), "terraform_data.orders")
}

// back waits until the newest rollout is a rollback with a status.
func (w *world) back(status string) rollout {
	w.Helper()
	type kind struct {
		ID, Kind, Status string
	}
	var id string
	w.eventually("a rollback to be "+status, func() bool {
		newest := get[[]kind](w, "rollouts")[0]
		id = newest.ID
		return newest.Kind == "rollback" && newest.Status == status
	})
	return ask[rollout](w, "rollout", "show", id)
}
