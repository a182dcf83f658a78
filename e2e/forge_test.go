package e2e

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// onForge is a world whose repository is on a forge, as terrace's own user there sees it.
type onForge struct {
	*world
	repo            *testkit.GiteaRepo
	ana, mallory, e *testkit.GiteaUser
	bot             *testkit.GiteaUser
}

// comments of a pull request that Terrace wrote.
func (f *onForge) comments(pull int64) (texts []string) {
	for _, c := range f.repo.Comments(pull) {
		if c.Author == f.bot.Name {
			texts = append(texts, c.Text)
		}
	}
	return texts
}

// told waits until the only comment of a pull request has all of these words.
func (f *onForge) told(pull int64, words ...string) (text string) {
	f.Helper()
	ok := false
	defer func() {
		if !ok {
			f.Logf("the comments of %d: %q", pull, f.comments(pull))
		}
	}()
	f.eventually(fmt.Sprintf("the comment of %d to have %q", pull, words), func() bool {
		all := f.comments(pull)
		if len(all) != 1 {
			return false
		}
		text, ok = all[0], true
		for _, w := range words {
			ok = ok && strings.Contains(text, w)
		}
		return ok
	})
	return text
}

// status waits for that of a commit.
func (f *onForge) status(commit, context, state string) testkit.GiteaStatus {
	f.Helper()
	var st testkit.GiteaStatus
	f.eventually(context+" of "+commit+" to be "+state, func() bool {
		st = f.repo.Statuses(commit)[context]
		return st.State == state
	})
	return st
}

// nowhere fails the test when a text is in something that others can see, as it is or
// base64-encoded from whichever byte on.
func nowhere(t *testing.T, what, secret, text string) {
	t.Helper()
	forms := []string{secret}
	for i := range 3 {
		inside := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", i) + secret))
		forms = append(forms, inside[4:len(inside)-4])
	}
	for _, form := range forms {
		if strings.Contains(text, form) {
			t.Errorf("%s has a secret in it", what)
		}
	}
}

// A pull request in a real forge is previewed, in one comment that is edited and a status for
// each environment; a hostile one finds no secret and weakens no rule; a fork waits for a
// member; closing ends the preview and the sandbox.
func TestPullRequests(t *testing.T) {
	t.Parallel()
	gitea := testkit.Gitea(t)
	f := &onForge{world: newWorld(t), ana: gitea.User("ana"), mallory: gitea.User("mallory"), e: gitea.User("eve"), bot: gitea.User("terrace")}
	f.repo = f.ana.Repo("park")
	f.repo.Invite(f.bot, "write")
	f.repo.Invite(f.mallory, "write")
	f.repo.Invite(f.e, "read")
	f.external()
	const canary = "c4n4ry-of-production"
	f.world.repo = f.repo.Clone(f.ana)
	f.world.repo.Write("README.md", "# The park\n")
	f.world.repo.Commit("Nothing yet")
	f.world.repo.Push()
	out, errs, code := f.tryWith(f.bot.NewToken("write:repository", "write:issue", "read:user"), "project", "add", "park", "--repo", f.repo.URL, "--forge", "gitea", "--json")
	if code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	f.project = "park"
	f.hook = ask[struct{ Webhook struct{ URL, Secret string } }](f.world, "project", "show", "park").Webhook
	f.repo.Hook(f.hook.URL, f.hook.Secret)
	f.secret("CLOUD_TOKEN", canary)
	f.secretIn("previews", "CLOUD_TOKEN", "of-previews")
	f.wired("one", "secrets = [\"CLOUD_TOKEN\"]\n  approval {\n    count = 1\n  }")
	first := f.world.repo.Commit("One")
	f.world.repo.Push() // the forge's own webhook tells of it
	f.eventually("the first release to be in production", func() bool {
		for _, a := range ask[[]approval](f.world, "approve", "--all") {
			_, _, _ = f.try("approve", a.Run, "--yes")
		}
		return f.of(first).Status == "succeeded"
	})
	f.status(first, "terrace/park/dev", "success")
	f.status(first, "terrace/park/production", "success")

	// A hostile branch dumps what it finds, and takes the approval away.
	evil := f.repo.Clone(f.mallory)
	evil.Run("fetch", "-q", "origin")
	evil.Run("checkout", "-q", "-b", "evil", "origin/main")
	evil.Write("terrace.hcl", strings.Replace(f.world.repo.Read("terrace.hcl"), "approval {\n    count = 1\n  }", "", 1))
	evil.Write("stacks/other/dump.tf", `provider "external" {}
provider "external" {
  alias = "dump"
}
data "external" "environment" {
  provider = external.dump
  program  = ["sh", "-c", "printf '{\"all\":\"%s\"}' \"$(env | base64 -w0)\""]
}
output "environment" {
  value = data.external.environment.result.all
}
output "own" {
  value = filebase64("/proc/self/environ")
}
`)
	evil.Commit("`@team` </details><script>alert(1)</script> $(id)")
	evil.Push()
	hostile := f.repo.Pull(f.mallory, "evil", "main", "`@team` <script> $(id)")
	text := f.told(hostile, "Refused", "production: `the approval is gone`", "other@production", "other@dev")
	nowhere(t, "the comment", canary, text)
	if strings.Contains(text, "<script>") || strings.Contains(text, "@team") {
		t.Errorf("the comment has the branch's own markup:\n%s", text)
	}
	f.status(evil.Head(), "terrace/park/production", "success")
	list := get[struct{ Previews []preview }](f.world, "previews").Previews
	p := f.ended(list[0].ID)
	for _, e := range p.Environments {
		for _, in := range e.Instances {
			if in.Run == "" {
				t.Errorf("%+v", p)
				continue
			}
			nowhere(t, "the plan of "+in.Instance, canary, f.run("run", "plan", in.Run)+f.run("run", "logs", in.Run)+f.run("run", "show", in.Run, "--json"))
		}
	}
	found := f.run("run", "plan", p.of("other@dev").Run)
	says(t, "what the branch found", found, "environment", "own") // it did look
	f.rails("allow {\n  providers = [\"terraform.io/builtin/terraform\"]\n}\n")
	evil.Write("stacks/other/more.tf", "# again\n")
	again := evil.Commit("Again")
	evil.Push()
	f.told(hostile, "hashicorp/external", "providers says no", "the approval is gone")
	f.status(again, "terrace/park/dev", "failure")
	f.rails("\n")

	// A fork waits for a member, commit by commit.
	fork := f.repo.Fork(f.e)
	eves := fork.Clone(f.e)
	eves.Run("fetch", "-q", "origin")
	eves.Run("checkout", "-q", "-b", "mine", "origin/main")
	eves.Write("stacks/other/more.tf", "output \"more\" {\n  value = \"of a fork\"\n}\n")
	foreign := eves.Commit("Of a fork")
	eves.Push()
	strange := f.repo.Pull(f.e, "eve:mine", "main", "From a fork")
	f.told(strange, "waits for a member", fmt.Sprintf("terrace preview allow %d", strange))
	f.status(foreign, "terrace/park", "pending")
	says(t, "a fork that nobody let in", f.refused("preview", "start", "--pull", fmt.Sprint(strange)), "from a fork", "terrace preview allow")
	says(t, "another commit", f.refused("preview", "allow", fmt.Sprint(strange), "--commit", strings.Repeat("0", 8)), "is at "+foreign[:8])
	f.run("preview", "allow", fmt.Sprint(strange), "--commit", foreign[:12], "--wait")
	f.status(foreign, "terrace/park", "success")
	f.told(strange, "other@production", "output more")
	eves.Write("stacks/other/more.tf", "output \"more\" {\n  value = \"something else\"\n}\n")
	eves.Commit("Not looked at")
	eves.Push()
	f.told(strange, "waits for a member")

	// Closing ends the preview and the sandbox of the branch.
	clone := f.world.repo
	clone.Branch("try")
	clone.Write("stacks/other/more.tf", "output \"more\" {\n  value = 1\n}\n")
	tried := clone.Commit("Try")
	clone.Push()
	f.secretIn("sandboxes", "CLOUD_TOKEN", "of-sandboxes")
	f.run("sandbox", "create", "try", "--base", "dev", "--branch", "try", "--stacks", "other")
	f.boxed("try", tried)
	number := f.repo.Pull(f.ana, "try", "main", "Try it")
	f.told(number, "other@dev", "output more")
	f.repo.ClosePull(number)
	f.eventually("the sandbox to be gone", func() bool { return !strings.Contains(f.run("sandbox", "list"), "try") })
	clone.Run("push", "-q", "origin", "try:gone")
	f.run("sandbox", "create", "gone", "--base", "dev", "--branch", "gone", "--stacks", "other")
	f.boxed("gone", tried)
	deleted := f.repo.Pull(f.ana, "gone", "main", "Deleted soon")
	f.told(deleted, "other@dev")
	f.repo.DeleteBranch("gone")
	f.eventually("the sandbox of a deleted branch to be gone", func() bool { return !strings.Contains(f.run("sandbox", "list"), "gone") })
	if open := get[struct{ Pulls []struct{ Number int64 } }](f.world, "previews").Pulls; len(open) != 2 {
		t.Errorf("open: %+v", open)
	}

	// What is merged is released, and its commit says where it got.
	good := f.repo.Pull(f.ana, "try", "main", "Try it again")
	f.told(good, "other@dev")
	f.repo.MergePull(good)
	clone.Run("fetch", "-q", "origin")
	merged := clone.Run("rev-parse", "origin/main")
	f.status(merged, "terrace/park/dev", "success")
	f.status(merged, "terrace/park", "pending")
	f.status(merged, "terrace/park/production", "pending")
	nowhere(t, "the log of the server", canary, f.log())
}

// external lets runs find the provider that runs programs.
func (w *world) external() {
	w.Helper()
	w.stop(syscall.SIGTERM)
	w.mirror = filepath.Join(w.dir, "providers")
	for _, host := range []string{"registry.opentofu.org", "registry.terraform.io"} {
		folder := filepath.Join(w.mirror, host, "hashicorp", "external", "1.2.0", runtime.GOOS+"_"+runtime.GOARCH)
		if err := os.MkdirAll(folder, 0o750); err != nil {
			w.Fatal(err)
		}
		if err := os.Symlink(testkit.ExternalProvider(w), filepath.Join(folder, "terraform-provider-external_v1.2.0")); err != nil {
			w.Fatal(err)
		}
	}
	w.start()
}
