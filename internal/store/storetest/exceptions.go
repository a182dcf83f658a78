package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func exceptions(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	seed(t, s, "blog", 0)
	first := core.Exception{ID: "x-1", Project: "shop", Stack: "web", Environment: "dev", Address: `a.b["c"]`, Reason: "it moved", By: "user:ana", Created: at, Expires: at.Add(time.Hour)}
	second := first
	second.ID, second.Created = "x-2", at.Add(time.Second)
	update(t, s, func(tx core.Tx) error { return errors.Join(tx.AddException(first), tx.AddException(second)) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddException(first) })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.AddException(core.Exception{ID: "x-3", Project: "nowhere", Address: "a", Reason: "r"})
	})
	update(t, s, func(tx core.Tx) error { return tx.EndException("shop", "x-1", "r-1", at) })
	for _, x := range []struct{ project, id string }{{"blog", "x-2"}, {"shop", "x-9"}} {
		refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.EndException(x.project, x.id, "", at) })
	}
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.EndException("shop", "x-1", "", at) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.ConfirmException("shop", "x-1", "user:ben") })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.ConfirmException("blog", "x-2", "user:ben") })
	update(t, s, func(tx core.Tx) error { return tx.ConfirmException("shop", "x-2", "user:ben") })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.ConfirmException("shop", "x-2", "user:eve") })
	update(t, s, func(tx core.Tx) error { return tx.EndException("shop", "x-2", "", at) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.EndException("shop", "x-2", "r-2", at) })
	first.UsedBy, first.Ended, second.Ended, second.ConfirmedBy = "r-1", at, at, "user:ben"
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Exceptions("shop")
		equal(t, "exceptions", all, []core.Exception{second, first})
		return err
	})
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Exceptions("shop")
		equal(t, "exceptions of a removed project", len(all), 0)
		return err
	})
}
