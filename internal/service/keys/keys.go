// Package keys keeps the keys that seal what is stored: it loads them, replaces them
// (rotation), seals everything anew with the newest, and deletes those that nothing hangs
// on any more.
//
// A sealing key is stored twice, both times wrapped by the master key: as a row of the
// database, and in the storage beside the states. So a database that is restored from a
// backup still opens the states that were sealed with a newer key, see missing.
package keys

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/service/bus"
)

// Topic is what a change of keys is listened to by.
const Topic = "keys:"

// Service keeps the keys of an installation. Open makes one.
type Service struct {
	Options
	ring *seal.Keyring

	mu sync.Mutex
	// found are keys that were in storage and not in the database; Tend stores them.
	found []core.StoredKey
	// unknown are IDs that were looked for in vain, with when.
	unknown map[string]time.Time
}

// Options of a Service. Bus and Log may be nil for one that only reads.
type Options struct {
	Store   core.Store
	Blobs   core.BlobStore
	Masters seal.Masters
	Bus     *bus.Bus
	Log     *slog.Logger
	// ReadOnly: nothing is written, whatever is found.
	ReadOnly bool
	// Settle is how long after a rotation something may still be sealed with the key
	// before: servers have to hear of it, and writes under way to end. Default Settle.
	Settle time.Duration
}

// Settle is longer than what names a blob it has sealed may take (state.WriteWithin), and
// a server may take to hear of a new key (hearEvery).
const Settle = 15 * time.Minute

// Open loads the keys of an installation, and makes the first ones.
func Open(ctx context.Context, o Options) (*Service, error) {
	s := &Service{Options: o, unknown: map[string]time.Time{}}
	if s.Settle == 0 {
		s.Settle = Settle
	}
	s.ring = seal.NewKeyring(s.missing)
	rows, err := s.rows(ctx)
	if err == nil && len(rows) == 0 {
		if s.ReadOnly {
			return s, s.former()
		}
		if err = s.first(ctx); err == nil {
			rows, err = s.rows(ctx)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := s.set(ctx, rows); err != nil || s.ReadOnly {
		return s, err
	}
	return s, s.wrapAnew(ctx, rows)
}

// Ring seals and opens with the keys.
func (s *Service) Ring() *seal.Keyring { return s.ring }

func (s *Service) rows(ctx context.Context) (rows []core.StoredKey, err error) {
	err = s.Store.View(ctx, func(tx core.Tx) error {
		rows, err = tx.StoredKeys()
		return err
	})
	return rows, err
}

// former opens what was sealed before keys were stored, with the master keys themselves.
func (s *Service) former() error {
	if len(s.Masters.Former) == 0 {
		return core.Errorf(core.Invalid, "this installation has no keys yet, and nothing to open; start its server once")
	}
	keys, digest, err := s.formerKeys()
	if err != nil {
		return err
	}
	return s.ring.Set(keys, digest)
}

func (s *Service) formerKeys() (keys []seal.Key, digest []byte, err error) {
	for _, secret := range s.Masters.Former {
		key, err := seal.KeyOf(secret)
		if err != nil {
			return nil, nil, err
		}
		keys = append(keys, key)
	}
	digest, err = seal.DigestKey(s.Masters.Former[len(s.Masters.Former)-1])
	return keys, digest, err
}

// first stores the first keys. A server that sealed with its master keys directly goes on
// with those as its sealing keys, until they are rotated: nothing has to be sealed anew
// at a start.
func (s *Service) first(ctx context.Context) error {
	var fresh bool
	if err := s.Store.View(ctx, func(tx core.Tx) error {
		tokens, err := tx.Tokens()
		fresh = len(tokens) == 0
		return err
	}); err != nil {
		return err
	}
	var keys []seal.Key
	var digest []byte
	var err error
	switch {
	case fresh:
		digest = make([]byte, 32)
		if _, err := rand.Read(digest); err != nil {
			return err
		}
		var key seal.Key
		key, err = seal.NewKey()
		keys = []seal.Key{key}
	case len(s.Masters.Former) == 0:
		return core.Errorf(core.Invalid, "this installation was sealed with a master key in a file or a variable; give that one, too, once: --master-key %s --master-key file:PATH", s.Masters.All[0].Name())
	default:
		keys, digest, err = s.formerKeys()
	}
	if err != nil {
		return err
	}
	rows, err := s.wrapAll(ctx, keys, digest)
	if err != nil {
		return err
	}
	return s.Store.Update(ctx, func(tx core.Tx) error {
		if there, err := tx.StoredKeys(); err != nil || len(there) > 0 {
			return err // another server was faster
		}
		for _, row := range rows {
			row.Made = tx.Now()
			if err := tx.AddKey(row); err != nil {
				return err
			}
		}
		return nil
	})
}

// digestID is the ID of the digest key; sealing keys have hexadecimal ones.
const digestID = "digest"

// wrapAll wraps keys, the newest first, for the database, where the newest is the last.
func (s *Service) wrapAll(ctx context.Context, keys []seal.Key, digest []byte) (rows []core.StoredKey, err error) {
	row, err := s.wrap(ctx, core.StoredKey{ID: digestID, Kind: core.DigestKey}, digest)
	rows = append(rows, row)
	for _, key := range slices.Backward(keys) {
		if err == nil {
			row, err = s.wrap(ctx, core.StoredKey{ID: key.ID, Kind: core.SealKey}, key.Secret)
			rows = append(rows, row)
		}
	}
	return rows, err
}

// wrap wraps a secret with the master key and keeps a copy of it in the storage, from
// where it is read when the database does not have it.
func (s *Service) wrap(ctx context.Context, row core.StoredKey, secret []byte) (core.StoredKey, error) {
	master := s.Masters.All[0]
	wrapped, err := master.Wrap(ctx, row.ID, secret)
	if err != nil {
		return row, err
	}
	row.Master, row.Wrapped = master.Name(), wrapped
	return row, s.Blobs.Replace(ctx, copyName(row.ID, row.Master), wrapped)
}

// CopyPrefix begins the names of the copies of keys in the storage.
const CopyPrefix = "keys/"

func copyName(id, master string) string {
	sum := sha256.Sum256([]byte(master))
	return CopyPrefix + id + "." + hex.EncodeToString(sum[:8])
}

// set unwraps what is stored and uses it.
func (s *Service) set(ctx context.Context, rows []core.StoredKey) error {
	known := map[string]seal.Key{}
	if len(rows) > 0 && s.ring.Ready() {
		for _, key := range s.ring.Keys() {
			known[key.ID] = key
		}
	}
	var keys []seal.Key
	var digest []byte
	for _, row := range rows {
		if key, ok := known[row.ID]; ok { // the service that wrapped it need not be asked again
			keys = append(keys, key)
			continue
		}
		master, err := s.Masters.Find(row.Master)
		if err != nil {
			return err
		}
		secret, err := master.Unwrap(ctx, row.ID, row.Wrapped)
		if err != nil {
			return err
		}
		if row.Kind == core.DigestKey {
			digest = secret
			continue
		}
		key, err := seal.KeyOf(secret)
		if err != nil {
			return err
		}
		keys = append(keys, key)
	}
	return s.ring.Set(keys, digest)
}

// wrapAnew wraps with the first master key what another one wrapped.
func (s *Service) wrapAnew(ctx context.Context, rows []core.StoredKey) error {
	for _, row := range rows {
		name := s.Masters.All[0].Name()
		if row.Master == name {
			continue
		}
		old, err := s.Masters.Find(row.Master)
		if err != nil {
			return err
		}
		secret, err := old.Unwrap(ctx, row.ID, row.Wrapped)
		if err != nil {
			return err
		}
		anew, err := s.wrap(ctx, row, secret)
		if err != nil {
			return err
		}
		if err := s.Store.Update(ctx, func(tx core.Tx) error {
			if err := tx.WrapKey(row.ID, anew.Master, anew.Wrapped); err != nil {
				return err
			}
			return tx.AddEvent(core.Event{By: "server", Kind: "key.wrapped", On: row.ID, Data: map[string]string{"master": anew.Master, "before": row.Master}})
		}); err != nil {
			return err
		}
		if s.Log != nil {
			s.Log.Info("wrapped a key with the new master key; the one before is not needed for it any more", "key", row.ID, "master", anew.Master, "before", row.Master)
		}
	}
	return nil
}

// lookWithin bounds the search for a missing key.
const lookWithin = 30 * time.Second

// missing looks for a key that something is sealed with: another server made it just now,
// or the database is older than it, and the storage has a copy. It may be called in a
// transaction, so it writes nothing.
func (s *Service) missing(id string) error {
	ctx, cancel := context.WithTimeout(context.Background(), lookWithin)
	defer cancel()
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.unknown[id]) < 5*time.Second {
		return core.Errorf(core.NotFound, "bring back the database or the storage that has it, from a backup")
	}
	rows, err := s.rows(ctx)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(rows, func(row core.StoredKey) bool { return row.ID == id }) {
		return s.set(ctx, slices.Concat(rows, s.found))
	}
	for _, master := range s.Masters.All {
		for _, name := range master.Names() {
			wrapped, err := s.Blobs.Get(ctx, copyName(id, name))
			if core.CodeOf(err) == core.NotFound {
				continue
			} else if err != nil {
				return err
			}
			s.found = append(s.found, core.StoredKey{ID: id, Kind: core.SealKey, Master: name, Wrapped: wrapped})
			if len(rows) == 0 { // from before keys were stored
				return s.former()
			}
			return s.set(ctx, slices.Concat(rows, s.found))
		}
	}
	s.unknown[id] = time.Now()
	return core.Errorf(core.NotFound, "bring back the database or the storage that has it, from a backup")
}
