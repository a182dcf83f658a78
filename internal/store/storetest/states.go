package storetest

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func version(project, stack, environment string, serial int64) core.StateVersion {
	return core.StateVersion{Project: project, Stack: stack, Environment: environment, Serial: serial, Lineage: "lineage", MD5: fmt.Sprintf("%032x", serial), Size: 100 + serial,
		Resources: 3, Blob: fmt.Sprintf("states/%s/%s/%s/%d", project, environment, stack, serial), Run: "r-1", By: "run:r-1", Fence: 4, Created: at}
}

func addVersion(t *testing.T, s core.Store, v core.StateVersion) core.StateVersion {
	t.Helper()
	update(t, s, func(tx core.Tx) (err error) {
		v.ID, err = tx.AddStateVersion(v)
		return err
	})
	return v
}

func stateVersions(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.CurrentState("shop", "web", "dev"); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.AddStateVersion(version("nowhere", "web", "dev", 1)); return err })
	one := addVersion(t, s, version("shop", "web", "dev", 1))
	other := addVersion(t, s, version("shop", "db", "dev", 1))
	five := addVersion(t, s, version("shop", "web", "dev", 5))
	if one.ID >= other.ID || other.ID >= five.ID {
		t.Errorf("ids do not grow: %d %d %d", one.ID, other.ID, five.ID)
	}
	refused(t, s, core.Conflict, func(tx core.Tx) error { _, err := tx.AddStateVersion(version("shop", "web", "dev", 5)); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.StateVersion("shop", "db", "dev", five.ID); return err })
	view(t, s, func(tx core.Tx) error {
		current, err := tx.CurrentState("shop", "web", "dev")
		if err != nil {
			return err
		}
		equal(t, "current", current, five)
		all, err := tx.StateVersions("shop", "web", "dev", 0)
		if err != nil {
			return err
		}
		equal(t, "versions", all, []core.StateVersion{five, one})
		newest, err := tx.StateVersions("shop", "web", "dev", 1)
		if err != nil {
			return err
		}
		equal(t, "newest version", newest, []core.StateVersion{five})
		first, err := tx.StateVersion("shop", "web", "dev", one.ID)
		if err != nil {
			return err
		}
		equal(t, "a version by its id", first, one)
		currents, err := tx.CurrentStates("shop")
		equal(t, "current states", currents, []core.StateVersion{other, five})
		return err
	})
}

// deletedStates: a version without a blob ends a lineage; the next may be another.
func deletedStates(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	addVersion(t, s, version("shop", "web", "dev", 3))
	deleted := version("shop", "web", "dev", 3)
	deleted.Blob, deleted.Lineage, deleted.Size, deleted.Resources = "", "", 0, 0
	for range 2 {
		addVersion(t, s, deleted)
		refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.CurrentState("shop", "web", "dev"); return err })
		view(t, s, func(tx core.Tx) error {
			currents, err := tx.CurrentStates("shop")
			equal(t, "current states", len(currents), 0)
			return err
		})
	}
	again := version("shop", "web", "dev", 1)
	again.Lineage = "another"
	again = addVersion(t, s, again)
	view(t, s, func(tx core.Tx) error {
		current, err := tx.CurrentState("shop", "web", "dev")
		equal(t, "after a deletion", current, again)
		return err
	})
}

func stateRetention(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	update(t, s, func(tx core.Tx) error {
		for i := int64(1); i <= 105; i++ {
			if _, err := tx.AddStateVersion(version("shop", "web", "dev", i)); err != nil {
				return err
			}
		}
		_, err := tx.AddStateVersion(version("shop", "db", "dev", 1))
		return err
	})
	prune := func(keep int, want ...string) {
		t.Helper()
		update(t, s, func(tx core.Tx) error {
			keys, err := tx.PruneStateVersions("shop", "web", "dev", keep)
			equal(t, "dropped blobs", keys, want)
			return err
		})
	}
	prune(200)
	prune(103, version("shop", "web", "dev", 1).Blob, version("shop", "web", "dev", 2).Blob)
	prune(0, version("shop", "web", "dev", 3).Blob, version("shop", "web", "dev", 4).Blob, version("shop", "web", "dev", 5).Blob)
	view(t, s, func(tx core.Tx) error {
		all, err := tx.StateVersions("shop", "web", "dev", 0)
		equal(t, "versions kept", len(all), 100)
		equal(t, "newest", all[0].Serial, int64(105))
		return err
	})
}

func locks(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	l := core.StateLock{Project: "shop", Stack: "web", Environment: "dev", ID: "id-1", Info: `{"ID":"id-1"}`, Fence: 3, By: "run:r-1", Run: "r-1", Created: at}
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Lock("shop", "web", "dev"); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.PutLock(core.StateLock{Project: "nowhere", Stack: "a", Environment: "b", ID: "x", Fence: 1})
	})
	update(t, s, func(tx core.Tx) error { return tx.PutLock(l) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.PutLock(l) })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Lock("shop", "web", "dev")
		equal(t, "lock", got, l)
		return err
	})
	update(t, s, func(tx core.Tx) error {
		if err := tx.DeleteLock("shop", "web", "production"); err != nil { // not locked: nothing to do
			return err
		}
		return tx.DeleteLock("shop", "web", "dev")
	})
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Lock("shop", "web", "dev"); return err })
}

// held is everything that is kept of a state, as the single questions tell it.
func held(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	look := func(stack string) (h core.Held) {
		view(t, s, func(tx core.Tx) (err error) {
			h, err = tx.Held("shop", stack, "dev")
			return err
		})
		return h
	}
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Held("nowhere", "web", "dev"); return err })
	equal(t, "nothing", look("web"), core.Held{})
	lock := core.StateLock{Project: "shop", Stack: "web", Environment: "dev", ID: "id-1", Info: `{"ID":"id-1"}`, Fence: 3, By: "run:r-1", Run: "r-1", Created: at}
	own := core.OwnState{Project: "shop", Stack: "web", Environment: "dev", Backend: "s3", Lineage: "l", Serial: 3, Resources: 4, Digest: "d", Run: "r-1", Seen: at}
	v := core.StateVersion{Project: "shop", Stack: "web", Environment: "dev", Serial: 7, Lineage: "l", MD5: "m", Size: 9, Resources: 2, Blob: "b", Run: "r-1", By: "run:r-1", Fence: 3, Created: at}
	update(t, s, func(tx core.Tx) (err error) {
		old := v
		old.Serial, old.Blob = 6, "old"
		if _, err = tx.AddStateVersion(old); err != nil {
			return err
		}
		v.ID, err = tx.AddStateVersion(v)
		return errors.Join(err, tx.PutLock(lock), tx.PutOwnState(own),
			tx.PutInstance(core.InstanceState{Project: "shop", Stack: "web", Environment: "dev", Unknown: "r-1"}))
	})
	equal(t, "all of it", look("web"), core.Held{Current: &v, Lock: &lock, Own: &own, Unknown: "r-1"})
	equal(t, "another's", look("db"), core.Held{})
	update(t, s, func(tx core.Tx) error {
		deleted := v
		deleted.Serial, deleted.Lineage, deleted.MD5, deleted.Size, deleted.Resources, deleted.Blob = 0, "", "", 0, 0, ""
		_, err := tx.AddStateVersion(deleted)
		return errors.Join(err, tx.DeleteLock("shop", "web", "dev"), tx.DeleteOwnState("shop", "web", "dev"))
	})
	equal(t, "what is deleted", look("web"), core.Held{Unknown: "r-1"})
}

// lockRace: of two writers that both saw no lock, one gets it.
func lockRace(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	const racers, rounds = 8, 10
	var holders, wins atomic.Int32
	done := make(chan error, racers)
	for racer := range racers {
		go func() {
			for range rounds {
				err := s.Update(t.Context(), func(tx core.Tx) error {
					fence, err := tx.NextFence()
					if err != nil {
						return err
					}
					return tx.PutLock(core.StateLock{Project: "shop", Stack: "web", Environment: "dev", ID: fmt.Sprint(racer), Fence: fence})
				})
				if core.CodeOf(err) == core.Conflict {
					continue
				}
				if err == nil {
					wins.Add(1)
					if holders.Add(1) != 1 {
						err = fmt.Errorf("two holders of one lock")
					} else {
						holders.Add(-1)
						err = s.Update(t.Context(), func(tx core.Tx) error { return tx.DeleteLock("shop", "web", "dev") })
					}
				}
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range racers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if wins.Load() == 0 {
		t.Error("nobody ever got the lock")
	}
}

func recovereds(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	var want []core.Recovered
	for i := int64(1); i <= 2; i++ {
		v := core.Recovered{Project: "shop", Stack: "web", Environment: "dev", Serial: i, Lineage: "l", MD5: "m", Size: 9, Blob: fmt.Sprintf("b%d", i),
			Run: "r-1", By: "run:r-1", Reason: "stale fence", Created: at}
		update(t, s, func(tx core.Tx) (err error) {
			v.ID, err = tx.AddRecovered(v)
			return err
		})
		want = append([]core.Recovered{v}, want...)
	}
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.MarkRecovered(999) })
	update(t, s, func(tx core.Tx) error { return tx.MarkRecovered(want[1].ID) })
	want[1].Used = true
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Recovereds("shop", "web", "dev")
		equal(t, "recovered, newest first", got, want)
		return err
	})
}
