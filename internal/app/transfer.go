package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/blob"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/keys"
	"github.com/terrace-cd/terrace/internal/store"
)

// Place is where an installation keeps what it knows.
type Place struct {
	Database string // a file or a URL
	Storage  string // a folder or a URL; "" leaves blobs alone
}

// Transferred says what a copy, a backup or a restored installation holds.
type Transferred struct {
	Rows      map[string]int64  `json:"rows"`
	Digests   map[string]string `json:"digests"` // SHA-256 over each table, equal in both databases
	Event     int64             `json:"last_event"`
	EventHash string            `json:"last_event_hash"`
	Blobs     int               `json:"blobs"`
	Bytes     int64             `json:"blob_bytes"`
	Held      []string          `json:"held_environments,omitempty"`
}

// Progress is told what is being done.
type Progress func(format string, args ...any)

// Copy copies an installation's database, and its blobs when both places name a
// storage, into an empty place, and proves it: what arrived is read again and compared,
// the audit chain is verified. With move, the source refuses every write from the moment
// when the copy is complete: a server that still works on it cannot diverge, and runners
// keep what they have until a server on the new place answers.
func Copy(ctx context.Context, from, to Place, move bool, progress Progress) (Transferred, error) {
	source, err := store.Open(ctx, from.Database, store.AsItIs())
	if err != nil {
		return Transferred{}, err
	}
	defer func() { _ = source.Close() }() // what was written is durable
	target, err := store.Open(ctx, to.Database)
	if err != nil {
		return Transferred{}, err
	}
	defer func() { _ = target.Close() }()
	var done Transferred
	if to.Storage != "" {
		// Before the rows that name them: a blob is never changed, and those that are
		// written meanwhile follow.
		if done.Blobs, done.Bytes, err = copyBlobs(ctx, source, from.Storage, to.Storage, progress); err != nil {
			return done, err
		}
	}
	copied, err := store.Copy(ctx, source, target, store.CopyOptions{Move: move, To: store.Shown(to.Database), Progress: tables(progress)})
	if err != nil {
		return done, err
	}
	done.Rows, done.Digests, done.Event, done.EventHash = copied.Rows, copied.Digest, copied.Event, copied.EventHash
	if to.Storage != "" {
		var more int
		var bytes int64
		if more, bytes, err = copyBlobs(ctx, target, from.Storage, to.Storage, progress); err != nil {
			return done, err
		}
		done.Blobs, done.Bytes = max(done.Blobs, more), max(done.Bytes, bytes)
	}
	return done, nil
}

func tables(progress Progress) func(string, int64) {
	return func(table string, rows int64) {
		if rows > 0 {
			progress("copied %d rows of %s", rows, table)
		}
	}
}

// copyBlobs copies the blobs that rows of db name, as they are, sealed, and reads each
// again. What is there already is compared, not copied. It returns how many there are.
func copyBlobs(ctx context.Context, db core.Store, from, to string, progress Progress) (n int, size int64, err error) {
	source, err := blob.OpenReader(ctx, from)
	if err != nil {
		return 0, 0, err
	}
	target, err := blob.OpenURL(ctx, to)
	if err != nil {
		return 0, 0, err
	}
	names, err := blobKeys(ctx, db)
	if err != nil {
		return 0, 0, err
	}
	// The keys, too, that came after the rows: what is sealed with them is copied.
	stored, err := source.List(ctx)
	if err != nil {
		return 0, 0, err
	}
	for _, b := range stored {
		if strings.HasPrefix(b.Key, keys.CopyPrefix) {
			names = append(names, b.Key)
		}
	}
	if len(names) > 0 {
		names = append(names, installationBlob)
	}
	said := time.Now()
	for _, key := range names {
		content, err := source.Get(ctx, key)
		if core.CodeOf(err) == core.NotFound && key == installationBlob {
			continue
		}
		if core.CodeOf(err) == core.NotFound {
			// Retention may have dropped it since the names were listed, or a key was retired.
			if strings.HasPrefix(key, keys.CopyPrefix) {
				continue
			}
			if now, again := blobKeys(ctx, db); again == nil && !contains(now, key) {
				continue
			}
			return n, size, core.Errorf(core.Conflict, "the storage %s lacks %s, which the database names; see: terrace admin check", blob.Shown(from), key)
		}
		if err != nil {
			return n, size, err
		}
		err = target.Put(ctx, key, content)
		if core.CodeOf(err) == core.Conflict && key != installationBlob {
			err = target.Replace(ctx, key, content) // the same, sealed with another key
		}
		if err != nil {
			return n, size, err
		}
		if there, err := target.Get(ctx, key); err != nil {
			return n, size, err
		} else if !bytes.Equal(there, content) {
			return n, size, core.Errorf(core.Internal, "%s arrived damaged in %s", key, blob.Shown(to))
		}
		n, size = n+1, size+int64(len(content))
		if time.Since(said) > time.Second {
			said = time.Now()
			progress("copied %d of %d blobs", n, len(names))
		}
	}
	return n, size, nil
}

func contains(keys []string, key string) bool {
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

func blobKeys(ctx context.Context, db core.Store) (keys []string, err error) {
	err = db.View(ctx, func(tx core.Tx) error {
		keys, err = tx.BlobKeys()
		return err
	})
	return keys, err
}

// What is in the folder of a backup.
const (
	backupDatabase = "terrace.db"
	backupBlobs    = "blobs"
	backupKey      = "master.key"
	backupManifest = "backup.json"
)

// Manifest describes a backup.
type Manifest struct {
	Format  int       `json:"format"`
	Made    time.Time `json:"made"`
	Version string    `json:"version"` // of the program
	Key     bool      `json:"key"`     // the master key is in it
	Transferred
}

// Backup writes a consistent copy of an installation, which may be at work, into a
// folder that does not exist yet: a SQLite database, whatever the source is, the blobs
// that it names, and a manifest. The folder appears when the backup is complete. key is
// a master key file to include, "" leaves it out: then the backup cannot be read without
// the key, which has to be kept elsewhere.
func Backup(ctx context.Context, from Place, key, dir, version string, progress Progress) (Manifest, error) {
	m := Manifest{Format: 1, Made: time.Now().UTC().Truncate(time.Second), Version: version, Key: key != ""}
	if _, err := os.Stat(dir); err == nil {
		return m, core.Errorf(core.Conflict, "%s exists; give a folder that does not, such as %s", dir, filepath.Join(dir, m.Made.Format("2006-01-02T15-04-05")))
	} else if !errors.Is(err, fs.ErrNotExist) {
		return m, core.Errorf(core.Unavailable, "the backup's folder cannot be looked at: %w", err)
	}
	unfinished := filepath.Clean(dir) + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return m, core.Errorf(core.Unavailable, "an unfinished backup cannot be removed: %w", err)
	}
	if err := os.MkdirAll(unfinished, 0o700); err != nil {
		return m, core.Errorf(core.Unavailable, "the backup's folder cannot be made: %w", err)
	}
	err := func() (err error) {
		// The rows first: what they name exists, and is not changed.
		source, err := store.Open(ctx, from.Database, store.AsItIs())
		if err != nil {
			return err
		}
		defer func() { _ = source.Close() }() // only read from
		target, err := store.Open(ctx, filepath.Join(unfinished, backupDatabase))
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, target.Close()) }()
		copied, err := store.Copy(ctx, source, target, store.CopyOptions{Progress: tables(progress)})
		if err != nil {
			return err
		}
		m.Rows, m.Digests, m.Event, m.EventHash = copied.Rows, copied.Digest, copied.Event, copied.EventHash
		m.Blobs, m.Bytes, err = copyBlobs(ctx, target, from.Storage, filepath.Join(unfinished, backupBlobs), progress)
		return err
	}()
	if err == nil && key != "" {
		err = copyFile(key, filepath.Join(unfinished, backupKey))
	}
	if err == nil {
		var text []byte
		if text, err = json.MarshalIndent(m, "", "  "); err == nil {
			err = os.WriteFile(filepath.Join(unfinished, backupManifest), append(text, '\n'), 0o600)
		}
	}
	if err == nil {
		err = os.Rename(unfinished, dir)
	}
	if err != nil {
		return m, errors.Join(err, os.RemoveAll(unfinished))
	}
	return m, nil
}

func copyFile(from, to string) error {
	content, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, content, 0o600)
	}
	if err != nil {
		return core.Errorf(core.Unavailable, "the master key cannot be copied: %w", err)
	}
	return nil
}

// Restore brings a backup back into an empty place. Everything that happened after the
// backup is unknown to it, while the infrastructure is as it is: hold makes every
// environment wait for a person, who looks at it first. key is where the master key
// belongs; it is written when the backup has one and there is none.
func Restore(ctx context.Context, dir string, to Place, key string, hold bool, progress Progress) (Transferred, error) {
	var m Manifest
	text, err := os.ReadFile(filepath.Join(dir, backupManifest))
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil || m.Format != 1 {
		return Transferred{}, core.Errorf(core.Invalid, "%s is no complete backup of this program (its %s: %w)", dir, backupManifest, errors.Join(err, fmt.Errorf("format %d", m.Format)))
	}
	if _, err := os.Stat(key); errors.Is(err, fs.ErrNotExist) && m.Key {
		if err := os.MkdirAll(filepath.Dir(key), 0o700); err != nil {
			return Transferred{}, core.Errorf(core.Unavailable, "the data folder cannot be made: %w", err)
		}
		if err := copyFile(filepath.Join(dir, backupKey), key); err != nil {
			return Transferred{}, err
		}
	}
	// Not through Open, which makes what is missing.
	if _, err := os.Stat(filepath.Join(dir, backupDatabase)); err != nil {
		return Transferred{}, core.Errorf(core.Invalid, "the backup %s has no database: %w", dir, err)
	}
	done, err := Copy(ctx, Place{Database: filepath.Join(dir, backupDatabase), Storage: filepath.Join(dir, backupBlobs)}, to, false, progress)
	if err != nil {
		return done, err
	}
	if done.Event != m.Event || done.EventHash != m.EventHash {
		return done, core.Errorf(core.Conflict, "the backup's database is not the one that its %s describes: it ends with event %d, not %d", backupManifest, done.Event, m.Event)
	}
	target, err := store.Open(ctx, to.Database)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	err = target.Update(ctx, func(tx core.Tx) error {
		done.Held = nil
		if err := tx.AddEvent(core.Event{By: "server", Kind: "server.restored", On: m.Made.Format(time.RFC3339),
			Data: map[string]string{"backup": m.Made.Format(time.RFC3339), "event": fmt.Sprint(m.Event)}}); err != nil || !hold {
			return err
		}
		projects, err := tx.Projects()
		if err != nil {
			return err
		}
		for _, p := range projects {
			environments, err := tx.Environments(p.Name)
			if err != nil {
				return err
			}
			for _, e := range environments {
				if e.Hold != nil && e.Hold.Kind == core.HoldPerson {
					continue
				}
				reason := fmt.Sprintf("restored from the backup of %s: what happened since is not known here. Compare with what is there, then: terrace unhold %s --project %s",
					m.Made.Format(time.RFC3339), e.Name, p.Name)
				e.Hold = &core.Hold{Kind: core.HoldPerson, By: "server", Since: tx.Now(), Reason: reason}
				if err := tx.PutEnvironment(e); err != nil {
					return err
				}
				if err := tx.AddEvent(core.Event{By: "server", Kind: "environment.held", Project: p.Name, On: e.Name, Data: map[string]string{"kind": string(core.HoldPerson), "reason": reason}}); err != nil {
					return err
				}
				done.Held = append(done.Held, p.Name+"/"+e.Name)
			}
		}
		return nil
	})
	return done, err
}
