package storetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// take takes a lease in a transaction of its own.
func take(t *testing.T, s core.Store, holder string, ttl time.Duration) (l core.Lease, err error) {
	t.Helper()
	err = s.Update(t.Context(), func(tx core.Tx) error {
		l, err = tx.TakeLease("leader", holder, "http://"+holder, ttl)
		return err
	})
	return l, err
}

func leases(t *testing.T, s core.Store) {
	first, err := take(t, s, "a", time.Hour)
	if err != nil || first.Holder != "a" || first.Fence == 0 || first.Expires.Sub(first.Taken) != time.Hour || first.URL != "http://a" {
		t.Fatalf("lease %+v, %v", first, err)
	}
	if l, err := take(t, s, "b", time.Hour); core.CodeOf(err) != core.Conflict || l.Holder != "a" {
		t.Errorf("taken from its holder: %+v, %v", l, err)
	}
	renewed, err := take(t, s, "a", 2*time.Hour)
	if err != nil || renewed.Fence != first.Fence || !renewed.Taken.Equal(first.Taken) || !renewed.Expires.After(first.Expires) {
		t.Errorf("renewed %+v, %v", renewed, err)
	}
	update(t, s, func(tx core.Tx) error { return tx.FreeLease("leader", "b") }) // not b's: nothing happens
	if _, err := take(t, s, "b", time.Hour); core.CodeOf(err) != core.Conflict {
		t.Errorf("freed by another: %v", err)
	}
	update(t, s, func(tx core.Tx) error { return tx.FreeLease("leader", "a") })
	second, err := take(t, s, "b", -time.Second) // over when it is given
	if err != nil || second.Fence <= first.Fence {
		t.Errorf("free: %+v, %v", second, err)
	}
	third, err := take(t, s, "a", time.Hour)
	if err != nil || third.Fence <= second.Fence {
		t.Errorf("expired: %+v, %v", third, err)
	}

	update(t, s, func(tx core.Tx) error {
		if _, err := tx.Setting("id"); core.CodeOf(err) != core.NotFound {
			t.Errorf("a setting before there is one: %v", err)
		}
		return errors.Join(tx.PutSetting("id", "1"), tx.PutSetting("id", "2"))
	})
	view(t, s, func(tx core.Tx) error {
		if v, err := tx.Setting("id"); v != "2" || err != nil {
			t.Errorf("setting %q, %v", v, err)
		}
		return nil
	})
}

// leaseRace: of many servers that find a lease free at once, one gets it.
func leaseRace(t *testing.T, s core.Store) {
	var got atomic.Int64
	var all sync.WaitGroup
	for _, holder := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		all.Go(func() {
			switch _, err := take(t, s, holder, time.Hour); core.CodeOf(err) {
			case "":
				got.Add(1)
			case core.Conflict:
			default:
				t.Errorf("%s: %v", holder, err)
			}
		})
	}
	all.Wait()
	if got.Load() != 1 {
		t.Errorf("%d servers have the lease", got.Load())
	}
}
