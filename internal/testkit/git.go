package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Repo is a clone and the bare remote that it pushes to. Its methods fail the test
// instead of returning errors, so that a history reads like a story:
//
//	repo := testkit.Git(t)
//	repo.Write("stacks/web/main.tf", code)
//	first := repo.Commit("web")
//	repo.Push()
type Repo struct {
	t testing.TB
	// Dir is the clone's work tree, Remote the bare repository.
	Dir, Remote string
}

// Git makes an empty repository on branch main, and its remote.
func Git(t testing.TB) *Repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("git is not installed; run: scripts/deps test")
	}
	dir := t.TempDir()
	r := &Repo{t: t, Dir: filepath.Join(dir, "clone"), Remote: filepath.Join(dir, "remote.git")}
	r.in(dir, "init", "-q", "--bare", "--initial-branch=main", r.Remote)
	r.in(dir, "init", "-q", "--initial-branch=main", r.Dir)
	r.Run("remote", "add", "origin", r.Remote)
	return r
}

// Write writes a file and the folders above it.
func (r *Repo) Write(path, content string) {
	r.t.Helper()
	file := filepath.Join(r.Dir, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// Read returns a file's content.
func (r *Repo) Read(path string) string {
	r.t.Helper()
	data, err := os.ReadFile(filepath.Join(r.Dir, filepath.FromSlash(path)))
	if err != nil {
		r.t.Fatal(err)
	}
	return string(data)
}

// Remove deletes a file or a folder.
func (r *Repo) Remove(path string) {
	r.t.Helper()
	if err := os.RemoveAll(filepath.Join(r.Dir, filepath.FromSlash(path))); err != nil {
		r.t.Fatal(err)
	}
}

// Commit commits all that changed, or nothing at all when nothing did, and returns the
// commit.
func (r *Repo) Commit(message string) string {
	r.t.Helper()
	r.Run("add", "-A")
	r.Run("commit", "-q", "--allow-empty", "-m", message)
	return r.Head()
}

// Head returns the commit that is checked out.
func (r *Repo) Head() string {
	r.t.Helper()
	return r.Run("rev-parse", "HEAD")
}

// Push sends the branch that is checked out to the remote.
func (r *Repo) Push() {
	r.t.Helper()
	r.Run("push", "-q", "origin", "HEAD")
}

// ForcePush does so even when history was rewritten.
func (r *Repo) ForcePush() {
	r.t.Helper()
	r.Run("push", "-q", "--force", "origin", "HEAD")
}

// Branch makes a branch here and checks it out.
func (r *Repo) Branch(name string) {
	r.t.Helper()
	r.Run("checkout", "-q", "-b", name)
}

// Checkout changes to a branch.
func (r *Repo) Checkout(name string) {
	r.t.Helper()
	r.Run("checkout", "-q", name)
}

// Merge merges a branch into the one checked out, always with a merge commit, and
// returns it.
func (r *Repo) Merge(branch, message string) string {
	r.t.Helper()
	r.Run("merge", "-q", "--no-ff", "-m", message, branch)
	return r.Head()
}

// Run runs git in the clone and returns what it printed.
func (r *Repo) Run(args ...string) string {
	r.t.Helper()
	return r.in(r.Dir, args...)
}

func (r *Repo) in(dir string, args ...string) string {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), "git", args...)
	cmd.Dir = dir
	// A fixed person, and nothing of the machine's own configuration.
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "LC_ALL=C",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=Ana", "GIT_AUTHOR_EMAIL=ana@example.org",
		"GIT_COMMITTER_NAME=Ana", "GIT_COMMITTER_EMAIL=ana@example.org",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}
