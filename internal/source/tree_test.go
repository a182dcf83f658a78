package source

import (
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

var _ config.Tree = (*Tree)(nil)

func TestTree(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	s := newSource(t, Options{})
	files := map[string]string{
		"a.tf": "a", "a/b": "a/b", "a-b/c": "a-b/c", "z": "", "big": strings.Repeat("x", 1<<20),
		"new\nline": "1", "quo\"te'; id": "2", "ünï/cödé $(id)": "3", "-rf": "4", " ": "5", "tab\tname": "6", "back\\slash": "7",
		"run": asProgram + "#!/bin/sh", "a/.terraform/x": "hidden",
		"link": asLink + "a/b", "a/up": asLink + "../z", "dirlink": asLink + "a", "loop": asLink + "loop2", "loop2": asLink + "loop",
		"passwd": asLink + "/etc/passwd", "out": asLink + "../../etc/passwd", "a/sneaky": asLink + "../../etc", "dangling": asLink + "nothing", "empty": asLink + "x",
		"sub": asSubmodule + strings.Repeat("1", 40),
	}
	head := r.commit("main", "x", files)
	r.fetch(s, "main")
	tree, err := s.Tree(t.Context(), r.dir, head)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for name, content := range files {
		if !strings.HasPrefix(content, "\x00") && !strings.Contains(name, ".terraform") {
			want = append(want, name)
			b, err := tree.ReadFile(name)
			if err != nil || string(b) != content {
				t.Errorf("%q: %.20q, %v", name, b, err)
			}
			if id := r.git("", "rev-parse", head+":"+name); tree.BlobID(name) != id {
				t.Errorf("%q: blob %s, want %s", name, tree.BlobID(name), id)
			}
		}
	}
	want = append(want, "run", "link", "a/up")
	slices.Sort(want)
	got, err := tree.Files()
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("files %q\nwant %q\n%v", got, want, err)
	}
	for name, content := range map[string]string{"link": "a/b", "a/up": "", "dirlink/b": "a/b", "run": "#!/bin/sh", "dirlink/up": ""} {
		if b, err := tree.ReadFile(name); err != nil || string(b) != content {
			t.Errorf("%q: %q, %v", name, b, err)
		}
	}
	for _, name := range []string{"passwd", "out", "a/sneaky/passwd", "loop", "dangling", "a", "sub", "sub/x", "nothing", "../x", "/etc/passwd", "", ".", "dirlink", "a/../z", "a\x00b"} {
		if b, err := tree.ReadFile(name); !errors.Is(err, fs.ErrNotExist) || tree.BlobID(name) != "" && name != "a/../z" {
			t.Errorf("%q: %q, %v", name, b, err)
		}
	}
	// The same files in another commit are the same tree.
	again, err := s.Tree(t.Context(), r.dir, r.fetchCommit(s, "other", files))
	if err != nil || again != tree {
		t.Errorf("not shared: %v", err)
	}
	if blob := r.git("x", "hash-object", "-w", "--stdin"); blob != "" {
		r.git("", "update-ref", "refs/tags/blob", blob)
		if _, err := s.Tree(t.Context(), r.dir, tree.BlobID("a.tf")); core.CodeOf(err) != core.Invalid {
			t.Errorf("a blob as a commit: %v", err)
		}
	}
}

func (r *repository) fetchCommit(s *Source, branch string, files map[string]string) string {
	r.t.Helper()
	r.commit(branch, "on "+branch, files)
	return r.fetch(s, branch)
}

// Trees that git would refuse to check out.
func TestMalformedTrees(t *testing.T) {
	t.Parallel()
	s := newSource(t, Options{})
	for _, name := range []string{"..", ".git", ".GIT", "."} {
		r := newRepository(t)
		blob := r.git("x", "hash-object", "-w", "--stdin")
		var raw strings.Builder
		raw.WriteString("100644 " + name + "\x00")
		for i := 0; i < len(blob); i += 2 {
			var c byte
			for _, d := range []byte(blob[i : i+2]) {
				c = c<<4 | byte(strings.IndexByte("0123456789abcdef", d))
			}
			raw.WriteByte(c)
		}
		tree := r.git(raw.String(), "hash-object", "-t", "tree", "-w", "--stdin", "--literally")
		head := r.git("x", "commit-tree", tree)
		r.git("", "update-ref", "refs/heads/main", head)
		r.fetch(s, "main")
		if _, err := s.Tree(t.Context(), r.dir, head); core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), "cannot be checked out") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	tree := &Tree{links: map[string]string{
		"abs": "/etc", "up": "..", "a/here": "../b", "b/there": "../a/here/x", "a/root": "..", "self": "self", "deep/er/out": "../../../x",
	}}
	for p, want := range map[string]string{
		"a/b": "a/b", "a/here/c": "b/c", "b/there": "b/x", "a/root/b": "b", "a/root": ".", "./a//b/": "a/b", ".": ".", "a/../b": "b",
	} {
		if got, err := tree.resolve(p); got != want || err != nil {
			t.Errorf("%s: %s, %v; want %s", p, got, err, want)
		}
	}
	for _, p := range []string{"abs", "abs/passwd", "up", "up/x", "deep/er/out/y"} {
		var l *leaves
		if got, err := tree.resolve(p); !errors.As(err, &l) {
			t.Errorf("%s: %s, %v", p, got, err)
		}
	}
	for _, p := range []string{"self", "../x", "/x", ".."} {
		if got, err := tree.resolve(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %s, %v", p, got, err)
		}
	}
}
