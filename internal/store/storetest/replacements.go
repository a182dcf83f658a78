package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func replacements(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	seed(t, s, "blog", 0)
	first := core.Replacement{ID: "rp-1", Project: "shop", Stack: "web", Environment: "dev", Address: `a.b["c"]`, Reason: "it is odd \x00", By: "user:ana", Created: at}
	second := first
	second.ID, second.Address, second.Created = "rp-2", "a.d", at.Add(time.Second)
	elsewhere := first
	elsewhere.ID, elsewhere.Environment, elsewhere.Reason = "rp-3", "staging", ""
	update(t, s, func(tx core.Tx) error {
		return errors.Join(tx.AddReplacement(first), tx.AddReplacement(second), tx.AddReplacement(elsewhere))
	})
	again := first
	again.ID = "rp-4"
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddReplacement(again) })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.AddReplacement(core.Replacement{ID: "rp-5", Project: "nowhere", Address: "a"})
	})

	update(t, s, func(tx core.Tx) error { return tx.BeginReplacement("shop", "rp-1", "r-1") })
	update(t, s, func(tx core.Tx) error { return tx.BeginReplacement("shop", "rp-1", "r-2") })
	for _, x := range []struct{ project, id string }{{"blog", "rp-2"}, {"shop", "rp-9"}} {
		refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.EndReplacement(x.project, x.id, "", at) })
		refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.BeginReplacement(x.project, x.id, "r-1") })
	}
	update(t, s, func(tx core.Tx) error {
		return errors.Join(tx.EndReplacement("shop", "rp-1", "", at), tx.EndReplacement("shop", "rp-2", "user:bo", at))
	})
	for _, id := range []string{"rp-1", "rp-2"} {
		refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.EndReplacement("shop", id, "user:bo", at) })
		refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.BeginReplacement("shop", id, "r-3") })
	}
	update(t, s, func(tx core.Tx) error { return tx.AddReplacement(again) }) // the first one is done

	first.Reason, elsewhere.Reason, again.Reason, second.Reason = "it is odd  ", "", "it is odd  ", "it is odd  "
	first.Run, first.Ended, second.Ended, second.TakenBack = "r-2", at, at, "user:bo"
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Replacements("shop", false)
		equal(t, "replacements", all, []core.Replacement{second, again, elsewhere, first})
		open, err2 := tx.Replacements("shop", true)
		equal(t, "open replacements", open, []core.Replacement{again, elsewhere})
		if first.Open() || !again.Open() || !again.Of("web", "dev") || again.Of("web", "staging") {
			t.Error("Open or Of")
		}
		return errors.Join(err, err2)
	})
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Replacements("shop", false)
		equal(t, "replacements of a removed project", len(all), 0)
		return err
	})
}
