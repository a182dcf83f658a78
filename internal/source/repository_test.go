package source

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	// Nothing of the machine's own git configuration.
	for _, e := range os.Environ() {
		if name, _, _ := strings.Cut(e, "="); strings.HasPrefix(name, "GIT_") {
			_ = os.Unsetenv(name)
		}
	}
	goleak.VerifyTestMain(m)
}

// repository is a bare repository that a test commits to.
type repository struct {
	t   testing.TB
	dir string
}

func newRepository(t testing.TB, args ...string) *repository {
	r := &repository{t: t, dir: filepath.Join(t.TempDir(), "shop.git")}
	r.git("", append([]string{"init", "--quiet", "--bare", "--initial-branch=main"}, append(args, r.dir)...)...)
	return r
}

func (r *repository) git(stdin string, args ...string) string {
	r.t.Helper()
	if args[0] != "init" {
		args = append([]string{"--git-dir=" + r.dir}, args...)
	}
	cmd := exec.CommandContext(context.Background(), "git", args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=Ana", "GIT_AUTHOR_EMAIL=ana@example.org", "GIT_COMMITTER_NAME=Bot", "GIT_COMMITTER_EMAIL=bot@example.org",
		"GIT_AUTHOR_DATE=1750000000 +0000", "GIT_COMMITTER_DATE=1750000000 +0000"}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// Contents that are no files.
const (
	asLink      = "\x00link:"
	asSubmodule = "\x00submodule:"
	asProgram   = "\x00program:"
)

// tree stores a tree of exactly these files.
func (r *repository) tree(files map[string]string) string {
	r.t.Helper()
	var b strings.Builder
	b.WriteString("commit refs/tests/tree\ncommitter T <t@example.org> 1750000000 +0000\ndata 0\ndeleteall\n")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		mode, content := "100644", files[name]
		switch {
		case strings.HasPrefix(content, asSubmodule):
			fmt.Fprintf(&b, "M 160000 %s %s\n", content[len(asSubmodule):], quoteForImport(name))
			continue
		case strings.HasPrefix(content, asLink):
			mode, content = "120000", content[len(asLink):]
		case strings.HasPrefix(content, asProgram):
			mode, content = "100755", content[len(asProgram):]
		}
		fmt.Fprintf(&b, "M %s inline %s\ndata %d\n%s\n", mode, quoteForImport(name), len(content), content)
	}
	r.git(b.String(), "fast-import", "--quiet", "--force")
	return r.git("", "rev-parse", "refs/tests/tree^{tree}")
}

func quoteForImport(name string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(name) {
		if c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			fmt.Fprintf(&b, "\\%03o", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String() + `"`
}

// commit makes a commit with exactly these files on top of parents, or of branch's
// head, and moves branch there.
func (r *repository) commit(branch, message string, files map[string]string, parents ...string) string {
	r.t.Helper()
	args := []string{"commit-tree", r.tree(files)}
	if parents == nil {
		if out := r.git("", "for-each-ref", "--format=%(objectname)", "refs/heads/"+branch); out != "" {
			parents = []string{out}
		}
	}
	for _, p := range parents {
		args = append(args, "-p", p)
	}
	head := r.git(message, args...)
	r.git("", "update-ref", "refs/heads/"+branch, head)
	return head
}

// commits makes n commits on branch.
func (r *repository) commits(branch string, n int) []string {
	r.t.Helper()
	var out []string
	for range n {
		name := strconv.Itoa(len(out)) + branch
		out = append(out, r.commit(branch, "Commit "+name, map[string]string{"file": name}))
	}
	return out
}

func newSource(t testing.TB, opts Options) *Source {
	t.Helper()
	s, err := New(filepath.Join(t.TempDir(), "mirrors"), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (r *repository) fetch(s *Source, branch string) string {
	r.t.Helper()
	head, err := s.Fetch(r.t.Context(), r.dir, branch)
	if err != nil {
		r.t.Fatal(err)
	}
	return head
}
