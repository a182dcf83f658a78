package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func freezes(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	seed(t, s, "blog", 0)
	first := core.Freeze{ID: "fz-1", Project: "shop", Environment: "production", From: at, Until: at.Add(time.Hour), Reason: "the fair", By: "user:ana", Created: at}
	second := core.Freeze{ID: "fz-2", Project: "shop", From: at.Add(-time.Hour), Reason: "an incident", By: "user:ben", Created: at.Add(time.Second)}
	update(t, s, func(tx core.Tx) error { return errors.Join(tx.AddFreeze(first), tx.AddFreeze(second)) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddFreeze(first) })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.AddFreeze(core.Freeze{ID: "fz-3", Project: "nowhere", From: at, Reason: "r"})
	})
	update(t, s, func(tx core.Tx) error { return tx.LiftFreeze("shop", "fz-1", "user:ben", at) })
	for _, x := range []struct{ project, id string }{{"blog", "fz-2"}, {"shop", "fz-9"}} {
		refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.LiftFreeze(x.project, x.id, "user:ben", at) })
	}
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.LiftFreeze("shop", "fz-1", "user:ben", at) })
	first.Lifted, first.LiftedBy = at, "user:ben"
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Freezes("shop")
		equal(t, "freezes", all, []core.Freeze{second, first})
		return err
	})
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Freezes("shop")
		equal(t, "freezes of a removed project", len(all), 0)
		return err
	})
}
