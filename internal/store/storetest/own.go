package storetest

import (
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func ownStates(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	own := func(stack, environment string) core.OwnState {
		return core.OwnState{Project: "shop", Stack: stack, Environment: environment, Backend: "s3", Lineage: "l", Serial: 7, Resources: 3, Digest: "d", Run: "r-1", Seen: at}
	}
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.OwnState("shop", "web", "dev"); return err })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		nowhere := own("web", "dev")
		nowhere.Project = "nowhere"
		return tx.PutOwnState(nowhere)
	})
	web, db, later := own("web", "dev"), own("db", "dev"), own("web", "dev")
	later.Backend, later.Lineage, later.Serial, later.Resources, later.Digest, later.Run = "pg", "m", 8, 0, "e", "r-2"
	update(t, s, func(tx core.Tx) error {
		for _, o := range []core.OwnState{web, own("web", "production"), db, later} {
			if err := tx.PutOwnState(o); err != nil {
				return err
			}
		}
		return tx.DeleteOwnState("shop", "nothing", "dev")
	})
	view(t, s, func(tx core.Tx) error {
		got, err := tx.OwnState("shop", "web", "dev")
		if err != nil {
			return err
		}
		equal(t, "the later one", got, later)
		all, err := tx.OwnStates("shop")
		equal(t, "all", all, []core.OwnState{db, later, own("web", "production")})
		return err
	})
	update(t, s, func(tx core.Tx) error { return tx.DeleteOwnState("shop", "web", "dev") })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.OwnState("shop", "web", "dev"); return err })
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		all, err := tx.OwnStates("shop")
		equal(t, "those of a removed project", len(all), 0)
		return err
	})
}
