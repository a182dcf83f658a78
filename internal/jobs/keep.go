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

// Orphans deletes the blobs that no row named last time and none names now. A blob is
// written before its row, so one look alone would take away what is just being
// written. It returns the suspects for the next look.
func (k *Keeper) Orphans(ctx context.Context, suspects map[string]bool) (map[string]bool, error) {
	stored, err := k.Blobs.List(ctx)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	if err := k.Store.View(ctx, func(tx core.Tx) error {
		keys, err := tx.BlobKeys()
		for _, key := range keys {
			named[key] = true
		}
		return err
	}); err != nil {
		return nil, err
	}
	next := map[string]bool{}
	for _, b := range stored {
		switch key := b.Key; {
		case named[key]:
		case suspects[key]:
			if err := k.Blobs.Delete(ctx, key); err != nil {
				return nil, err
			}
		default:
			next[key] = true
		}
	}
	return next, nil
}
