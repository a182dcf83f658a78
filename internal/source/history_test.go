package source

import (
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func hashes(commits []Commit) []string {
	var out []string
	for _, c := range commits {
		out = append(out, c.Hash)
	}
	return out
}

func TestHistory(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	s := newSource(t, Options{})
	// main: m0 - m1 - merge - m3, the branch f0 - f1 from m0 merged into it.
	file := map[string]string{"f": "x"}
	m0 := r.commit("main", "m0", file)
	m1 := r.commit("main", "m1", file)
	f0 := r.commit("side", "f0", file, m0)
	f1 := r.commit("side", "f1", file)
	merge := r.commit("main", "merge", file, m1, f1)
	m3 := r.commit("main", "m3", file)
	head := r.fetch(s, "main")

	for _, c := range []struct {
		from, to string
		limit    int
		want     []string
	}{
		{"", head, 0, []string{m0, m1, merge, m3}},
		{"", head, 1, []string{m3}},
		{m1, head, 0, []string{merge, m3}},
		{m1, head, 1, []string{m3}},
		{m3, head, 0, nil},
		{"", merge, 2, []string{m1, merge}},
		{m3, m1, 0, nil},
	} {
		got, err := s.Commits(t.Context(), r.dir, c.from, c.to, c.limit)
		if err != nil || !slices.Equal(hashes(got), c.want) {
			t.Errorf("%.8s..%.8s limit %d: %v, %v; want %v", c.from, c.to, c.limit, hashes(got), err, c.want)
		}
	}
	for commit, want := range map[string]int64{m0: 1, m1: 2, merge: 3, m3: 4, f1: 3} {
		if got, err := s.Position(t.Context(), r.dir, commit); got != want || err != nil {
			t.Errorf("position of %.8s: %d, %v; want %d", commit, got, err, want)
		}
	}
	nowhere := strings.Repeat("1", 40)
	for commit, want := range map[string]bool{m0: true, m1: true, merge: true, m3: true, f0: false, f1: false, nowhere: false} {
		if got, err := s.IsFirstParent(t.Context(), r.dir, commit, head); got != want || err != nil {
			t.Errorf("is %.8s on the branch: %t, %v", commit, got, err)
		}
	}
	if got, err := s.IsFirstParent(t.Context(), r.dir, m3, m1); got || err != nil {
		t.Errorf("a later commit: %t, %v", got, err)
	}

	// A forced push removes m3 and merge.
	rewritten := r.commit("main", "rewritten", map[string]string{"f": "y"}, m1)
	head = r.fetch(s, "main")
	for commit, want := range map[string]bool{m0: true, m1: true, merge: false, m3: false, rewritten: true} {
		if got, err := s.IsFirstParent(t.Context(), r.dir, commit, head); got != want || err != nil {
			t.Errorf("after the forced push, is %.8s on the branch: %t, %v", commit, got, err)
		}
	}

	// An unrelated history takes the branch's name.
	r.git("", "update-ref", "-d", "refs/heads/main")
	r.commit("main", "unrelated", map[string]string{"f": "z"})
	head = r.fetch(s, "main")
	if got, err := s.IsFirstParent(t.Context(), r.dir, m1, head); got || err != nil {
		t.Errorf("unrelated: %t, %v", got, err)
	}
	if got, err := s.Commits(t.Context(), r.dir, m1, head, 0); len(got) != 1 || err != nil {
		t.Errorf("unrelated: %v, %v", got, err)
	}

	if _, err := s.Position(t.Context(), r.dir, nowhere); core.CodeOf(err) != core.NotFound {
		t.Errorf("a commit that is not there: %v", err)
	}
	if _, err := s.IsFirstParent(t.Context(), r.dir, m1, nowhere); core.CodeOf(err) != core.NotFound {
		t.Errorf("a head that is not there: %v", err)
	}
	for _, bad := range []string{"main", "--all", "", m1[:8], m1 + "\n", "^" + m1} {
		if _, err := s.Position(t.Context(), r.dir, bad); bad != "" && core.CodeOf(err) != core.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
		if _, err := s.Tree(t.Context(), r.dir, bad); core.CodeOf(err) != core.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestCommitFields(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	s := newSource(t, Options{})
	file := map[string]string{"f": "x"}
	message := "Subject with ünïcode; $(id)\n\nBody\twith \"quotes\" and\n\nTerrace-Barrier: true"
	r.commit("main", message, file)
	r.commit("main", strings.Repeat("long line\n", 100_000)+"\nTerrace-Barrier: true", file)
	// What no porcelain would make: no message, hostile names, not UTF-8.
	tree := r.tree(file)
	raw := "tree " + tree + "\nauthor \x1b[31m<x> A\xff <a@b> 1700000000 +0100\ncommitter C <c@d> 1700000001 +0100\n\nbytes \xff\xfe\x1b]8;;x"
	odd := r.git(raw, "hash-object", "-t", "commit", "-w", "--stdin", "--literally")
	empty := r.git("tree "+tree+"\nparent "+odd+"\nauthor  <> 1700000000 +0000\ncommitter  <> 1700000002 +0000\n\n", "hash-object", "-t", "commit", "-w", "--stdin", "--literally")
	r.git("", "update-ref", "refs/heads/odd", empty)

	commits, err := s.Commits(t.Context(), r.dir, "", r.fetch(s, "main"), 0)
	if err != nil || len(commits) != 2 {
		t.Fatal(len(commits), err)
	}
	if c := commits[0]; c.Message != message || c.Author != "Ana <ana@example.org>" || c.Time.Unix() != 1750000000 {
		t.Errorf("%+v", c)
	}
	if c := commits[1]; len(c.Message) > maxMessage+10 || !strings.HasPrefix(c.Message, "long line\n") || !strings.HasSuffix(c.Message, "\nTerrace-Barrier: true") {
		t.Errorf("%d bytes, ends %q", len(c.Message), c.Message[max(0, len(c.Message)-50):])
	}
	commits, err = s.Commits(t.Context(), r.dir, "", r.fetch(s, "odd"), 0)
	if err != nil || len(commits) != 2 {
		t.Fatal(len(commits), err)
	}
	if c := commits[0]; !strings.HasPrefix(c.Message, "bytes ") || !strings.Contains(c.Message, "�") || c.Time.Unix() != 1700000001 {
		t.Errorf("%+v", c)
	}
	if c := commits[1]; c.Message != "" || c.Hash != empty {
		t.Errorf("%+v", c)
	}
}
