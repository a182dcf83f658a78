package source

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestFetch(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	s := newSource(t, Options{})
	first := r.commits("main", 3)
	if head := r.fetch(s, "main"); head != first[2] {
		t.Errorf("head %s, want %s", head, first[2])
	}
	if head := r.fetch(s, "main"); head != first[2] {
		t.Errorf("again: head %s, want %s", head, first[2])
	}
	next := r.commit("main", "Next", nil)
	r.git("", "update-ref", "refs/tags/main", first[0]) // a tag of that name is another thing
	if head := r.fetch(s, "main"); head != next {
		t.Errorf("head %s, want %s", head, next)
	}
	if _, err := os.Stat(filepath.Join(s.Mirror(r.dir), "HEAD")); err != nil {
		t.Error(err)
	}

	// Another process starts with what is there.
	other, err := New(s.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if head := r.fetch(other, "main"); head != next {
		t.Errorf("head %s, want %s", head, next)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if _, err := other.Fetch(t.Context(), r.dir, "main"); core.CodeOf(err) != core.Unavailable {
		t.Errorf("after Close: %v", err)
	}
}

func TestFetchAfterRewrites(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	s := newSource(t, Options{})
	old := r.commits("main", 3)
	r.fetch(s, "main")
	rewritten := r.commit("main", "Rewritten", map[string]string{"file": "other"}, old[0])
	if head := r.fetch(s, "main"); head != rewritten {
		t.Errorf("head %s, want %s", head, rewritten)
	}
	// What was deployed can still be read, for a rollback.
	s.Mirror(r.dir)
	m := s.pin(r.dir)
	defer s.unpin(m)
	if _, err := m.git(t.Context(), "-c", "gc.pruneExpire=now", "gc", "--quiet"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Tree(t.Context(), r.dir, old[2]); err != nil {
		t.Errorf("the commit that the branch lost: %v", err)
	}
	// A branch that becomes a folder of branches, and back.
	r.commits("feature", 1)
	r.fetch(s, "feature")
	r.git("", "update-ref", "-d", "refs/heads/feature")
	below := r.commits("feature/one", 1)
	if head := r.fetch(s, "feature/one"); head != below[0] {
		t.Errorf("head %s, want %s", head, below[0])
	}
	if _, err := s.Fetch(t.Context(), r.dir, "feature"); core.CodeOf(err) != core.NotFound {
		t.Errorf("a branch that is gone: %v", err)
	}
}

// TestBranchOfARemoteWithoutADefault: a bare repository that was made before its first
// push may name a branch that never came to be.
func TestBranchOfARemoteWithoutADefault(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	s := newSource(t, Options{Timeout: time.Minute})
	r.git("", "symbolic-ref", "HEAD", "refs/heads/unborn")
	r.commits("develop", 1)
	if branch, err := s.Check(t.Context(), r.dir, ""); err != nil || branch != "develop" {
		t.Errorf("its only branch: %q, %v", branch, err)
	}
	r.commits("feature", 1)
	if _, err := s.Check(t.Context(), r.dir, ""); core.CodeOf(err) != core.NotFound || !strings.Contains(core.MessageOf(err), "--branch: it has develop, feature") {
		t.Errorf("one of two: %v", err)
	}
}

func TestRemotesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	s := newSource(t, Options{Timeout: time.Minute})
	empty := newRepository(t)
	r.commits("main", 1)
	r.commits("develop", 1)
	gone := filepath.Join(t.TempDir(), "nothing.git")
	for _, c := range []struct {
		name, repo, branch string
		code               core.Code
		says               string
	}{
		{"no such folder", gone, "main", core.Invalid, "check the address"},
		{"no such branch", r.dir, "mian", core.NotFound, `has no branch "mian"; it has develop, main`},
		{"an empty repository", empty.dir, "main", core.NotFound, "has no branches yet; push a first commit"},
		{"refused", "http://127.0.0.1:1/x.git", "main", core.Unavailable, "cannot be reached"},
		{"unknown host", "https://host.invalid/x.git", "main", core.Unavailable, "no address"},
		{"option as address", "--upload-pack=touch " + gone, "main", core.Invalid, `starts with "-"`},
		{"option as host", "ssh://-oProxyCommand=id/y", "main", core.Invalid, `starts with "-"`},
		{"remote helper", "ext::sh -c touch% " + gone, "main", core.Invalid, "would run a command"},
		{"password", "https://ana:secret@host.invalid/x", "main", core.Invalid, "credential helper"},
		{"relative", "../x", "main", core.Invalid, "neither a URL"},
		{"option as branch", r.dir, "--upload-pack=touch " + gone, core.Invalid, `starts with "-"`},
		{"branch with a newline", r.dir, "a\nb", core.Invalid, "contains"},
		{"branch that leaves", r.dir, "../../x", core.Invalid, `".."`},
		{"branch as a refspec", r.dir, "a:b", core.Invalid, "contains"},
		{"shell", r.dir, "main;touch " + gone, core.Invalid, "contains"},
		{"shell without a space", r.dir, "$(id)", core.NotFound, "has no branch"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := s.Check(t.Context(), c.repo, c.branch)
			if core.CodeOf(err) != c.code || !strings.Contains(core.MessageOf(err), c.says) {
				t.Errorf("Check: %s: %v", core.CodeOf(err), err)
			}
			_, err = s.Fetch(t.Context(), c.repo, c.branch)
			if core.CodeOf(err) != c.code || !strings.Contains(core.MessageOf(err), c.says) {
				t.Errorf("Fetch: %s: %v", core.CodeOf(err), err)
			}
			if strings.Contains(core.MessageOf(err), "secret") {
				t.Errorf("the answer repeats the credential: %v", err)
			}
		})
	}
	t.Cleanup(func() {
		if _, err := os.Stat(gone); err == nil {
			t.Error("a command ran")
		}
	})
}

func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	s := newSource(t, Options{})
	r.commits("main", 1)
	r.commits("trunk", 1)
	for branch, want := range map[string]string{"": "main", "trunk": "trunk"} {
		if got, err := s.Check(t.Context(), r.dir, branch); got != want || err != nil {
			t.Errorf("%q: %q, %v", branch, got, err)
		}
	}
	r.git("", "symbolic-ref", "HEAD", "refs/heads/trunk")
	if got, err := s.Check(t.Context(), "file://"+r.dir, ""); got != "trunk" || err != nil {
		t.Errorf("default branch %q, %v", got, err)
	}
	r.git("", "update-ref", "--no-deref", "HEAD", r.git("", "rev-parse", "main"))
	if _, err := s.Check(t.Context(), r.dir, ""); core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), "--branch") {
		t.Errorf("detached: %v", err)
	}
}

func TestParallelFetchesShareTheWork(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	head := r.commits("main", 2)[1]
	s := newSource(t, Options{})
	// Hold the mirror, so that all callers come while one is under way.
	m := s.pin(r.dir)
	defer s.unpin(m)
	m.mu.Lock()
	const callers = 30
	var done sync.WaitGroup
	heads := make([]string, callers)
	for i := range callers {
		done.Go(func() { heads[i] = r.fetch(s, "main") })
	}
	waitFor(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		fl := s.flights[r.dir+"\x00main"]
		return fl != nil && fl.next != nil
	})
	m.mu.Unlock()
	done.Wait()
	for _, h := range heads {
		if h != head {
			t.Errorf("head %s, want %s", h, head)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.flights) != 0 {
		t.Errorf("%d flights are left", len(s.flights))
	}
}

// A request that comes while a fetch is under way must see what was pushed before it.
func TestLateRequestsGetTheNextFetch(t *testing.T) {
	t.Parallel()
	s := newSource(t, Options{})
	var calls atomic.Int32
	started, goOn := make(chan struct{}, 10), make(chan struct{})
	work := func(context.Context) (string, error) {
		started <- struct{}{}
		<-goOn
		return strconv.Itoa(int(calls.Add(1))), nil
	}
	var all sync.WaitGroup
	all.Go(func() {
		if got, err := s.fly(t.Context(), "key", work); got != "1" || err != nil {
			t.Errorf("first: %s, %v", got, err)
		}
	})
	<-started
	results := make([]string, 5)
	for i := range results {
		all.Go(func() { results[i], _ = s.fly(t.Context(), "key", work) })
	}
	waitFor(t, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		next := s.flights["key"].next
		return next != nil && next.sharers == len(results)
	})
	close(goOn)
	all.Wait()
	for _, r := range results {
		if r != "2" {
			t.Errorf("got the result of call %s", r)
		}
	}
	if calls.Load() != 2 {
		t.Errorf("%d calls", calls.Load())
	}
}

func TestDamagedMirrors(t *testing.T) {
	t.Parallel()
	damage := map[string]func(t *testing.T, dir string){
		"locks of a killed process": func(t *testing.T, dir string) {
			for _, name := range []string{"packed-refs.lock", "config.lock", "HEAD.lock", branchRef("main") + ".lock", "objects/pack/tmp_pack_x"} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		},
		"no HEAD":   func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "HEAD")) },
		"all gone":  func(t *testing.T, dir string) { remove(t, dir) },
		"no config": func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "config")) },
		"objects gone": func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "objects"))
			if err := os.MkdirAll(filepath.Join(dir, "objects"), 0o700); err != nil {
				t.Fatal(err)
			}
		},
		"a ref is empty": func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, branchRef("main")), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	}
	for name, f := range damage {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepository(t)
			s := newSource(t, Options{})
			r.commits("main", 2)
			r.fetch(s, "main")
			if _, err := s.Position(t.Context(), r.dir, r.fetch(s, "main")); err != nil {
				t.Fatal(err)
			}
			f(t, s.Mirror(r.dir))
			again, err := New(s.dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := again.Close(); err != nil {
					t.Error(err)
				}
			}()
			head := r.commit("main", "Next", map[string]string{"new": "file"})
			if got := r.fetch(again, "main"); got != head {
				t.Errorf("head %s, want %s", got, head)
			}
			if n, err := again.Position(t.Context(), r.dir, head); n != 3 || err != nil {
				t.Errorf("position %d, %v", n, err)
			}
			tree, err := again.Tree(t.Context(), r.dir, head)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := tree.ReadFile("new"); string(b) != "file" || err != nil {
				t.Errorf("%q, %v", b, err)
			}
		})
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
}

func TestInterruptedFetch(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	s := newSource(t, Options{})
	head := r.commits("main", 1)[0]
	r.fetch(s, "main")
	// A remote that hangs after it was asked: the caller goes, then the server stops.
	dir := t.TempDir()
	upload := filepath.Join(dir, "ssh")
	if err := os.WriteFile(upload, []byte("#!/bin/sh\ntouch "+dir+"/asked\nexec sleep 600\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.gitConfig, []byte("[core]\n\tsshCommand = "+upload+"\n[url \"ssh://host.invalid/\"]\n\tinsteadOf = "+filepath.Dir(r.dir)+"/\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error)
	go func() {
		_, err := s.Fetch(t.Context(), r.dir, "main")
		failed <- err
	}()
	waitFor(t, func() bool { _, err := os.Stat(filepath.Join(dir, "asked")); return err == nil })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; core.CodeOf(err) != core.Unavailable {
		t.Errorf("got %v", err)
	}
	again, err := New(s.dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if got := r.fetch(again, "main"); got != head {
		t.Errorf("head %s, want %s", got, head)
	}
}

func TestMirrorsAreBounded(t *testing.T) {
	t.Parallel()
	s := newSource(t, Options{MaxMirrors: 2})
	var all []*repository
	old := time.Now().Add(-time.Hour)
	for range 4 {
		r := newRepository(t)
		r.commits("main", 1)
		r.fetch(s, "main")
		all = append(all, r)
		waitFor(t, func() bool { // tidying pins it
			s.mu.Lock()
			defer s.mu.Unlock()
			m := s.mirrors[folder(r.dir)]
			m.used = old.Add(time.Duration(len(all)) * time.Minute)
			return m.pins == 0
		})
	}
	for i, r := range all {
		_, err := os.Stat(filepath.Join(s.dir, folder(r.dir)))
		if kept := err == nil; kept != (i >= 2) {
			t.Errorf("mirror %d: kept %t", i, kept)
		}
	}
	// What was dropped is read again when it is needed: by branch, or by a commit.
	commit := all[0].git("", "rev-parse", "main")
	if _, err := s.Tree(t.Context(), all[0].dir, commit); err != nil {
		t.Error(err)
	}
	if head := all[1].fetch(s, "main"); head == "" {
		t.Error("no head")
	}
	if _, err := s.Tree(t.Context(), all[0].dir, strings.Repeat("1", 40)); core.CodeOf(err) != core.NotFound {
		t.Errorf("a commit that nobody has: %v", err)
	}
	// Those in use stay, over the limit if need be.
	entries, err := filepath.Glob(filepath.Join(s.dir, "*.git"))
	if err != nil || len(entries) < 2 {
		t.Errorf("%q, %v", entries, err)
	}
}

func TestObjectFormats(t *testing.T) {
	t.Parallel()
	r := newRepository(t, "--object-format=sha256")
	s := newSource(t, Options{})
	head := r.commit("main", "First", map[string]string{"a/b.txt": "hello"})
	if got := r.fetch(s, "main"); got != head || len(head) != 64 {
		t.Errorf("head %s, want %s", got, head)
	}
	tree, err := s.Tree(t.Context(), r.dir, head)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := tree.ReadFile("a/b.txt"); string(b) != "hello" || err != nil || len(tree.BlobID("a/b.txt")) != 64 {
		t.Errorf("%q, %v, %s", b, err, tree.BlobID("a/b.txt"))
	}
}

// A repository that another user owns can be read: it was named on purpose.
func TestRepositoryOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Log("needs root to give a repository away; the setting is checked instead")
		b, err := os.ReadFile(newSource(t, Options{}).gitConfig)
		if err != nil || !strings.Contains(string(b), "directory = *") {
			t.Errorf("%s, %v", b, err)
		}
		return
	}
	r := newRepository(t)
	r.commits("main", 1)
	if err := filepath.Walk(r.dir, func(path string, _ os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		return os.Chown(path, 12345, 12345)
	}); err != nil {
		t.Fatal(err)
	}
	r.fetch(newSource(t, Options{}), "main")
}

func waitFor(t testing.TB, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatal("it did not happen in 20 s")
		}
		time.Sleep(time.Millisecond)
	}
}
