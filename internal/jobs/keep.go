package jobs

import (
	"context"
	"log/slog"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Keeper bounds what a server keeps, so that a thousand runs do not fill a disk, and
// collects blobs that no row names any more.
type Keeper struct {
	Store    core.Store
	Blobs    core.BlobStore
	KeepLogs int64 // bytes
	Log      *slog.Logger
}

// keepEvery is how often there is a look; the first is after firstKeep.
const (
	firstKeep = time.Minute
	keepEvery = time.Hour
	// keepOrphans is how old a blob must be to be collected. Writes under way need
	// minutes; the rest is for people who removed a project by mistake or restored the
	// wrong backup, and still find the states in storage.
	keepOrphans = 7 * 24 * time.Hour
)

// Run works until ctx ends.
func (k *Keeper) Run(ctx context.Context) {
	wait := firstKeep
	var suspects map[string]bool
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = keepEvery
		if err := k.Store.Update(ctx, func(tx core.Tx) error {
			dropped, err := tx.PruneLogs(k.KeepLogs)
			if dropped > 0 {
				k.Log.Info("dropped the logs of old runs", "runs", dropped)
			}
			return err
		}); err != nil && ctx.Err() == nil {
			k.Log.Error("bounding logs", "error", err)
		}
		var err error
		if suspects, err = k.Orphans(ctx, suspects); err != nil && ctx.Err() == nil {
			k.Log.Error("collecting orphaned blobs", "error", err)
		}
	}
}

// Orphans deletes the blobs that no row names, when they are old, and were orphans at
// the last look, too. It returns the old orphans of this look.
//
// A blob is written before its row, so a young one may be a write under way. An old one
// is not: the key says when it was made, by the database's clock; a row is refused for a
// blob that is older than state.WriteWithin by that clock, and nothing names an orphan
// later (what is found again is stored again, see state.AdoptNewer). Should a clock have
// jumped, the storage's own has to agree about the age, and the looks are farther apart
// than a write with its timeouts can take.
func (k *Keeper) Orphans(ctx context.Context, last map[string]bool) (map[string]bool, error) {
	stored, err := k.Blobs.List(ctx) // before the rows: what is written meanwhile is not in it
	if err != nil {
		return last, err
	}
	named := map[string]bool{}
	var now time.Time
	if err := k.Store.View(ctx, func(tx core.Tx) error {
		now = tx.Now()
		keys, err := tx.BlobKeys()
		for _, key := range keys {
			named[key] = true
		}
		return err
	}); err != nil {
		return last, err
	}
	old, collected := map[string]bool{}, 0
	for _, b := range stored {
		made, ours := core.BlobMade(b.Key) // not ours: like the object that says whose the storage is
		switch {
		case named[b.Key], !ours, now.Sub(made) < keepOrphans, now.Sub(b.Modified) < keepOrphans:
		case last[b.Key]:
			if err := k.Blobs.Delete(ctx, b.Key); err != nil {
				return last, err
			}
			collected++
		default:
			old[b.Key] = true
		}
	}
	if collected > 0 {
		k.Log.Info("collected blobs that nothing names", "blobs", collected)
	}
	return old, nil
}
