package jobs

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/blob"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/store"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// storages are both kinds.
func storages(t *testing.T, f func(t *testing.T, blobs core.BlobStore)) {
	for name, url := range map[string]func() string{
		"folder": func() string { return filepath.Join(t.TempDir(), "blobs") },
		"s3":     func() string { return testkit.S3(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			blobs, err := blob.OpenURL(t.Context(), url())
			if err != nil {
				t.Fatal(err)
			}
			f(t, blobs)
		})
	}
}

// clock is the database's; it can be set forward.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *clock) forward(d time.Duration) { c.ahead.Add(int64(d)) }

func openStore(t *testing.T, c *clock) core.Store {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"), store.WithClock(c.now))
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

// key makes a key as states have them, of so long ago.
func key(c *clock, ago time.Duration) string {
	return "states/" + core.NewID("v", c.now().Add(-ago)) + ".0123456789abcdef"
}

func TestOrphans(t *testing.T) {
	t.Parallel()
	storages(t, func(t *testing.T, blobs core.BlobStore) {
		c := &clock{}
		db := openStore(t, c)
		k := &Keeper{Store: db, Blobs: blobs, Log: slog.New(slog.DiscardHandler)}
		named, kept, orphan := key(c, 0), key(c, 0), key(c, 0)
		backdated := key(c, 30*24*time.Hour)
		for _, key := range []string{named, kept, orphan, backdated, "installation", "states/theirs"} {
			if err := blobs.Put(t.Context(), key, []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Update(t.Context(), func(tx core.Tx) error {
			if err := tx.AddProject(core.Project{Name: "shop", Repo: "r", Branch: "main"}); err != nil {
				return err
			}
			if _, err := tx.AddStateVersion(core.StateVersion{Project: "shop", Stack: "web", Environment: "dev", Lineage: "l", MD5: "m", Blob: named}); err != nil {
				return err
			}
			_, err := tx.AddRecovered(core.Recovered{Project: "shop", Stack: "web", Environment: "dev", Lineage: "l", MD5: "m", Blob: kept})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		var suspects map[string]bool
		look := func(want ...string) {
			t.Helper()
			var err error
			if suspects, err = k.Orphans(t.Context(), suspects); err != nil {
				t.Fatal(err)
			}
			all, err := blobs.List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, b := range all {
				got = append(got, b.Key)
			}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("there are %s, want %s", strings.Join(got, " "), strings.Join(want, " "))
			}
		}
		everything := []string{named, kept, orphan, backdated, "installation", "states/theirs"}
		look(everything...)
		look(everything...) // young, or written just now whatever the key says
		c.forward(keepOrphans + time.Minute)
		young := key(c, 0)
		if err := blobs.Put(t.Context(), young, []byte("x")); err != nil {
			t.Fatal(err)
		}
		look(append(everything, young)...) // for the first time
		look(named, kept, young, "installation", "states/theirs")
		c.forward(keepOrphans + time.Minute)
		look(named, kept, young, "installation", "states/theirs")
		look(named, kept, "installation", "states/theirs")
	})
}

// The age at which blobs are collected has to leave room for the slowest write.
func TestOrphansAreOlderThanWrites(t *testing.T) {
	if keepOrphans < 10*state.WriteWithin || keepEvery < 2*state.WriteWithin {
		t.Errorf("blobs are collected after %s, with looks every %s; a write may take %s", keepOrphans, keepEvery, state.WriteWithin)
	}
}

// failing is a storage that cannot delete.
type failing struct{ core.BlobStore }

func (failing) Delete(context.Context, string) error {
	return core.Errorf(core.Unavailable, "the storage did not answer")
}

// An outage in the middle does not make the collector forget what it knew.
func TestOrphansAfterAnOutage(t *testing.T) {
	t.Parallel()
	c := &clock{}
	blobs, err := blob.OpenURL(t.Context(), filepath.Join(t.TempDir(), "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	orphan := key(c, 0)
	if err := blobs.Put(t.Context(), orphan, []byte("x")); err != nil {
		t.Fatal(err)
	}
	k := &Keeper{Store: openStore(t, c), Blobs: failing{blobs}, Log: slog.New(slog.DiscardHandler)}
	c.forward(2 * keepOrphans)
	suspects, err := k.Orphans(t.Context(), nil)
	if err != nil || !suspects[orphan] {
		t.Fatalf("%v, %v", suspects, err)
	}
	if suspects, err = k.Orphans(t.Context(), suspects); core.CodeOf(err) != core.Unavailable || !suspects[orphan] {
		t.Errorf("%v, %v", suspects, err)
	}
	k.Blobs = blobs
	if _, err := k.Orphans(t.Context(), suspects); err != nil {
		t.Error(err)
	}
	if all, err := blobs.List(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("%v, %v", all, err)
	}
}
