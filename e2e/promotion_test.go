package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var named = regexp.MustCompile("(?ms)^`([^`]+)`:\n\n```hcl\n(.*?)^```")

// hills is the repository that the tutorial tells people to write: two stacks, the
// second wired to the first, and three environments.
func hills(w *world) {
	w.Helper()
	tutorial, err := os.ReadFile("../docs/tutorial.md")
	if err != nil {
		w.Fatal(err)
	}
	files := named.FindAllStringSubmatch(string(tutorial), -1)
	if len(files) != 3 {
		w.Fatalf("the tutorial has %d files, not 3", len(files))
	}
	for _, f := range files {
		w.repo.Write(f[1], f[2])
	}
}

// A commit goes to production by itself; a broken one stops at dev and says why; the
// fix goes on; a commit that changes nothing that matters starts nothing.
func TestCommitsGoThroughOrStopAtDev(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hills(w)
	first := w.repo.Commit("Hills")
	w.repo.Push()
	w.add("hills")
	r := w.rolloutOf(first)
	w.through(r)
	all := map[string]string{}
	for _, e := range []string{"dev", "staging", "production"} {
		all["ground@"+e], all["house@"+e] = "succeeded", "succeeded"
	}
	if diff := cmp.Diff(all, instances(w.runsOf(r))); diff != "" {
		t.Errorf("runs (-want +got):\n%s", diff)
	}
	if got := w.output("house@production", "sentence"); got != "built at 300 m" {
		t.Errorf("production says %q", got)
	}
	if got := w.output("house@dev", "sentence"); got != "built at 10 m" {
		t.Errorf("dev says %q", got)
	}

	t.Log("a README starts nothing")
	w.repo.Write("README.md", "# Hills\n")
	readme := w.repo.Commit("Say what this is")
	w.push()
	r = w.rolloutOf(readme)
	w.through(r)
	if runs := w.runsOf(r); len(runs) > 0 {
		t.Errorf("a README started %v", instances(runs))
	}

	t.Log("a plan that fails stops at dev")
	w.repo.Write("stacks/house/roof.tf", "resource \"terraform_data\" \"roof\" {\n  input = file(\"${path.module}/tiles.txt\")\n}\n")
	broken := w.repo.Commit("A roof without tiles")
	w.push()
	w.stopsAtDev(w.rolloutOf(broken), "tiles.txt", "roof.tf")

	t.Log("an apply that fails stops at dev")
	w.repo.Write("stacks/house/roof.tf", "resource \"terraform_data\" \"roof\" {\n  provisioner \"local-exec\" {\n    command = \"echo no tiles left >&2; exit 1\"\n  }\n}\n")
	broken = w.repo.Commit("A roof that falls in")
	w.push()
	w.stopsAtDev(w.rolloutOf(broken), "no tiles left")

	t.Log("the fix goes on to production, and only where something changed")
	w.repo.Write("stacks/house/roof.tf", "resource \"terraform_data\" \"roof\" {}\n")
	fixed := w.repo.Commit("A roof")
	w.push()
	r = w.rolloutOf(fixed)
	w.through(r)
	if diff := cmp.Diff(map[string]string{"house@dev": "succeeded", "house@staging": "succeeded", "house@production": "succeeded"}, instances(w.runsOf(r))); diff != "" {
		t.Errorf("runs of the fix (-want +got):\n%s", diff)
	}
	for _, i := range ask[status](w, "status").Instances {
		if i.State != "up_to_date" || i.Release == nil || i.Release.Commit != fixed {
			t.Errorf("%s is %s at %v: %s", i.Instance, i.State, i.Release, i.Reason)
		}
	}
}

// stopsAtDev wants a rollout that failed in dev, at house, for a reason that run show
// says, and production untouched.
func (w *world) stopsAtDev(r rollout, reason ...string) {
	w.Helper()
	if r.Status != "failed" || r.Stages[0].Status != "failed" {
		w.Fatalf("the rollout is %s, its stages %v; want it to fail in dev", r.Status, r.Stages)
	}
	runs := w.runsOf(r)
	if diff := cmp.Diff(map[string]string{"house@dev": "failed"}, instances(runs)); diff != "" {
		w.Fatalf("runs (-want +got):\n%s", diff)
	}
	shown := w.run("run", "show", runs[0].ID)
	for _, want := range reason {
		if !strings.Contains(shown, want) {
			w.Errorf("run show does not say %q:\n%s", want, shown)
		}
	}
	if got := w.output("house@production", "sentence"); got != "built at 300 m" {
		w.Errorf("production says %q", got)
	}
}
