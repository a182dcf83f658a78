package forge_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/forge"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// patience is for a busy machine; nothing waits that long when it is not.
const patience = time.Minute

// world is a real Gitea: ana's repository, with terrace as a collaborator who may write and mallory as one who may read.
type world struct {
	*testing.T
	server              *testkit.GiteaServer
	ana, mallory, robot *testkit.GiteaUser
	repo                *testkit.GiteaRepo
	clone               *testkit.Repo
	client              forge.Client
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, server: testkit.Gitea(t)}
	w.ana, w.mallory, w.robot = w.server.User("ana"), w.server.User("mallory"), w.server.User("terrace")
	w.repo = w.ana.Repo("infra")
	w.repo.Invite(w.robot, "write")
	w.repo.Invite(w.mallory, "read")
	w.clone = w.repo.Clone(w.ana)
	w.clone.Write("main.tf", "# one\n")
	w.clone.Commit("one")
	for _, name := range []string{"feature/first", "second", "third", "feature/hooks"} {
		branch(w.clone, name)
	}
	w.clone.Run("push", "-q", "origin", "main", "main:refs/heads/next", "feature/first", "second", "third") // one push: each takes Gitea a while
	w.client = w.as(w.robot.NewToken("write:repository", "write:issue"))
	return w
}

// as is a client with another token.
func (w *world) as(token string) forge.Client {
	w.Helper()
	client, err := forge.Open(forge.Config{Kind: forge.Gitea, URL: w.server.URL, Repo: w.repo.Path, Token: token})
	if err != nil {
		w.Fatal(err)
	}
	return client
}

// branch makes a branch with a commit of its own, and returns the commit.
func branch(clone *testkit.Repo, name string) string {
	clone.Branch(name)
	clone.Write("main.tf", "# "+name+"\n")
	commit := clone.Commit(name)
	clone.Checkout("main")
	return commit
}

func (w *world) refused(err error, code core.Code, says string) {
	w.Helper()
	if core.CodeOf(err) != code || !strings.Contains(core.MessageOf(err), says) {
		w.Errorf("the error is %v, not %s with %q", err, code, says)
	}
}

// TestRealGitea: every method, against the forge itself.
func TestRealGitea(t *testing.T) {
	w := newWorld(t)
	w.repo.Pull(w.ana, "feature/first", "main", "First")
	first := w.clone.Run("rev-parse", "feature/first")
	t.Run("webhooks", w.at((*world).hooks))
	t.Run("pulls", w.at((*world).pulls))
	t.Run("comments", w.at(func(w *world) { w.comments(1) }))
	t.Run("statuses", w.at(func(w *world) { w.statuses(first) }))
	t.Run("people", w.at((*world).people))
	t.Run("login", w.at((*world).login))
	t.Run("check", w.at((*world).check))
}

// at runs a part of the story in a test of its own.
func (w *world) at(part func(*world)) func(*testing.T) {
	return func(t *testing.T) {
		own := *w
		own.T = t
		part(&own)
	}
}

func (w *world) pulls() {
	want := map[int64]forge.Pull{}
	add := func(number int64, p forge.Pull) {
		p.Number, p.Target = number, "main"
		p.URL, p.Ref = fmt.Sprintf("%s/%s/pulls/%d", w.server.URL, w.repo.Path, number), fmt.Sprintf("refs/pull/%d/head", number)
		want[number] = p
	}
	add(1, forge.Pull{Title: "First", Author: "ana", Branch: "feature/first", Commit: w.clone.Run("rev-parse", "feature/first")})
	add(w.repo.Pull(w.ana, "second", "main", "WIP: Second"),
		forge.Pull{Title: "WIP: Second", Author: "ana", Branch: "second", Commit: w.clone.Run("rev-parse", "second"), Draft: true})
	w.repo.Pull(w.ana, "third", "next", "Elsewhere") // is not listed, nor is the one that was closed
	// From strangers: a fork, and what is pushed to refs/for by one who may only read.
	fork := w.repo.Fork(w.mallory).Clone(w.mallory)
	fork.Run("fetch", "-q", "origin")
	fork.Run("checkout", "-q", "-b", "main", "origin/main")
	commit := branch(fork, "evil")
	fork.Run("push", "-q", "origin", "evil")
	add(w.repo.Pull(w.mallory, "mallory:evil", "main", "Evil \u202e<b>"), forge.Pull{Title: "Evil <b>", Author: "mallory", Branch: "evil", Commit: commit, Fork: true})
	fork.Write("main.tf", "# pushed\n")
	commit = fork.Commit("Pushed")
	fork.Run("push", "-q", w.repo.As(w.mallory), "HEAD:refs/for/main", "-o", "topic=pushed", "-o", "title=Pushed")
	pulls, err := w.client.Pulls(w.Context(), "main")
	if err != nil {
		w.Fatal(err)
	}
	if len(pulls) != 4 {
		w.Fatalf("there are %d pull requests: %+v", len(pulls), pulls)
	}
	last := pulls[3]
	add(last.Number, forge.Pull{Title: "Pushed", Author: "mallory", Branch: last.Branch, Commit: commit, Fork: true})
	for _, p := range pulls {
		if diff := cmp.Diff(want[p.Number], p); diff != "" {
			w.Errorf("pull request %d (-want +got):\n%s", p.Number, diff)
		}
		// What is listed can be fetched from the repository itself, with what Login says.
		testkit.Eventually(w, patience, p.Ref, func() bool { return w.fetched(p.Ref) == p.Commit })
	}
	if none, err := w.client.Pulls(w.Context(), "nothing"); err != nil || len(none) != 0 {
		w.Errorf("Pulls(nothing) = %+v, %v", none, err)
	}
}

// fetched returns the commit of a ref, or "".
func (w *world) fetched(ref string) string {
	w.Helper()
	out, err := w.git("ls-remote", w.repo.URL, ref)
	if err != nil {
		w.Errorf("git ls-remote %s: %v", ref, err)
	}
	commit, _, _ := strings.Cut(out, "\t")
	return commit
}

// git runs it with the client's login, which it asks a program for.
func (w *world) git(args ...string) (string, error) {
	w.Helper()
	login, err := w.client.Login(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	dir := w.TempDir()
	ask := filepath.Join(dir, "ask")
	if err := os.WriteFile(ask, []byte("#!/bin/sh\ncase $1 in Username*) echo \"$FORGE_USER\";; *) echo \"$FORGE_PASSWORD\";; esac\n"), 0o700); err != nil {
		w.Fatal(err)
	}
	cmd := exec.CommandContext(w.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=" + ask,
		"FORGE_USER=" + login.User, "FORGE_PASSWORD=" + login.Password}
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

func (w *world) comments(pull int64) {
	id, err := w.client.Comment(w.Context(), pull, "", "**3 to add** ü")
	if err != nil {
		w.Fatal(err)
	}
	if again, err := w.client.Comment(w.Context(), pull, id, "nothing to do"); err != nil || again != id {
		w.Fatalf("Comment() = %q, %v", again, err)
	}
	long := strings.Repeat("ä", w.client.CommentLimit())
	if _, err := w.client.Comment(w.Context(), pull, id, long); err != nil {
		w.Errorf("the longest comment: %v", err)
	}
	got := w.repo.Comments(pull)
	if len(got) != 1 || fmt.Sprint(got[0].ID) != id || got[0].Author != "terrace" || got[0].Text != long {
		w.Errorf("the comments are %.200v", got)
	}
	w.repo.DeleteComment(got[0].ID)
	_, err = w.client.Comment(w.Context(), pull, id, "x")
	w.refused(err, core.NotFound, "edit comment "+id)
	_, err = w.client.Comment(w.Context(), 999, "", "x")
	w.refused(err, core.NotFound, "find pull request 999")
}

func (w *world) statuses(commit string) {
	set := func(context, state, text string) {
		w.Helper()
		if err := w.client.Status(w.Context(), commit, forge.Status{Context: context, State: state, Text: text, URL: w.server.URL + "/x"}); err != nil {
			w.Fatal(err)
		}
	}
	for _, name := range []string{"dev", "staging", "production"} {
		set("terrace/"+name, forge.Pending, "planning")
	}
	set("terrace/dev", forge.Success, "3 to add")
	set("terrace/staging", forge.Failure, strings.Repeat("x", 300))
	set("terrace/production", forge.Error, "waits for network@staging")
	url := w.server.URL + "/x"
	if diff := cmp.Diff(map[string]testkit.GiteaStatus{
		"terrace/dev":        {Context: "terrace/dev", State: "success", Text: "3 to add", URL: url},
		"terrace/staging":    {Context: "terrace/staging", State: "failure", Text: strings.Repeat("x", 254) + "…", URL: url},
		"terrace/production": {Context: "terrace/production", State: "error", Text: "waits for network@staging", URL: url},
	}, w.repo.Statuses(commit)); diff != "" {
		w.Errorf("statuses (-want +got):\n%s", diff)
	}
	w.refused(w.client.Status(w.Context(), strings.Repeat("1", 40), forge.Status{Context: "x", State: forge.Success}), core.NotFound, "find commit 111111111111")
}

func (w *world) people() {
	owner := w.as(w.ana.Token)
	for user, want := range map[string]bool{"ana": true, "ANA": true, "terrace": true, "mallory": false, "nobody": false, "..": false} {
		if may, err := owner.MayPush(w.Context(), user); err != nil || may != want {
			w.Errorf("MayPush(%q) = %v, %v", user, may, err)
		}
	}
	_, err := w.client.MayPush(w.Context(), "ana")
	w.refused(err, core.Denied, "repo admins can query")
}

func (w *world) login() {
	out, err := w.git("clone", "-q", "--branch", "main", w.repo.URL, "copy")
	if err != nil {
		w.Errorf("git clone: %v %s", err, out)
	}
}

func (w *world) check() {
	if err := w.client.Check(w.Context()); err != nil {
		w.Errorf("Check() = %v", err)
	}
	w.refused(w.as(w.robot.NewToken("write:repository", "read:issue")).Check(w.Context()), core.Denied, "required=[write:issue]")
	w.refused(w.as(w.robot.NewToken("read:repository", "write:issue")).Check(w.Context()), core.Denied, "required=[write:repository]")
	w.refused(w.as(w.mallory.Token).Check(w.Context()), core.Denied, "may not write to the repository")
	w.refused(w.as(strings.Repeat("0", 40)).Check(w.Context()), core.Denied, "expired or was revoked")
	w.refused(w.as(w.server.User("cy").Token).Check(w.Context()), core.NotFound, "the token may not see it")
}

func (w *world) hooks() {
	const secret = "a secret of the project"
	got := make(chan forge.Hook, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			w.Error(err)
		}
		hook, err := forge.ReadHook(forge.Gitea, r.Header, body, secret)
		if err != nil {
			w.Errorf("%v: %v %s", err, r.Header, body)
		}
		if _, err := forge.ReadHook(forge.Gitea, r.Header, body, "another"); core.CodeOf(err) != core.Unauthenticated {
			w.Errorf("another secret: %v", err)
		}
		got <- hook
	}))
	defer receiver.Close()
	w.repo.Hook(receiver.URL, secret)
	// They come in any order, some more than once.
	expect := func(want ...forge.Hook) {
		w.Helper()
		missing := map[forge.Hook]bool{}
		for _, hook := range want {
			missing[hook] = true
		}
		deadline := time.After(patience)
		for len(missing) > 0 {
			select {
			case hook := <-got:
				delete(missing, hook)
			case <-deadline:
				w.Fatalf("no webhook came that says %+v", missing)
			}
		}
	}
	w.clone.Run("push", "-q", "origin", "feature/hooks")
	expect(forge.Hook{Event: forge.PushEvent, Branch: "feature/hooks", Author: "ana"})
	pull := w.repo.Pull(w.ana, "feature/hooks", "main", "Hooks")
	expect(forge.Hook{Event: forge.PullEvent, Branch: "feature/hooks", Pull: pull, Author: "ana"})
	w.repo.Comment(w.mallory, pull, "terrace preview")
	expect(forge.Hook{Event: forge.CommentEvent, Pull: pull, Author: "mallory", Comment: "terrace preview"})
	w.repo.ClosePull(pull)
	expect(forge.Hook{Event: forge.PullEvent, Branch: "feature/hooks", Pull: pull, Author: "ana"})
	w.repo.DeleteBranch("feature/hooks")
	expect(forge.Hook{Event: forge.PushEvent, Branch: "feature/hooks", Author: "ana"})
}
