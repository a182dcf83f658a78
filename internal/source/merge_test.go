package source

import (
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestMerge(t *testing.T) {
	t.Parallel()
	r, s := newRepository(t), newSource(t, Options{})
	files := map[string]string{"a.tf": "a\n", "b.tf": "b\n"}
	base := r.commit("main", "m", files)
	branch := func(name, from string, files map[string]string) string {
		return r.commit(name, "m", files, from)
	}
	theirs := branch("try", base, map[string]string{"a.tf": "a\n", "b.tf": "mine\n"})
	ours := r.commit("main", "m", map[string]string{"a.tf": "new\n", "b.tf": "b\n"})
	clash := branch("clash", base, map[string]string{"a.tf": "other\n", "b.tf": "b\n"})
	r.git("", "update-ref", "refs/pull/7/head", theirs)

	r.fetch(s, "main")
	r.fetch(s, "clash")
	head, err := s.FetchRef(t.Context(), r.dir, "refs/pull/7/head")
	if err != nil || head != theirs {
		t.Fatalf("the head of a pull request is %s: %v", head, err)
	}
	merged, err := s.Merge(t.Context(), r.dir, ours, theirs)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := s.Tree(t.Context(), r.dir, merged.Commit)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"a.tf": "new\n", "b.tf": "mine\n"} {
		if got, err := tree.ReadFile(name); string(got) != want {
			t.Errorf("%s is %q: %v", name, got, err)
		}
	}
	again, err := s.Merge(t.Context(), r.dir, ours, theirs)
	if err != nil || again != merged {
		t.Errorf("merged again it is %+v and was %+v: %v", again, merged, err)
	}
	released := r.commit("main", "m", map[string]string{"a.tf": "new\n", "b.tf": "mine\n"})
	r.fetch(s, "main")
	if got, err := s.TreeOf(t.Context(), r.dir, released); err != nil || got != merged.Tree {
		t.Errorf("what the merge becomes has the tree %s, not %s: %v", got, merged.Tree, err)
	}
	if forward, err := s.Merge(t.Context(), r.dir, base, theirs); err != nil || forward.Commit != theirs {
		t.Errorf("nothing to merge: %+v, %v", forward, err)
	}
	if behind, err := s.Merge(t.Context(), r.dir, ours, base); err != nil || behind.Commit != ours {
		t.Errorf("nothing new: %+v, %v", behind, err)
	}
	if _, err := s.Merge(t.Context(), r.dir, ours, clash); core.CodeOf(err) != core.Conflict || !strings.Contains(err.Error(), "a.tf") || strings.Contains(err.Error(), "b.tf") {
		t.Errorf("a conflict: %v", err)
	}
	s.Forget(t.Context(), r.dir, merged.Commit)
	if refs := (&repository{t: t, dir: s.Mirror(r.dir)}).git("", "for-each-ref", "refs/terrace/merged"); refs != "" {
		t.Errorf("forgotten, it left %s", refs)
	}
	for _, ref := range []string{"", "main", "refs/../x", "refs/-x", "refs/heads/a b", "refs/pull/9/head\n"} {
		if _, err := s.FetchRef(t.Context(), r.dir, ref); core.CodeOf(err) != core.Invalid {
			t.Errorf("the ref %q: %v", ref, err)
		}
	}
	if _, err := s.FetchRef(t.Context(), r.dir, "refs/pull/8/head"); core.CodeOf(err) != core.NotFound {
		t.Errorf("a ref that is not there: %v", err)
	}
}
