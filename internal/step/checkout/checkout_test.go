package checkout

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// origin is a repository to make commits in; it is its own mirror.
type origin struct {
	t   testing.TB
	dir string
}

func newOrigin(t testing.TB) *origin {
	t.Helper()
	o := &origin{t: t, dir: t.TempDir()}
	o.git("init", "-q", "-b", "main")
	return o
}

func (o *origin) git(args ...string) string {
	o.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", o.dir, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (o *origin) mirror() string { return filepath.Join(o.dir, ".git") }

// write writes files; content "-> target" makes a symbolic link, "" removes.
func (o *origin) write(files map[string]string) *origin {
	o.t.Helper()
	write(o.t, o.dir, files)
	return o
}

func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file := filepath.Join(dir, name)
		must(t, os.RemoveAll(file))
		if content == "" {
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(file), 0o755))
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			must(t, os.Symlink(target, file))
			continue
		}
		must(t, os.WriteFile(file, []byte(content), 0o644))
	}
}

func (o *origin) commit() string {
	o.t.Helper()
	o.git("add", "-A")
	o.git("commit", "-q", "--allow-empty", "-m", "change")
	return o.git("rev-parse", "HEAD")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func options(t testing.TB, o *origin, commit string) Options {
	return Options{Root: filepath.Join(t.TempDir(), "trees"), Project: "shop", Environment: "dev", Stack: "web",
		Mirror: o.mirror(), Commit: commit, Path: "stacks/web", Keep: []string{".terraform", "override.tf"}, Scratch: t.TempDir()}
}

func open(t testing.TB, o Options) *Tree {
	t.Helper()
	tree, err := Open(context.Background(), o)
	must(t, err)
	return tree
}

// files lists what is under dir, with a slash after directories.
func files(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	must(t, filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if d.IsDir() {
			name += "/"
		}
		out = append(out, name)
		return err
	}))
	return out
}

func TestATreeIsTheCommitAndNothingElse(t *testing.T) {
	t.Parallel()
	o := newOrigin(t).write(map[string]string{
		"stacks/web/main.tf": "one", "stacks/web/same.tf": "same", "stacks/db/main.tf": "db", "gone/file": "x",
		"stacks/web/link.tf": "-> ../db/main.tf", "stacks/web/dangling": "-> nowhere",
	})
	options := options(t, o, o.commit())
	tree := open(t, options)
	if !tree.Kept {
		t.Error("the first tree is not the kept one")
	}
	same, err := os.Stat(tree.File("stacks/web/same.tf"))
	must(t, err)
	// What a run leaves behind, or does to the tree.
	write(t, tree.Dir, map[string]string{
		"stacks/web/.terraform/providers": "kept", "stacks/web/override.tf": "kept", "stacks/db/.terraform/x": "foreign",
		"stacks/web/main.tf": "changed by a provisioner", "stacks/web/new": "foreign", "new/dir/file": "foreign", "gone/other": "foreign",
		"stacks/db/main.tf": "-> /etc/passwd",
	})
	must(t, tree.Close())

	options.Commit = o.write(map[string]string{"stacks/web/added.tf": "two", "gone/file": "", "stacks/web/link.tf": "now a file"}).commit()
	tree = open(t, options)
	defer func() { must(t, tree.Close()) }()
	want := []string{"stacks/", "stacks/db/", "stacks/db/main.tf", "stacks/web/", "stacks/web/.terraform/", "stacks/web/.terraform/providers",
		"stacks/web/added.tf", "stacks/web/dangling", "stacks/web/link.tf", "stacks/web/main.tf", "stacks/web/override.tf", "stacks/web/same.tf"}
	if got := files(t, tree.Dir); !slices.Equal(got, want) {
		t.Errorf("the tree has\n%q, want\n%q", got, want)
	}
	for name, want := range map[string]string{"stacks/web/main.tf": "one", "stacks/web/link.tf": "now a file", "stacks/db/main.tf": "db"} {
		if got, err := os.ReadFile(tree.File(name)); err != nil || string(got) != want {
			t.Errorf("%s is %q (%v), want %q", name, got, err, want)
		}
	}
	if again, err := os.Stat(tree.File("stacks/web/same.tf")); err != nil || !os.SameFile(same, again) || !again.ModTime().Equal(same.ModTime()) {
		t.Error("a file that did not change was written again")
	}
}

func TestLinksThatLeaveTheTreeAreRefused(t *testing.T) {
	t.Parallel()
	for name, links := range map[string]map[string]string{
		"absolute": {"a/link": "-> /etc/passwd"},
		"up":       {"a/link": "-> ../../outside"},
		"by way":   {"a/deep": "-> ..", "a/link": "-> deep/../outside"},
		"loop":     {"a/link": "-> link"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t).write(map[string]string{"stacks/web/main.tf": "x"}).write(links)
			_, err := Open(context.Background(), options(t, o, o.commit()))
			if core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "a/link") {
				t.Errorf("got %v, want a refusal that names a/link", err)
			}
		})
	}
}

func TestSubmodulesAndConfigurationAreNotFollowed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t).write(map[string]string{"stacks/web/main.tf": "x", ".gitattributes": "*.tf filter=evil\n",
		".gitmodules": "[submodule \"sub\"]\n\tpath = sub\n\turl = ext::touch /tmp/never\n"})
	sub := o.commit()
	o.git("update-index", "--add", "--cacheinfo", "160000,"+sub+",sub")
	o.git("commit", "-q", "-m", "submodule")
	hook := filepath.Join(o.mirror(), "hooks", "post-checkout")
	must(t, os.MkdirAll(filepath.Dir(hook), 0o755))
	witness := filepath.Join(t.TempDir(), "ran")
	must(t, os.WriteFile(hook, []byte("#!/bin/sh\ntouch "+witness+"\n"), 0o755))
	options := options(t, o, o.git("rev-parse", "HEAD"))
	for range 2 {
		tree := open(t, options)
		if got, want := files(t, tree.Dir), []string{".gitattributes", ".gitmodules", "stacks/", "stacks/web/", "stacks/web/main.tf", "sub/"}; !slices.Equal(got, want) {
			t.Errorf("the tree has %q, want %q", got, want)
		}
		write(t, tree.Dir, map[string]string{"sub/.git": "gitdir: /etc", "sub/main.tf": "foreign"})
		must(t, tree.Close())
	}
	if _, err := os.Stat(witness); err == nil {
		t.Error("a hook ran")
	}
}

func TestTwoRunsNeverShareATree(t *testing.T) {
	t.Parallel()
	o := newOrigin(t).write(map[string]string{"stacks/web/main.tf": "x"})
	first := options(t, o, o.commit())
	one := open(t, first)
	second := first
	second.Scratch = t.TempDir()
	two := open(t, second)
	if two.Kept || one.Dir == two.Dir || !strings.HasPrefix(two.Dir, second.Scratch) {
		t.Errorf("the second tree is %s, beside %s", two.Dir, one.Dir)
	}
	must(t, two.Close())
	must(t, one.Close())
	again := open(t, second)
	if !again.Kept || again.Dir != one.Dir {
		t.Errorf("after the first was closed, the tree is %s, want %s", again.Dir, one.Dir)
	}
	must(t, again.Close())
}

func TestManyRunsOnOneMirror(t *testing.T) {
	t.Parallel()
	o := newOrigin(t)
	for i := range 50 {
		o.write(map[string]string{fmt.Sprintf("stacks/web/file%d.tf", i): "x"})
	}
	base := options(t, o, o.commit())
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		mine := base
		mine.Stack = fmt.Sprintf("web%d", i)
		wg.Go(func() {
			for range 3 {
				tree, err := Open(context.Background(), mine)
				if err == nil {
					err = tree.Close()
				}
				if err != nil {
					errs[i] = err
				}
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		must(t, err)
	}
}

func TestDamagedTreesAreMended(t *testing.T) {
	t.Parallel()
	o := newOrigin(t).write(map[string]string{"stacks/web/main.tf": "x"})
	options := options(t, o, o.commit())
	for name, damage := range map[string]func(base string) error{
		"killed git":    func(base string) error { return os.WriteFile(filepath.Join(base, "index.lock"), nil, 0o600) },
		"torn index":    func(base string) error { return os.WriteFile(filepath.Join(base, "index"), []byte("DIRC"), 0o600) },
		"lost index":    func(base string) error { return os.Remove(filepath.Join(base, "index")) },
		"lost tree":     func(base string) error { return os.RemoveAll(filepath.Join(base, "tree")) },
		"file for tree": func(base string) error { return os.WriteFile(filepath.Join(base, "tree", "stacks", "x"), nil, 0o600) },
	} {
		tree := open(t, options)
		must(t, tree.Close())
		must(t, damage(filepath.Dir(tree.Dir)))
		tree = open(t, options)
		if got, want := files(t, tree.Dir), []string{"stacks/", "stacks/web/", "stacks/web/main.tf"}; !slices.Equal(got, want) {
			t.Errorf("%s: the tree has %q, want %q", name, got, want)
		}
		must(t, tree.Close())
	}
}

func TestWhatCannotBeCheckedOut(t *testing.T) {
	t.Parallel()
	o := newOrigin(t).write(map[string]string{"stacks/web/main.tf": "x"})
	good := options(t, o, o.commit())
	for name, c := range map[string]struct {
		change func(*Options)
		code   core.Code
	}{
		"option as commit":  {func(o *Options) { o.Commit = "--upload-pack=id" }, core.Invalid},
		"branch as commit":  {func(o *Options) { o.Commit = "main" }, core.Invalid},
		"unknown commit":    {func(o *Options) { o.Commit = strings.Repeat("0123", 10) }, core.Unavailable},
		"no mirror":         {func(o *Options) { o.Mirror = "/nonexistent" }, core.Unavailable},
		"path leaves":       {func(o *Options) { o.Path = "../.." }, core.Invalid},
		"path not there":    {func(o *Options) { o.Path = "stacks/db" }, core.Invalid},
		"path is a file":    {func(o *Options) { o.Path = "stacks/web/main.tf" }, core.Invalid},
		"name with a slash": {func(o *Options) { o.Stack = "../web" }, core.Invalid},
	} {
		bad := good
		c.change(&bad)
		if _, err := Open(context.Background(), bad); core.CodeOf(err) != c.code {
			t.Errorf("%s: got %v (%s), want %s", name, err, core.CodeOf(err), c.code)
		}
	}
	// None of them kept the lock.
	must(t, open(t, good).Close())
}

func TestPruneDropsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	o := newOrigin(t).write(map[string]string{"stacks/web/main.tf": strings.Repeat("x", 10_000)})
	base := options(t, o, o.commit())
	start := time.Now().Add(-time.Hour)
	for i := range 6 {
		mine := base
		mine.Stack = fmt.Sprintf("web%d", i)
		tree := open(t, mine)
		must(t, tree.Measure())
		lock := tree.slot.lock.Name()
		must(t, tree.Close())
		must(t, os.Chtimes(lock, start, start.Add(time.Duration(i)*time.Minute)))
	}
	left := func() (names []string) {
		entries, err := os.ReadDir(filepath.Join(base.Root, "shop", "dev"))
		must(t, err)
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	inUse := base
	inUse.Stack = "web0"
	held := open(t, inUse)
	must(t, os.Chtimes(held.slot.lock.Name(), start, start))
	if n, err := Prune(context.Background(), base.Root, Limits{Trees: 4}); n != 2 || err != nil {
		t.Errorf("pruned %d (%v), want 2", n, err)
	}
	if got, want := left(), []string{"web0", "web3", "web4", "web5"}; !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
	must(t, held.Close())
	if n, err := Prune(context.Background(), base.Root, Limits{Bytes: 25_000}); n != 2 || err != nil {
		t.Errorf("pruned %d (%v), want 2", n, err)
	}
	if got, want := left(), []string{"web0", "web5"}; !slices.Equal(got, want) {
		t.Errorf("left %q, want %q", got, want)
	}
	if n, err := Prune(context.Background(), base.Root, Limits{}); n != 0 || err != nil {
		t.Errorf("pruned %d (%v) without limits", n, err)
	}
	must(t, open(t, inUse).Close())
}

func BenchmarkOpen(b *testing.B) {
	o := newOrigin(b)
	many := map[string]string{"stacks/web/main.tf": "x"}
	for i := range 2000 {
		many[fmt.Sprintf("stacks/s%d/main.tf", i)] = strings.Repeat("resource {}\n", 50)
	}
	first := o.write(many).commit()
	second := o.write(map[string]string{"stacks/web/main.tf": "y"}).commit()
	o.git("gc", "-q") // as a mirror is: packed
	b.Run("fresh", func(b *testing.B) {
		for b.Loop() {
			must(b, open(b, options(b, o, first)).Close())
		}
	})
	b.Run("kept", func(b *testing.B) {
		options := options(b, o, first)
		for b.Loop() {
			must(b, open(b, options).Close())
			if options.Commit == first {
				options.Commit = second
			} else {
				options.Commit = first
			}
		}
	})
}
