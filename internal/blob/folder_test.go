package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func open(t *testing.T) *Folder {
	t.Helper()
	f, err := Open(filepath.Join(t.TempDir(), "data", "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFolder(t *testing.T) {
	f, ctx := open(t), t.Context()
	large := bytes.Repeat([]byte{0, 1, 255}, 1<<20)
	for key, data := range map[string][]byte{"a": {}, "states/b-1": []byte("one"), "states/b-2.x": large} {
		for range 2 { // said again
			if err := f.Put(ctx, key, data); err != nil {
				t.Fatal(err)
			}
		}
		got, err := f.Get(ctx, key)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("Get(%q): %d bytes, %v; want %d", key, len(got), err, len(data))
		}
	}
	if err := f.Put(ctx, "states/b-1", []byte("two")); core.CodeOf(err) != core.Conflict || !strings.Contains(err.Error(), "states/b-1") {
		t.Errorf("other content: got %v, want a conflict that names the key", err)
	}
	if got, err := f.Get(ctx, "states/b-1"); string(got) != "one" {
		t.Errorf("after the conflict: got %q, %v", got, err)
	}
	if keys, err := f.List(ctx); err != nil || !slices.Equal(keys, []string{"a", "states/b-1", "states/b-2.x"}) {
		t.Errorf("List: %v, %v", keys, err)
	}
	for range 2 { // the second time there is nothing
		if err := f.Delete(ctx, "a"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Get(ctx, "a"); core.CodeOf(err) != core.NotFound {
		t.Errorf("a deleted blob: got %v, want not found", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if err := f.Put(cancelled, "c", nil); core.CodeOf(err) != core.Unavailable {
		t.Errorf("with a cancelled context: %v", err)
	}
	noLeftovers(t, f)
}

func noLeftovers(t *testing.T, f *Folder) {
	t.Helper()
	files, err := os.ReadDir(filepath.Join(f.dir, unfinished))
	if err != nil || len(files) > 0 {
		t.Errorf("unfinished files are left: %v, %v", files, err)
	}
	err = filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others may reach it", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func TestKeys(t *testing.T) {
	f, ctx := open(t), t.Context()
	for _, key := range []string{"", "/", "/a", "a/", "a//b", "..", "../a", "a/../b", "a/..", ".hidden", "a/.b", "a~b", "a b", "a\x00b", "a\nb", `a\b`, "ä", strings.Repeat("a", 201)} {
		if err := f.Put(ctx, key, nil); core.CodeOf(err) != core.Invalid {
			t.Errorf("Put(%q): got %v, want invalid", key, err)
		}
		if _, err := f.Get(ctx, key); core.CodeOf(err) != core.Invalid {
			t.Errorf("Get(%q): got %v, want invalid", key, err)
		}
		if err := f.Delete(ctx, key); core.CodeOf(err) != core.Invalid {
			t.Errorf("Delete(%q): got %v, want invalid", key, err)
		}
	}
	if keys, err := f.List(ctx); err != nil || len(keys) > 0 {
		t.Errorf("List: %v, %v", keys, err)
	}
}

func TestCrashLeftovers(t *testing.T) {
	f := open(t)
	if err := f.Put(t.Context(), "kept", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, unfinished, "123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	noLeftovers(t, f)
	if _, err := f.Get(t.Context(), "kept"); err != nil {
		t.Error(err)
	}
}

// TestRace: of many writers of one key with different content, one wins, and what it
// wrote is what is read.
func TestRace(t *testing.T) {
	f := open(t)
	var mu sync.Mutex
	var winners []string
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			content := fmt.Sprint(i)
			err := f.Put(t.Context(), "states/one", []byte(content))
			switch core.CodeOf(err) {
			case "":
				mu.Lock()
				winners = append(winners, content)
				mu.Unlock()
			case core.Conflict:
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	got, err := f.Get(t.Context(), "states/one")
	if err != nil || len(winners) != 1 || string(got) != winners[0] {
		t.Errorf("winners %v, read %q, %v", winners, got, err)
	}
	noLeftovers(t, f)
}

// TestFailingDisk takes the folder away, so that the system itself refuses.
func TestFailingDisk(t *testing.T) {
	f := open(t)
	if err := os.RemoveAll(f.dir); err != nil {
		t.Fatal(err)
	}
	if err := f.Put(t.Context(), "a", nil); core.CodeOf(err) != core.Unavailable || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want unavailable", err)
	}
	full := explain("storing a failed", &fs.PathError{Op: "write", Path: "a", Err: syscall.ENOSPC})
	if core.CodeOf(full) != core.Unavailable || !strings.Contains(full.Error(), "free some space") {
		t.Errorf("a full disk: %v", full)
	}
}
