package app

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/blob"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/service/check"
	"github.com/terrace-cd/terrace/internal/service/keys"
	"github.com/terrace-cd/terrace/internal/store"
)

// CheckReport is what Check found.
type CheckReport = check.Report

// Check compares what a server stored with what its database says. It changes nothing
// and may run beside the server. progress is told now and then how many things were
// looked at. The error says why it could not look.
func Check(ctx context.Context, o Options, progress func(done int64)) (report CheckReport, err error) {
	if err := o.defaults(); err != nil {
		return report, err
	}
	if path, local := strings.CutPrefix(o.Database, "sqlite://"); local || !strings.Contains(o.Database, "://") {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) { // which opening it would make
			return report, core.Errorf(core.NotFound, "there is no database %s; name the server's folder with --data, or its database with --database", path)
		}
	}
	masters, err := seal.OpenMasters(ctx, o.MasterKeys, filepath.Join(o.Data, "master.key"), false)
	if err != nil {
		return report, err
	}
	db, err := store.Open(ctx, o.Database, store.AsItIs())
	if err != nil {
		return report, err
	}
	defer func() {
		if closeErr := db.Close(); err == nil {
			err = closeErr
		}
	}()
	blobs, err := blob.OpenReader(ctx, o.Storage)
	if err != nil {
		return report, err
	}
	if err := sameInstallation(ctx, db, blobs, blob.Shown(o.Storage)); err != nil {
		return report, err
	}
	keyService, err := keys.Open(ctx, keys.Options{Store: db, Blobs: blobs, Masters: masters, ReadOnly: true})
	if err != nil {
		return report, err
	}
	c := &check.Checker{Store: db, Events: db.VerifyEvents, Blobs: blobs, Seal: keyService.Ring()}
	if progress != nil {
		stop := tell(c, progress)
		defer stop()
	}
	return c.Run(ctx)
}

// tell reports progress every second until it is stopped.
func tell(c *check.Checker, progress func(int64)) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				progress(c.Done())
			}
		}
	}()
	return func() { close(done); <-ended }
}

// sameInstallation is claimStorage for those who only look: with the storage of another
// database, everything would be missing.
func sameInstallation(ctx context.Context, store core.Store, blobs core.BlobStore, shown string) error {
	var name string
	if err := store.View(ctx, func(tx core.Tx) (err error) {
		name, _, err = installation(tx)
		return err
	}); err != nil || name == "" {
		return err
	}
	found, err := blobs.Get(ctx, installationBlob)
	switch {
	case core.CodeOf(err) == core.NotFound:
		return nil // then what is missing is named one by one
	case err == nil && string(found) != name:
		return foreignStorage(shown)
	}
	return err
}
