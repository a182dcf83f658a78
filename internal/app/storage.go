package app

import (
	"context"
	"crypto/rand"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// A storage of blobs and a database belong together: the states in one are what rows in
// the other describe. Both know the installation's name, so that a wrong --storage or
// --database is noticed before anything is read as missing or collected as an orphan.
const (
	installationSetting = "installation"         // the name
	claimedSetting      = "installation.storage" // "claimed": the storage has it, too
	installationBlob    = "installation"
)

// claimStorage makes sure that the storage is this database's.
func claimStorage(ctx context.Context, store core.Store, blobs core.BlobStore, shown string) error {
	var name string
	var claimed bool
	if err := store.Update(ctx, func(tx core.Tx) (err error) {
		if name, claimed, err = installation(tx); err != nil || name != "" {
			return err
		}
		name = strings.ToLower(rand.Text())
		return tx.PutSetting(installationSetting, name)
	}); err != nil {
		return err
	}
	found, err := blobs.Get(ctx, installationBlob)
	switch {
	case err == nil && string(found) != name:
		return foreignStorage(shown)
	case core.CodeOf(err) == core.NotFound && claimed:
		return core.Errorf(core.Invalid, "the storage %s has none of the states that the database describes; name the right one with --storage, or bring it back from a backup", shown)
	case core.CodeOf(err) == core.NotFound:
		if err := blobs.Put(ctx, installationBlob, []byte(name)); core.CodeOf(err) == core.Conflict {
			return foreignStorage(shown)
		} else if err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if claimed {
		return nil
	}
	return store.Update(ctx, func(tx core.Tx) error { return tx.PutSetting(claimedSetting, "claimed") })
}

func foreignStorage(shown string) error {
	return core.Errorf(core.Invalid, "the storage %s belongs to another installation: each needs one of its own (in a bucket, a prefix: s3://BUCKET/PREFIX). When this database is to replace one that was lost, restore that one from a backup instead", shown)
}

// installation reads what the database knows; name is "" when it was never claimed.
func installation(tx core.Tx) (name string, claimed bool, err error) {
	name, err = tx.Setting(installationSetting)
	if core.CodeOf(err) == core.NotFound {
		return "", false, nil
	} else if err != nil {
		return "", false, err
	}
	mark, err := tx.Setting(claimedSetting)
	if core.CodeOf(err) == core.NotFound {
		return name, false, nil
	}
	return name, mark != "", err
}
