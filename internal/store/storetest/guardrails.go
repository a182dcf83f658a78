package storetest

import (
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func guardrails(t *testing.T, s core.Store) {
	view(t, s, func(tx core.Tx) error {
		n, err := tx.GuardrailsVersion()
		equal(t, "the version of none", n, int64(0))
		return err
	})
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Guardrails(0); return err })
	one := core.Guardrails{Version: 1, Digest: "d1", Files: map[string]string{"guardrails.hcl": "# é 😀\x00\n", "policies/a.rego": ""}, By: "user:ana", Created: at}
	two := core.Guardrails{Version: 2, Digest: "d2", Files: map[string]string{"guardrails.hcl": ""}, By: "user:ben", Created: at.Add(1000)}
	for _, g := range []core.Guardrails{one, two} {
		update(t, s, func(tx core.Tx) error { return tx.AddGuardrails(g) })
	}
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddGuardrails(two) })
	refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Guardrails(3); return err })
	view(t, s, func(tx core.Tx) error {
		n, err := tx.GuardrailsVersion()
		equal(t, "the newest version", n, int64(2))
		if err != nil {
			return err
		}
		for version, want := range map[int64]core.Guardrails{0: two, 1: one, 2: two} {
			got, err := tx.Guardrails(version)
			equal(t, "guardrails", got, want)
			if err != nil {
				return err
			}
		}
		history, err := tx.GuardrailsHistory()
		one, two := one, two
		one.Files, two.Files = nil, nil
		equal(t, "history", history, []core.Guardrails{two, one})
		return err
	})
}
