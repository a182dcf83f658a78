package storetest

import (
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func drifts(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	web := core.Drift{Project: "shop", Stack: "web", Environment: "dev", Run: "r-1", State: "v1", Changed: 2, Gone: 1, Outputs: 3, Hosts: 4, Looked: at}
	db := core.Drift{Project: "shop", Stack: "db", Environment: "production", Run: "r-2", Looked: at, Error: "the cloud is away"}
	later := web
	later.Run, later.State, later.Changed, later.Gone, later.Outputs, later.Hosts, later.Looked = "r-3", "v2", 0, 0, 0, 0, at.Add(time.Hour)
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.PutDrift(core.Drift{Project: "nowhere"}) })
	update(t, s, func(tx core.Tx) error { return tx.PutDrift(web) })
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Drift("shop", "web", "dev")
		if err != nil {
			return err
		}
		equal(t, "the look", got, web)
		none, err := tx.Drift("shop", "db", "dev")
		equal(t, "no look", none, core.Drift{Project: "shop", Stack: "db", Environment: "dev"})
		return err
	})
	update(t, s, func(tx core.Tx) error { return tx.PutDrift(db) })
	update(t, s, func(tx core.Tx) error { return tx.PutDrift(later) })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Drifts("shop")
		equal(t, "all looks", all, []core.Drift{later, db})
		return err
	})
	// A look goes with its instance, and takes the place of what the other one had.
	other := web
	other.Stack = "site"
	update(t, s, func(tx core.Tx) error {
		if err := tx.PutDrift(other); err != nil {
			return err
		}
		return tx.PutInstance(core.InstanceState{Project: "shop", Stack: "web", Environment: "dev"})
	})
	update(t, s, func(tx core.Tx) error {
		return tx.MoveInstance(core.Move{Project: "shop", Environment: "dev", From: "web", To: "site", Release: 1, At: at})
	})
	later.Stack = "site"
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Drifts("shop")
		equal(t, "all looks after a move", all, []core.Drift{later, db})
		return err
	})
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Drifts("shop")
		equal(t, "looks of a removed project", len(all), 0)
		return err
	})
}
