package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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
func (s *store) branch(name, size string) string {
	s.Helper()
	s.repo.Branch(name)
	commit := s.size(size, "", "")
	s.repo.Checkout("main")
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

// tell tells the server of a push.
func (w *world) tell() {
	w.Helper()
	body := []byte(`{"ref":"refs/heads/some"}`)
	if resp, text := w.post(w.hook.URL, body, map[string]string{"X-Terrace-Signature": signature(w.hook.Secret, body)}); resp.StatusCode != http.StatusAccepted {
		w.Fatalf("the webhook was answered %s: %s", resp.Status, text)
	}
}

// sizeIn is the size of the only database of a tenant, "" when there is none.
func (s *store) sizeIn(tenant string) string {
	s.Helper()
	client := democloud.Client{URL: s.client.URL, Tenant: tenant}
	all, err := client.List(s.Context(), democloud.Database)
	if err != nil {
		s.Fatal(err)
	}
	if len(all) == 0 {
		return ""
	}
	if len(all) > 1 {
		s.Fatalf("%s has %+v", tenant, all)
	}
	return all[0].Spec.Size
}

// clone is a developer's own, with a branch checked out.
func (s *store) clone(branch string) string {
	s.Helper()
	dir := filepath.Join(s.T.TempDir(), "clone")
	if out, err := exec.CommandContext(s.Context(), "git", "clone", "-q", "-b", branch, s.repo.Remote, dir).CombinedOutput(); err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// shell runs tofu in a sandbox's shell, in a clone, and returns what it says.
func (s *store) shell(w *world, dir, name string, command ...string) (string, int) {
	s.Helper()
	rc := filepath.Join(s.dir, "tofurc")
	if err := os.WriteFile(rc, []byte("provider_installation {\n  filesystem_mirror {\n    path = \""+s.mirror+"\"\n  }\n}\n"), 0o600); err != nil {
		s.Fatal(err)
	}
	cmd := exec.CommandContext(s.Context(), plain, append([]string{"sandbox", "shell", name, "shop", "--"}, command...)...)
	for _, v := range w.env {
		if !strings.HasPrefix(v, "TF_CLI_CONFIG_FILE=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "TERRACE_URL="+w.url, "TERRACE_TOKEN="+w.token, "TF_CLI_CONFIG_FILE="+rc)
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
