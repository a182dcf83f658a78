package app

import (
	"context"
	"crypto/rand"
	"slices"
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

// claimStorage makes sure that the storage is this database's. The database's side is
// written first: a storage that has a name the database does not know is another's, or
// the database was restored from a backup older than this rule.
func claimStorage(ctx context.Context, store core.Store, blobs core.BlobStore, shown string) error {
	found, err := blobs.Get(ctx, installationBlob)
	if err != nil && core.CodeOf(err) != core.NotFound {
		return err
	}
	there := err == nil
	var name string
	var claimed bool
	var keys []string
	if err := store.View(ctx, func(tx core.Tx) (err error) {
		if name, claimed, err = installation(tx); err != nil || name != "" {
			return err
		}
		keys, err = tx.BlobKeys()
		return err
	}); err != nil {
		return err
	}
	if name == "" {
		name = strings.ToLower(rand.Text())
		if there {
			if known, err := anyOf(ctx, blobs, keys); err != nil {
				return err
			} else if !known {
				return foreignStorage(shown)
			}
			name = string(found)
		}
		if err := store.Update(ctx, func(tx core.Tx) error {
			other, _, err := installation(tx)
			if err != nil {
				return err
			}
			if other != "" { // another server on the database was faster
				name = other
				return nil
			}
			return tx.PutSetting(installationSetting, name)
		}); err != nil {
			return err
		}
	}
	switch {
	case there && string(found) != name:
		return foreignStorage(shown)
	case !there && claimed:
		return core.Errorf(core.Invalid, "the storage %s has none of the states that the database describes; name the right one with --storage, or bring it back from a backup", shown)
	case !there:
		if err := blobs.Put(ctx, installationBlob, []byte(name)); core.CodeOf(err) == core.Conflict {
			return foreignStorage(shown)
		} else if err != nil {
			return err
		}
	}
	if claimed {
		return nil
	}
	return store.Update(ctx, func(tx core.Tx) error { return tx.PutSetting(claimedSetting, "claimed") })
}

// anyOf reports whether one of the blobs that the database names is in the storage. Keys
// are random: one is proof.
func anyOf(ctx context.Context, blobs core.BlobStore, named []string) (bool, error) {
	stored, err := blobs.List(ctx)
	if err != nil {
		return false, err
	}
	for _, b := range stored {
		if slices.Contains(named, b.Key) {
			return true, nil
		}
	}
	return false, nil
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
