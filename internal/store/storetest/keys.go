package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

func keys(t *testing.T, s core.Store) {
	made := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	digest := core.StoredKey{ID: "digest", Kind: core.DigestKey, Master: "m", Wrapped: []byte{0, 1}, Made: made}
	first := core.StoredKey{ID: "a", Kind: core.SealKey, Master: "m", Wrapped: []byte{2}, Made: made}
	second := core.StoredKey{ID: "b", Kind: core.SealKey, Seq: 7, Master: "m", Wrapped: []byte{3}, Made: made}
	third := core.StoredKey{ID: "c", Kind: core.SealKey, Master: "m", Wrapped: []byte{4}, Made: made}
	update(t, s, func(tx core.Tx) error {
		return errors.Join(tx.AddKey(digest), tx.AddKey(first), tx.AddKey(second), tx.AddKey(third), tx.WrapKey("a", "n", []byte{5}))
	})
	digest.Seq, first.Seq, third.Seq = 1, 2, 8
	first.Master, first.Wrapped = "n", []byte{5}
	view(t, s, func(tx core.Tx) error {
		got, err := tx.StoredKeys()
		if diff := cmp.Diff([]core.StoredKey{third, second, first, digest}, got); diff != "" {
			t.Error(diff)
		}
		return err
	})
	for what, f := range map[string]func(tx core.Tx) error{
		"a taken ID": func(tx core.Tx) error { return tx.AddKey(first) },
		"a taken number": func(tx core.Tx) error {
			return tx.AddKey(core.StoredKey{ID: "d", Kind: core.SealKey, Seq: 7, Master: "m"})
		},
		"no master key": func(tx core.Tx) error {
			return tx.AddKey(core.StoredKey{ID: "d", Kind: core.SealKey, Wrapped: []byte{1}})
		},
		"another kind": func(tx core.Tx) error {
			return tx.AddKey(core.StoredKey{ID: "d", Kind: "x", Master: "m", Wrapped: []byte{1}})
		},
		"none to wrap": func(tx core.Tx) error { return tx.WrapKey("d", "m", []byte{1}) },
	} {
		if err := s.Update(t.Context(), f); err == nil {
			t.Errorf("%s is accepted", what)
		}
	}
	update(t, s, func(tx core.Tx) error { return errors.Join(tx.DeleteKey("b"), tx.DeleteKey("b")) })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.StoredKeys()
		if len(got) != 3 {
			t.Errorf("%d keys after one was deleted", len(got))
		}
		return err
	})
}
