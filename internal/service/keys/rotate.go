package keys

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
)

// Key is what is told of a sealing key.
type Key struct {
	ID     string
	Seals  bool // the newest
	Master string
	Made   time.Time
}

// Status is what is told of all.
type Status struct {
	Keys    []Key // newest first
	Masters []string
	Passage Passage
	// Retirable: nothing is sealed with any key but the newest.
	Retirable bool
	// From is when that can be found out at the earliest; zero when there is one key.
	From time.Time
}

// Passage is how far everything is sealed with the newest key. It goes on after a
// restart where it was.
type Passage struct {
	Key    string    `json:"key"`  // the newest, when this began
	Pass   int       `json:"pass"` // 1, 2, …: everything is looked at until there is nothing to do
	Step   int       `json:"step"`
	After  string    `json:"after,omitempty"` // the row that was the last
	Looked int64     `json:"looked"`          // in this pass
	Moved  int64     `json:"moved"`           // sealed anew, in this pass
	Sealed int64     `json:"sealed"`          // in all of them
	Lost   int64     `json:"lost"`            // in this pass: what opens with no key
	Began  time.Time `json:"began,omitzero"`  // this pass
	Ended  time.Time `json:"ended,omitzero"`
	Proved bool      `json:"proved"` // a pass found nothing, when nothing could come any more
}

const passageSetting = "keys.passage"

// passage reads how far it is with the newest key.
func passage(tx core.Tx, newest string) (p Passage, err error) {
	text, err := tx.Setting(passageSetting)
	if core.CodeOf(err) == core.NotFound {
		return Passage{Key: newest}, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &p)
	}
	if err == nil && p.Key != newest {
		p = Passage{Key: newest}
	}
	return p, err
}

func sealing(rows []core.StoredKey) (keys []core.StoredKey) {
	for _, row := range rows {
		if row.Kind == core.SealKey {
			keys = append(keys, row)
		}
	}
	return keys
}

// Status tells which keys there are.
func (s *Service) Status(ctx context.Context) (st Status, err error) {
	for _, master := range s.Masters.All {
		st.Masters = append(st.Masters, master.Name())
	}
	err = s.Store.View(ctx, func(tx core.Tx) error {
		all, err := tx.StoredKeys()
		if err != nil {
			return err
		}
		st.Keys = nil
		for i, row := range sealing(all) {
			if i == 0 {
				if st.Passage, err = passage(tx, row.ID); err != nil {
					return err
				}
			}
			st.Keys = append(st.Keys, Key{ID: row.ID, Seals: i == 0, Master: row.Master, Made: row.Made})
		}
		if len(st.Keys) > 1 {
			st.Retirable, st.From = st.Passage.Proved, st.Keys[0].Made.Add(s.Settle)
		}
		return nil
	})
	return st, err
}

// Rotate makes a new sealing key. From now on it seals; what is stored is sealed anew in
// the background (Run). The keys before open what they sealed until they are retired.
func (s *Service) Rotate(ctx context.Context, by string) (Status, error) {
	key, err := seal.NewKey()
	if err != nil {
		return Status{}, err
	}
	row, err := s.wrap(ctx, core.StoredKey{ID: key.ID, Kind: core.SealKey}, key.Secret)
	if err != nil {
		return Status{}, err
	}
	if err := s.Store.Update(ctx, func(tx core.Tx) error {
		row.Made = tx.Now()
		if err := tx.AddKey(row); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "key.rotated", On: key.ID, Data: map[string]string{"master": row.Master}})
	}); err != nil {
		return Status{}, err
	}
	if err := s.reload(ctx); err != nil {
		return Status{}, err
	}
	s.Bus.Changed(Topic)
	return s.Status(ctx)
}

// running are the statuses of runs whose runner may have something that is sealed.
var running = []core.RunStatus{core.RunPreparing, core.RunPlanning, core.RunChecking, core.RunApplying, core.RunProvisioning, core.RunVerifying, core.RunBuilding}

// Retire deletes a key for ever. Conflict while it seals, or something may hang on it.
func (s *Service) Retire(ctx context.Context, by, id string) error {
	st, err := s.Status(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(st.Keys, func(k Key) bool { return k.ID == id })
	switch {
	case i < 0:
		return core.Errorf(core.NotFound, "there is no key %s; see: terrace key list", id)
	case i == 0:
		return core.Errorf(core.Conflict, "%s is the key that seals; make a new one first: terrace key rotate", id)
	case !st.Retirable && st.Passage.Ended.IsZero():
		return core.Errorf(core.Conflict, "not everything is sealed with the newer key yet (%d sealed anew); see: terrace key list", st.Passage.Sealed)
	case !st.Retirable:
		return core.Errorf(core.Conflict, "whether nothing hangs on %s any more is known some minutes after %s, when writes that had begun before the rotation are over; try again then", id, st.From.UTC().Format(time.RFC3339))
	}
	var masters []string
	if err := s.Store.Update(ctx, func(tx core.Tx) error {
		all, err := tx.StoredKeys()
		if err != nil {
			return err
		}
		keys := sealing(all)
		if p, err := passage(tx, keys[0].ID); err != nil || !p.Proved {
			return cmpOr(err, core.Errorf(core.Conflict, "the keys were rotated again just now; see: terrace key list"))
		}
		runs, err := tx.Runs(core.RunFilter{Statuses: running})
		if err != nil {
			return err
		}
		for _, r := range runs {
			if r.Started.Before(keys[0].Made) {
				return core.Errorf(core.Conflict, "run %s began before the rotation, and what its runner keeps for a server that is away is sealed with an older key; wait until it is over, see: terrace run show %[1]s", r.ID)
			}
		}
		masters = nil
		for _, key := range keys {
			if key.ID == id {
				masters = append(masters, key.Master)
			}
		}
		if err := tx.DeleteKey(id); err != nil {
			return err
		}
		return tx.AddEvent(core.Event{By: by, Kind: "key.retired", On: id})
	}); err != nil {
		return err
	}
	for _, master := range s.Masters.All {
		masters = append(masters, master.Names()...)
	}
	for _, name := range masters {
		if err := s.Blobs.Delete(ctx, copyName(id, name)); err != nil {
			return fmt.Errorf("the key is retired, but a copy of it stays in the storage (it is wrapped): %w", err)
		}
	}
	s.Bus.Changed(Topic)
	return s.reload(ctx)
}

func cmpOr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// reload uses what is stored now.
func (s *Service) reload(ctx context.Context) error {
	rows, err := s.rows(ctx)
	if err != nil || len(rows) == 0 {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.found = slices.DeleteFunc(s.found, func(f core.StoredKey) bool {
		return slices.ContainsFunc(rows, func(row core.StoredKey) bool { return row.ID == f.ID })
	})
	clear(s.unknown)
	return s.set(ctx, slices.Concat(rows, s.found))
}

// hearEvery is how often a server looks for new keys, should it not hear of them.
const hearEvery = time.Minute

// Tend hears of new keys, and stores those that were found in the storage. It runs on
// every server until ctx ends.
func (s *Service) Tend(ctx context.Context) {
	changed := s.Bus.Listen(ctx, Topic)
	tick := time.NewTicker(hearEvery)
	defer tick.Stop()
	for {
		if err := s.tend(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("loading keys", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

func (s *Service) tend(ctx context.Context) error {
	s.mu.Lock()
	found := slices.Clone(s.found)
	s.mu.Unlock()
	for _, key := range found {
		if err := s.Store.Update(ctx, func(tx core.Tx) error {
			key.Made = tx.Now()
			if err := tx.AddKey(key); err != nil {
				return err
			}
			return tx.AddEvent(core.Event{By: "server", Kind: "key.found", On: key.ID})
		}); err != nil && core.CodeOf(err) != core.Conflict { // another server stored it
			return err
		}
		s.Log.Warn("a key was in the storage and not in the database, which is older; it is used again", "key", key.ID)
	}
	return s.reload(ctx)
}
