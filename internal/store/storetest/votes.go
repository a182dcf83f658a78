package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func votes(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	first := core.Vote{ID: "v-2", Project: "shop", Stage: "st-1", Run: "r-1", Stack: "web",
		Binding: core.Binding{Release: 7, Environment: "dev", Plan: "p1", State: core.StateRef{Lineage: "l", Serial: 4}, Guardrails: "g"},
		By:      "user:ana", At: at, Reason: "looked at it \u2713", Approves: true}
	second := first
	second.ID, second.By, second.At, second.Approves, second.Reason = "v-1", "user:bob", at.Add(-time.Hour), false, "" // the clock was set back
	third := first
	third.ID, third.Run, third.Plan, third.State, third.Guardrails = "v-3", "r-2", "p2", core.StateRef{}, ""
	elsewhere := first
	elsewhere.ID, elsewhere.Stage, elsewhere.Run = "v-4", "st-2", "r-3"
	other := first
	other.ID, other.Stack, other.Run = "v-5", "db", "r-4"
	update(t, s, func(tx core.Tx) error {
		return errors.Join(tx.AddVote(first), tx.AddVote(second), tx.AddVote(third), tx.AddVote(elsewhere), tx.AddVote(other))
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddVote(first) })
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		v := first
		v.ID, v.Project = "v-9", "nowhere"
		return tx.AddVote(v)
	})

	update(t, s, func(tx core.Tx) error { return tx.VoidVote("v-2", "the plan is another one") })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.VoidVote("v-2", "again") })
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.VoidVote("v-9", "why") })
	first.Void = "the plan is another one"
	view(t, s, func(tx core.Tx) error {
		on, err := tx.VotesOn("st-1", "web")
		equal(t, "on the plans of a stage and stack", on, []core.Vote{first, second, third})
		if err != nil {
			return err
		}
		of, err := tx.VotesOf("r-1")
		equal(t, "on the plans of a run", of, []core.Vote{first, second})
		if err != nil {
			return err
		}
		none, err := tx.VotesOn("st-1", "nothing")
		equal(t, "on nothing", len(none), 0)
		return err
	})
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		of, err := tx.VotesOf("r-1")
		equal(t, "votes of a removed project", len(of), 0)
		return err
	})
}
