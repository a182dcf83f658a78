package blob

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/terrace-cd/terrace/internal/blob/blobtest"
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
	blobtest.Run(t, func(t *testing.T) (core.BlobStore, func() core.BlobStore) {
		f := open(t)
		t.Cleanup(func() { noLeftovers(t, f) })
		return f, func() core.BlobStore {
			again, err := Open(f.dir)
			if err != nil {
				t.Fatal(err)
			}
			return again
		}
	})
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
