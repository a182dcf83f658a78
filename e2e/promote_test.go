package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// explained is what the machine output says of a rollout's stages.
type explained struct {
	ID, Status string
	Stages     []struct {
		ID, Environment, Status string
		Waits                   []struct {
			Gate, On, What string
			Since, Until   time.Time
			OpensBy        string `json:"opens_by"`
			ForPerson      bool   `json:"for_person"`
		}
		Skips []struct {
			Gates              []string
			By, Reason, Second string
		}
	}
}

// gatesAt are the gates that a stage of a rollout waits for.
func (w *world) gatesAt(id, environment string) (gates []string) {
	w.Helper()
	for _, st := range ask[explained](w, "rollout", "show", id).Stages {
		if st.Environment != environment {
			continue
		}
		for _, wait := range st.Waits {
			gates = append(gates, wait.Gate)
			if wait.What == "" || wait.On == "" || wait.OpensBy == "" || wait.Since.IsZero() {
				w.Errorf("%s waits for something that is not explained: %+v", environment, wait)
			}
		}
	}
	return gates
}

func (w *world) waitsAt(commit, environment string, gates ...string) rollout {
	w.Helper()
	return w.awaits(commit, environment+" to wait for "+strings.Join(gates, ", "), func(r rollout) bool { return slices.Equal(w.gatesAt(r.ID, environment), gates) })
}

// Rules 22 and 23: promoting lifts a hold after a question; skipping names gates, needs a
// reason, and stays visible.
func TestPromote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("web", "one", "")
	first := w.repo.Commit("First")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	says(t, "nothing to promote", w.refused("promote", "production"), "release 1 is verified in production already")
	says(t, "an environment that is none", w.refused("promote", "prodction"), `does not go through "prodction"`)

	w.run("hold", "production", "--reason", "stock-taking")
	w.run("freeze", "production", "--for", "48h", "--reason", "the fair")
	w.stack("web", "two", "")
	second := w.repo.Commit("Second")
	w.push()
	waits := w.waitsAt(second, "production", "hold", "freeze")
	shown := w.run("rollout", "show", waits.ID)
	says(t, "rollout show", shown, "production (waiting) waits for", "- a hold on production: stock-taking", "hold, since", "opens by: terrace unhold production",
		"- a freeze of production until", "ends in 47h", "terrace unfreeze production")
	says(t, "status", w.run("status"), "Release 2 ", "in production (waiting) waits for", "opens by: terrace unhold production", "production is frozen until")

	// Every refusal comes before anything is done.
	for args, want := range map[string]string{
		"promote production":                                              "Say --yes",
		"promote production --yes --skip-gate hold":                       "needs a reason",
		"promote production --yes --skip-gate approval --reason because":  "Checks, approvals and protection never are. In the way of release 2 in production now: hold (a hold on production: stock-taking); freeze",
		"promote production --yes --skip-gate hold,hold --reason because": "named twice",
		"promote production --yes --release 9":                            "9",
		"promote production --yes --release 1":                            "verified in production already",
	} {
		stdout, stderr, code := w.try(strings.Fields(args)...)
		if code == 0 || code == 3 || !strings.Contains(stdout+stderr, want) {
			t.Errorf("terrace %s: exit %d, want %q:\n%s%s", args, code, want, stdout, stderr)
		}
	}
	if got := w.gatesAt(waits.ID, "production"); !slices.Equal(got, []string{"hold", "freeze"}) {
		t.Fatalf("after what was refused it waits for %v", got)
	}

	// Promoting lifts the hold; the freeze is still there, and says so.
	stdout, _, code := w.try("promote", "production", "--yes")
	says(t, "promote", stdout, "The hold on production is lifted.", "a freeze of production until")
	if code != 3 {
		t.Errorf("exit %d while the freeze is in the way", code)
	}
	w.waitsAt(second, "production", "freeze")
	w.run("promote", "production", "--yes", "--skip-gate", "freeze", "--reason", "the shop is down", "--wait")
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	says(t, "what stays", w.run("rollout", "show", waits.ID), "user:", "skipped freeze", "the shop is down")
	says(t, "the audit log", w.run("events"), "gates.skipped", "environment.unheld", "environment.promoted")
	if freezes := w.run("freeze", "list"); !strings.Contains(freezes, "the fair") {
		t.Errorf("the freeze was lifted, not skipped:\n%s", freezes)
	}

	// The next release does not have it skipped; a hold is skipped for one release alone.
	w.run("unfreeze", "production")
	w.run("hold", "production", "--reason", "again")
	w.stack("web", "three", "")
	third := w.repo.Commit("Third")
	w.push()
	w.waitsAt(third, "production", "hold")
	w.run("promote", "production", "--yes", "--skip-gate", "hold", "--reason", "an exception")
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	w.stack("web", "four", "")
	fourth := w.repo.Commit("Fourth")
	w.push()
	w.waitsAt(fourth, "production", "hold")
}

// A bake ends when somebody says so; a window lets in; upstream is entered before, and what was
// skipped comes first for the next release.
func TestSkipGates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day := strings.ToLower(time.Now().UTC().AddDate(0, 0, 3).Weekday().String()[:3])
	closed := `window { days = ["` + day + `"] }`
	w.park(`bake = "10h"`, closed, "")
	w.stack("web", "one", "")
	first := w.repo.Commit("First")
	w.repo.Push()
	w.add("park")
	bakes := w.waitsAt(first, "dev", "bake")
	w.waitsAt(first, "production", "upstream", "window")
	says(t, "how long is left", w.run("rollout", "show", bakes.ID), "the end of its bake (10h)", "bake, since ", "ends in ")
	says(t, "skip a bake", w.run("promote", "dev", "--yes", "--skip-gate", "bake", "--reason", "it is only dev"), "Release 1 does not wait for these gates of dev: bake.")
	w.waitsAt(first, "production", "window")
	w.run("promote", "production", "--yes", "--skip-gate", "window", "--reason", "nobody is there yet", "--wait")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")

	// Into production though dev bakes for ten hours.
	w.park(`bake = "10h"`, "", "")
	w.stack("web", "two", "")
	second := w.repo.Commit("Second")
	w.push()
	w.waitsAt(second, "dev", "bake")
	if _, _, code := w.try("promote", "production", "--yes"); code != 3 {
		t.Errorf("exit %d; without a skip it waits", code)
	}
	w.run("promote", "production", "--yes", "--skip-gate", "upstream,window", "--reason", "a hotfix")
	w.awaits(second, "production to be verified first", func(r rollout) bool { return r.Stages[1].Status == "succeeded" })
	if said := w.output("web@production", "said"); said != "two in production" {
		t.Errorf("production says %v", said)
	}
	w.wants(w.of(second), "running", "dev baking", "production succeeded")
}

// Where the guardrails want a second person, a skip waits for one.
func TestASkipTakesTwo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("web", "one", "")
	first := w.repo.Commit("First")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	if err := os.WriteFile(w.file("guardrails.hcl"), []byte("skip {\n  second_person = true\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.run("guardrails", "set", w.file("guardrails.hcl"), "--yes")
	w.run("hold", "production", "--reason", "stock-taking")
	w.stack("web", "two", "")
	second := w.repo.Commit("Second")
	w.push()
	waits := w.waitsAt(second, "production", "hold")
	stdout, _, code := w.try("promote", "production", "--yes", "--skip-gate", "hold", "--reason", "the shop is down")
	says(t, "promote", stdout, "Somebody other than user:", "terrace approve st-")
	if code != 3 {
		t.Errorf("exit %d while a second person is missing", code)
	}
	w.waitsAt(second, "production", "hold", "skip")
	says(t, "rollout show", w.run("rollout", "show", waits.ID), "somebody other than user:", "opens by: terrace approve st-")
	says(t, "ben's list", w.as("ben").run("approve"), "asks to skip hold of production for release 2", "the shop is down", "terrace approve st-")
	says(t, "who asked", w.refused("approve", waits.ID), "you asked to skip hold of production yourself")
	w.as("ben").run("approve", waits.ID, "--reason", "so it is")
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	says(t, "what stays", w.run("rollout", "show", waits.ID), "skipped hold", "(user:ben agreed")
}
