package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

// sandbox is the part of the machine output about one.
type sandbox struct {
	Name, Base, Branch, Owner, Status, Reason, Rollout string
	Release                                            *release
}

// branch pushes a commit on a branch with another size of the database. The clone goes back
// to main after it.
func (w *store) branch(name, size string) string {
	w.Helper()
	w.repo.Branch(name)
	commit := w.size(size, "", "")
	w.repo.Checkout("main")
	return commit
}

// boxed waits until a sandbox has applied a commit.
func (w *world) boxed(name, commit string) {
	w.Helper()
	var last sandbox
	w.eventually("the sandbox "+name+" to have "+commit, func() bool {
		last = get[sandbox](w, "sandboxes/"+name)
		if last.Status == "failed" || last.Status == "errored" {
			w.Fatalf("the sandbox %s is %s: %s", name, last.Status, last.Reason)
		}
		return last.Release != nil && last.Release.Commit == commit && last.Status == "ready"
	})
}

// sizeIn is the size of the only database of a tenant, "" when there is none.
func (w *store) sizeIn(tenant string) string {
	w.Helper()
	client := democloud.Client{URL: w.client.URL, Tenant: tenant}
	all, err := client.List(w.Context(), democloud.Database)
	if err != nil {
		w.Fatal(err)
	}
	if len(all) == 0 {
		return ""
	}
	if len(all) > 1 {
		w.Fatalf("%s has %+v", tenant, all)
	}
	return all[0].Spec.Size
}

// clone is a developer's own, with a branch checked out.
func (w *store) clone(branch string) string {
	w.Helper()
	dir := filepath.Join(w.T.TempDir(), "clone")
	if out, err := exec.CommandContext(w.Context(), "git", "clone", "-q", "-b", branch, w.repo.Remote, dir).CombinedOutput(); err != nil {
		w.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// shell runs tofu in a sandbox's shell, in a clone, and returns what it says.
func (w *store) shell(who *world, dir, name string, command ...string) (string, int) {
	w.Helper()
	rc := filepath.Join(w.dir, "tofurc")
	if err := os.WriteFile(rc, []byte("provider_installation {\n  filesystem_mirror {\n    path = \""+w.mirror+"\"\n  }\n}\n"), 0o600); err != nil {
		w.Fatal(err)
	}
	cmd := exec.CommandContext(w.Context(), plain, append([]string{"sandbox", "shell", name, "shop", "--"}, command...)...)
	for _, v := range who.env {
		if !strings.HasPrefix(v, "TF_CLI_CONFIG_FILE=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "TERRACE_URL="+who.url, "TERRACE_TOKEN="+who.token, "TF_CLI_CONFIG_FILE="+rc)
	cmd.Dir = dir
	out, _ := cmd.CombinedOutput()
	return string(out), cmd.ProcessState.ExitCode()
}

// Two developers change the same module in two branches at the same time: each sees their
// own in a sandbox, plain tofu there agrees, nobody else is touched, and both reach
// production when they are merged. Deleting the branches ends the sandboxes.
func TestTwoDevelopersInSandboxes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	first := s.size("small", "", "")
	s.add("park")
	s.wants(s.ends(first), "succeeded", "dev succeeded", "production succeeded")
	before := s.run("state", "pull", "shop@production")

	ana, ben := s.with("ana", "--role", "developer"), s.with("ben", "--role", "developer")
	anas := s.branch("ana", "medium")
	bens := s.branch("ben", "large")
	for who, w := range map[string]*world{"ana": ana, "ben": ben} {
		made := ask[sandbox](w, "sandbox", "create", who+"-try", "--base", "dev", "--branch", who)
		if made.Owner != "user:"+who || made.Branch != who || made.Base != "dev" {
			t.Errorf("made: %+v", made)
		}
	}
	s.boxed("ana-try", anas)
	s.boxed("ben-try", bens)
	for tenant, size := range map[string]string{"ana-try": "medium", "ben-try": "large", "dev": "small", "production": "small"} {
		if got := s.sizeIn(tenant); got != size {
			t.Errorf("the database of %s is %q, want %q", tenant, got, size)
		}
	}
	if s.run("state", "pull", "shop@production") != before {
		t.Error("production was touched")
	}
	says(t, "the list", s.run("sandbox", "list"), "ana-try", "ben-try", "dev", "ready")
	for _, r := range ask[[]run](s.world, "run", "list", "--environment", "ana-try") {
		if r.Kind != "sandbox" || r.Instance != "shop@ana-try" || r.Status != "succeeded" {
			t.Errorf("a run of the sandbox: %+v", r)
		}
	}
	if runs := ask[[]run](s.world, "run", "list"); len(runs) != 2 {
		t.Errorf("the project has %d runs", len(runs))
	}

	// Plain tofu, from their own files.
	for who, w := range map[string]*world{"ana": ana, "ben": ben} {
		dir := s.clone(who)
		if out, code := s.shell(w, dir, who+"-try", "tofu", "plan", "-detailed-exitcode", "-input=false", "-no-color"); code != 0 {
			t.Errorf("tofu plan of %s: exit %d\n%s", who, code, out)
		}
		if who == "ana" {
			// What is not committed is seen as well, and applied.
			file := filepath.Join(dir, "stacks/shop/main.tf")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(string(text), `"medium"`, `"large"`)), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, code := s.shell(w, dir, "ana-try", "tofu", "apply", "-auto-approve", "-input=false", "-no-color"); code != 0 || s.sizeIn("ana-try") != "large" {
				t.Errorf("tofu apply: exit %d, size %q\n%s", code, s.sizeIn("ana-try"), out)
			}
			// Nobody else's.
			if out, code := s.shell(ben, dir, "ana-try", "true"); code == 0 {
				t.Errorf("somebody else's shell opened:\n%s", out)
			}
		}
		status, err := exec.CommandContext(t.Context(), "git", "-C", dir, "status", "--porcelain", "--untracked-files=all").Output()
		if err != nil || strings.Contains(string(status), "terrace_override") {
			t.Errorf("git status: %v\n%s", err, status)
		}
		if _, err := os.Stat(filepath.Join(dir, "stacks/shop/zz_terrace_override.tf")); err == nil {
			t.Error("the override file was left")
		}
	}

	// A push is applied, also one that goes back.
	s.repo.Checkout("ben")
	s.repo.Run("reset", "-q", "--hard", "main")
	s.repo.ForcePush()
	s.tell()
	s.boxed("ben-try", first)
	if got := s.sizeIn("ben-try"); got != "small" {
		t.Errorf("the database of ben-try is %q", got)
	}
	s.repo.Run("reset", "-q", "--hard", bens)
	s.repo.ForcePush()
	s.tell()
	s.boxed("ben-try", bens)
	if got := s.sizeIn("ben-try"); got != "large" {
		t.Errorf("the database of ben-try is %q", got)
	}

	// Both are merged, and reach production in order.
	s.repo.Checkout("main")
	s.repo.Merge("ana", "Ana's")
	s.push()
	s.wants(s.ends(s.repo.Head()), "succeeded", "dev succeeded", "production succeeded")
	s.repo.Run("merge", "-q", "--no-ff", "-X", "theirs", "-m", "Ben's", "ben")
	s.push()
	s.wants(s.ends(s.repo.Head()), "succeeded", "dev succeeded", "production succeeded")
	if got := s.sizeIn("production"); got != "large" {
		t.Errorf("the database of production is %q", got)
	}

	// A deleted branch ends its sandbox, and somebody ends the other.
	s.repo.Run("push", "-q", "origin", "--delete", "ben")
	s.tell()
	s.eventually("ben's sandbox to be gone", func() bool { return len(get[[]sandbox](s.world, "sandboxes")) == 1 })
	if _, _, code := ben.try("sandbox", "destroy", "ana-try", "--yes"); code == 0 {
		t.Error("somebody else's sandbox is destroyed")
	}
	says(t, "the end", ana.run("sandbox", "destroy", "ana-try", "--yes", "--wait"), "ana-try is gone")
	s.eventually("ana's sandbox to be gone", func() bool { return len(get[[]sandbox](s.world, "sandboxes")) == 0 })
	for _, tenant := range []string{"ana-try", "ben-try"} {
		if got := s.sizeIn(tenant); got != "" {
			t.Errorf("%s still has a database of size %q", tenant, got)
		}
	}
	says(t, "the audit log", s.run("events", "--limit", "1000"), "sandbox.created", "sandbox.shell", "sandbox.ending", "sandbox.ended")
	says(t, "the audit log", s.run("events", "--limit", "1000", "--json"), "its branch ben was deleted")
}

// Rule 26: what is not in a sandbox is read from the base and never written; secrets are the
// sandbox's own or those for all sandboxes, and limits are the guardrails'.
func TestASandboxIsApart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	said := w.file("said")
	code := func(word string) string {
		w.park(`secrets = ["WORD"]`, "", "stack \"web\" {\n  inputs = { network = stack.network.said, who = sandbox.owner == null ? \"nobody\" : sandbox.owner }\n}\n")
		w.stack("network", "network", "")
		w.stack("web", word, `
variable "network" {
  type = string
}

variable "who" {
  type = string
}

resource "terraform_data" "secret" {
  triggers_replace = "`+word+`"
  provisioner "local-exec" {
    command = "echo \"${var.place} ${var.who} $WORD\" >> `+said+`"
  }
  provisioner "local-exec" {
    when    = destroy
    command = "test ! -e `+w.file("stuck")+`"
  }
}

output "network" {
  value = var.network
}
`)
		commit := w.repo.Commit(word)
		w.repo.Push()
		return commit
	}
	secret := func(place, value string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), plain, "secret", "set", place, "WORD", "--project", "park")
		cmd.Env, cmd.Stdin = append([]string{"TERRACE_URL=" + w.url, "TERRACE_TOKEN=" + w.token}, w.env...), strings.NewReader(value)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	first := code("first")
	w.add("park")
	secret("dev", "of-dev")
	w.run("rollout", "start")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	w.rails("sandboxes {\n  per_person = 2\n  longest    = \"24h\"\n}\n")

	// Bad ones are refused, and nothing is made.
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"x", "--base", "nowhere"}, `environment "nowhere", is not in this commit; it has dev and production`},
		{[]string{"x", "--base", "dev", "--stacks", "wbe"}, `the stack "wbe", which is not in dev`},
		{[]string{"x", "--base", "dev", "--branch", "none"}, `has no branch "none"; it has main`},
		{[]string{"x", "--base", "dev", "--for", "25h"}, "lasts from 10s to 24h0m0s"},
		{[]string{"production", "--base", "dev"}, "has an environment production"},
		{[]string{"sandboxes", "--base", "dev"}, "where the secrets of all sandboxes are kept"},
		{[]string{"a b", "--base", "dev"}, "cannot name a sandbox"},
		{[]string{strings.Repeat("x", 60), "--base", "dev"}, "choose a shorter name"},
	} {
		stdout, stderr, code := w.try(append([]string{"sandbox", "create"}, c.args...)...)
		if code == 0 || !strings.Contains(stderr, c.says) {
			t.Errorf("%q: exit %d, want %q\n%s%s", c.args, code, c.says, stdout, stderr)
		}
	}
	says(t, "no sandboxes", w.run("sandbox", "list"), "No sandboxes")

	// The secret of the base is not for sandboxes.
	w.repo.Branch("other")
	second := code("second")
	box := ask[sandbox](w, "sandbox", "create", "try", "--base", "dev", "--branch", "other", "--stacks", "web")
	w.eventually("the sandbox to fail", func() bool { return get[sandbox](w, "sandboxes/try").Status == "failed" })
	says(t, "why", get[sandbox](w, "sandboxes/try").Reason, "try needs the secret WORD, which has no value: terrace secret set sandboxes WORD")
	secret("sandboxes", "of-all")
	w.run("rollout", "start", "--project", "park~try", "--wait")
	w.boxed("try", second)
	secret("try", "of-this")
	third := code("third")
	w.tell()
	w.boxed("try", third)
	text, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(text); got != "dev nobody of-dev\nproduction nobody \ntry admin of-all\ntry admin of-this\n" {
		t.Errorf("runs saw:\n%s", got)
	}
	if got := w.output("web@try", "network"); got != "network in dev" {
		t.Errorf("the network of the sandbox is %v", got)
	}
	says(t, "variables", w.run("variables", "web@try"), "web@try, release", `"network in dev"`, "inputs of stack web (network@dev.said)", `"try"`, "variables of environment try", "string")
	says(t, "variables", w.run("variables", "web@production"), `"network in production"`, "network@production.said", `"nobody"`)
	says(t, "states", w.run("state", "list", "--project", "park~try"), "web@try")
	if out := w.run("state", "list"); strings.Contains(out, "try") {
		t.Errorf("states of the project:\n%s", out)
	}
	if box.Owner != "user:admin" {
		t.Errorf("the owner is %s", box.Owner)
	}

	// As many as there may be.
	w.run("sandbox", "create", "two", "--base", "production", "--branch", "main", "--for", "10s")
	if _, stderr, code := w.try("sandbox", "create", "three", "--base", "dev"); code == 0 || !strings.Contains(stderr, "you have 2 sandboxes of park, and may have 2") {
		t.Errorf("a third: exit %d %s", code, stderr)
	}
	if _, stderr, code := w.try("project", "remove", "park", "--yes", "--force"); code == 0 || !strings.Contains(stderr, "has sandboxes") {
		t.Errorf("remove: exit %d %s", code, stderr)
	}

	// One expires; a destruction that fails is shown, and tried again.
	w.eventually("the short one to end", func() bool { return len(get[[]sandbox](w, "sandboxes")) == 1 })
	if err := os.WriteFile(w.file("stuck"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, exit := w.try("sandbox", "destroy", "try", "--yes", "--wait")
	if exit != 1 || !strings.Contains(stderr, "destroying it failed and is tried again at") {
		t.Errorf("destroy: exit %d\n%s", exit, stderr)
	}
	says(t, "the list", w.run("sandbox", "list"), "ending", "destroying it failed")
	says(t, "status", w.run("status"), "1 sandbox: terrace sandbox list")
	if err := os.Remove(w.file("stuck")); err != nil {
		t.Fatal(err)
	}
	says(t, "the end", w.run("sandbox", "destroy", "try", "--yes", "--wait"), "try is gone, and nothing of it is left")
	says(t, "why it ended", w.run("events", "--limit", "1000", "--json"), "its time was over", "sandbox.ended")
	w.run("events", "verify")
}

// Twenty sandboxes of one project at once, by as many people, never touch each other.
func TestTwentySandboxes(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	first := s.size("small", "", "")
	s.add("park")
	s.wants(s.ends(first), "succeeded", "dev succeeded", "production succeeded")
	s.repo.Branch("bigger")
	bigger := s.size("large", "", "")

	const many = 20
	all, err := s.client.List(t.Context(), democloud.Database)
	if err != nil || len(all) != 2 {
		t.Fatalf("%v, %v", all, err)
	}
	names := make([]string, many)
	people := make([]*world, many)
	var group sync.WaitGroup
	for i := range many {
		names[i] = fmt.Sprintf("try-%02d", i)
		people[i] = s.with(fmt.Sprintf("person-%02d", i), "--role", "developer")
	}
	for i, w := range people {
		group.Go(func() {
			if out, errs, code := w.try("sandbox", "create", names[i], "--base", "dev", "--branch", []string{"main", "bigger"}[i%2]); code != 0 {
				t.Errorf("%s: exit %d\n%s%s", names[i], code, out, errs)
			}
		})
	}
	group.Wait()
	for i, name := range names {
		s.boxed(name, []string{first, bigger}[i%2])
	}
	all, err = s.client.List(t.Context(), democloud.Database)
	if err != nil || len(all) != 2+many {
		t.Errorf("the cloud has %d databases, want %d: %v", len(all), 2+many, err)
	}
	for i, name := range append([]string{"dev", "production"}, names...) {
		want := "small"
		if i >= 2 && i%2 == 1 {
			want = "large"
		}
		if got := s.sizeIn(name); got != want {
			t.Errorf("the database of %s is %q, want %q", name, got, want)
		}
	}
	for i, w := range people {
		group.Go(func() {
			if _, _, code := w.try("sandbox", "destroy", names[(i+1)%many], "--yes"); code == 0 {
				t.Errorf("%s destroyed somebody else's", names[i])
			}
			if out, errs, code := w.try("sandbox", "destroy", names[i], "--yes", "--wait"); code != 0 {
				t.Errorf("%s: exit %d\n%s%s", names[i], code, out, errs)
			}
		})
	}
	group.Wait()
	all, err = s.client.List(t.Context(), democloud.Database)
	if err != nil || len(all) != 2 {
		t.Errorf("the cloud has %d databases left: %v", len(all), err)
	}
}
