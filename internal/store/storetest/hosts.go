package storetest

import (
	"errors"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func hosts(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.PutHost(core.Host{Project: "nowhere", Name: "a"}) })
	one := core.Host{Project: "shop", Stack: "web", Environment: "dev", Name: "web-1", Identity: "i-1", Digest: "d1", Run: "r-1", At: at,
		Keys: []string{"ssh-ed25519 AAAA", "ecdsa-sha2-nistp256 BBBB"}}
	two := core.Host{Project: "shop", Stack: "web", Environment: "dev", Name: "web-2"}
	gate := core.Host{Project: "shop", Stack: "web", Environment: "dev", Name: "bastion:192.0.2.1", Keys: []string{"ssh-ed25519 CCCC"}}
	elsewhere := one
	elsewhere.Environment = "production"
	update(t, s, func(tx core.Tx) error {
		return errors.Join(tx.PutInstance(core.InstanceState{Project: "shop", Stack: "web", Environment: "dev"}),
			tx.PutHost(two), tx.PutHost(one), tx.PutHost(gate), tx.PutHost(elsewhere))
	})
	of := func(stack, environment string, want ...core.Host) {
		t.Helper()
		view(t, s, func(tx core.Tx) error {
			got, err := tx.Hosts("shop", stack, environment)
			equal(t, "hosts of "+core.InstanceName(stack, environment), append([]core.Host(nil), got...), want)
			return err
		})
	}
	of("web", "dev", gate, one, two)
	of("db", "dev")
	one.Identity, one.Digest, one.Run, one.Keys = "i-2", "", "", nil
	update(t, s, func(tx core.Tx) error {
		return errors.Join(tx.PutHost(one), tx.DeleteHost("shop", "web", "dev", "web-2"), tx.DeleteHost("shop", "web", "dev", "nobody"))
	})
	of("web", "dev", gate, one)

	// They go with the instance, and take the place of what the other one had.
	stale := two
	stale.Stack, stale.Name = "site", "old"
	update(t, s, func(tx core.Tx) error { return tx.PutHost(stale) })
	update(t, s, func(tx core.Tx) error {
		return tx.MoveInstance(core.Move{Project: "shop", Environment: "dev", From: "web", To: "site", Release: 1, At: at})
	})
	gate.Stack, one.Stack = "site", "site"
	of("web", "dev")
	of("site", "dev", gate, one)
	update(t, s, func(tx core.Tx) error { return tx.DeleteInstance("shop", "site", "dev") })
	of("site", "dev")
	of("web", "production", elsewhere)
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	of("web", "production")
}
