package app

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/blob"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/store"
	"github.com/terrace-cd/terrace/internal/testkit"
)

func openDatabase(t *testing.T) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func openStorage(t *testing.T, url string) core.BlobStore {
	t.Helper()
	blobs, err := blob.OpenURL(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return blobs
}

// A database and a storage find each other again, and nobody else's.
func TestClaimStorage(t *testing.T) {
	t.Parallel()
	bucket := testkit.S3(t)
	for name, url := range map[string]func(n string) string{
		"folder": func(n string) string { return filepath.Join(t.TempDir(), n) },
		"s3":     func(n string) string { return bucket.URL + "&prefix=" + n },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, mine, other := openDatabase(t), openStorage(t, url("mine")), openStorage(t, url("other"))
			for range 2 {
				if err := claimStorage(t.Context(), db, mine, "mine"); err != nil {
					t.Fatal(err)
				}
			}
			if err := claimStorage(t.Context(), db, other, "other"); core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), "has none of the states") {
				t.Errorf("an empty storage: %v", err)
			}
			if err := claimStorage(t.Context(), openDatabase(t), mine, "mine"); core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), "belongs to another installation") {
				t.Errorf("another database: %v", err)
			}
			if all, err := other.List(t.Context()); err != nil || len(all) > 0 {
				t.Errorf("the other storage has %v, %v", all, err)
			}
		})
	}
}

// dying is a storage whose server dies as it claims it.
type dying struct {
	core.BlobStore
	after bool
}

func (d dying) Put(ctx context.Context, key string, data []byte) error {
	if d.after {
		if err := d.BlobStore.Put(ctx, key, data); err != nil {
			return err
		}
	}
	return core.Errorf(core.Unavailable, "killed")
}

// A server that dies in between claims the storage when it starts again.
func TestClaimStorageAfterACrash(t *testing.T) {
	t.Parallel()
	for _, after := range []bool{false, true} {
		db, blobs := openDatabase(t), openStorage(t, t.TempDir())
		if err := claimStorage(t.Context(), db, dying{blobs, after}, "x"); core.CodeOf(err) != core.Unavailable {
			t.Fatal(err)
		}
		if err := claimStorage(t.Context(), db, blobs, "x"); err != nil {
			t.Error(err)
		}
	}
}

// A database that was restored from a backup of before all this finds its storage.
func TestClaimStorageOfAnOldBackup(t *testing.T) {
	t.Parallel()
	blobs := openStorage(t, t.TempDir())
	if err := claimStorage(t.Context(), openDatabase(t), blobs, "x"); err != nil {
		t.Fatal(err)
	}
	if err := blobs.Put(t.Context(), "states/a", []byte("x")); err != nil {
		t.Fatal(err)
	}
	for key, code := range map[string]core.Code{"states/a": "", "states/b": core.Invalid} {
		restored := openDatabase(t)
		if err := restored.Update(t.Context(), func(tx core.Tx) error {
			if err := tx.AddProject(core.Project{Name: "shop", Repo: "r", Branch: "main"}); err != nil {
				return err
			}
			_, err := tx.AddStateVersion(core.StateVersion{Project: "shop", Stack: "web", Environment: "dev", Lineage: "l", MD5: "m", Blob: key})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := claimStorage(t.Context(), restored, blobs, "x"); core.CodeOf(err) != code {
				t.Errorf("a database that names %s: %v", key, err)
			}
		}
	}
}
