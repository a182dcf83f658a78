package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func moves(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	move := func(from, to string) core.Move {
		return core.Move{Project: "shop", Environment: "dev", From: from, To: to, Release: 1, At: at}
	}
	web := core.InstanceState{Project: "shop", Stack: "web", Environment: "dev", Digest: "d", Components: map[string]string{"a": "b"}, Provision: "p",
		Release: release("shop", 1), Since: at, Run: "r-1", RunStatus: core.RunSucceeded, Applied: 1, Commit: release("shop", 1).Commit, HasState: true}
	refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.MoveInstance(move("nothing", "site")) })
	kept, current := addVersion(t, s, version("shop", "web", "dev", 1)), addVersion(t, s, version("shop", "web", "dev", 2))
	elsewhere := addVersion(t, s, version("shop", "web", "production", 1))
	// The new one was there before, and has nothing any more.
	gone := version("shop", "site", "dev", 7)
	gone.Lineage, gone.Resources = "another", 0
	gone = addVersion(t, s, gone)
	exception := core.Exception{ID: "x-1", Project: "shop", Stack: "web", Environment: "dev", Address: "a.b", Reason: "r", By: "user:ana", Created: at, Expires: at.Add(time.Hour)}
	slot := core.Recovered{Project: "shop", Stack: "web", Environment: "dev", Serial: 3, Lineage: "lineage", MD5: "m", Size: 1, Blob: "states/r", By: "user:ana", Reason: "late", Created: at}
	update(t, s, func(tx core.Tx) (err error) {
		slot.ID, err = tx.AddRecovered(slot)
		done := run("r-1", "web", "dev", release("shop", 1))
		done.Status = core.RunSucceeded
		return errors.Join(err, tx.PutInstance(web), tx.PutInstance(core.InstanceState{Project: "shop", Stack: "site", Environment: "dev", Digest: "old"}),
			tx.AddException(exception), tx.AddRun(done))
	})

	lock := core.StateLock{Project: "shop", Stack: "web", Environment: "dev", ID: "l", Fence: 1, Created: at}
	update(t, s, func(tx core.Tx) error { return tx.PutLock(lock) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.MoveInstance(move("web", "site")) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.MoveInstance(move("other", "web")) })
	update(t, s, func(tx core.Tx) error { return tx.DeleteLock("shop", "web", "dev") })
	active := run("r-2", "site", "dev", release("shop", 1))
	update(t, s, func(tx core.Tx) error { return tx.AddRun(active) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.MoveInstance(move("web", "site")) })
	update(t, s, func(tx core.Tx) error {
		from := active.Status
		active.Status = core.RunCancelled
		return tx.UpdateRun(active, from)
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.MoveInstance(move("site", "web")) }) // it has resources

	update(t, s, func(tx core.Tx) error { return tx.MoveInstance(move("web", "site")) })
	site := web
	site.Stack, site.Digest, site.MovedFrom = "site", "", "web"
	exception.Stack, slot.Stack, kept.Stack, current.Stack = "site", "site", "site", "site"
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Instances("shop")
		if err != nil {
			return err
		}
		equal(t, "instances", all, []core.InstanceState{site})
		versions, err := tx.StateVersions("shop", "site", "dev", 0)
		if err != nil {
			return err
		}
		equal(t, "versions", versions, []core.StateVersion{gone, current, kept})
		now, err := tx.CurrentState("shop", "site", "dev")
		if err != nil {
			return err
		}
		equal(t, "the current state", now, current)
		other, err := tx.CurrentState("shop", "web", "production")
		if err != nil {
			return err
		}
		equal(t, "that of another environment", other, elsewhere)
		slots, err := tx.Recovereds("shop", "site", "dev")
		if err != nil {
			return err
		}
		equal(t, "the recovery slot", slots, []core.Recovered{slot})
		exceptions, err := tx.Exceptions("shop")
		if err != nil {
			return err
		}
		equal(t, "exceptions", exceptions, []core.Exception{exception})
		runs, err := tx.Runs(core.RunFilter{Project: "shop", Stack: "web", Environment: "dev"})
		if err != nil {
			return err
		}
		equal(t, "runs of the old name", len(runs), 1)
		moved, err := tx.Moves("shop")
		equal(t, "moves", moved, []core.Move{move("web", "site")})
		return err
	})
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.MoveInstance(move("web", "site")) })

	// On it goes, and back: the name that its code has is the one it was applied under.
	update(t, s, func(tx core.Tx) error { return tx.MoveInstance(move("site", "pages")) })
	movedFrom(t, s, "pages", "web")
	update(t, s, func(tx core.Tx) error { return tx.MoveInstance(move("pages", "web")) })
	movedFrom(t, s, "web", "")
	view(t, s, func(tx core.Tx) error {
		moved, err := tx.Moves("shop")
		equal(t, "names", core.Formerly(moved, "web", "dev"), []string{"web", "pages", "site"})
		equal(t, "names elsewhere", core.Formerly(moved, "web", "production"), []string{"web"})
		return err
	})

	// Somebody copied the state to where it would come from.
	again := version("shop", "pages", "dev", 2)
	again.Resources = 0
	addVersion(t, s, again)
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.MoveInstance(move("web", "pages")) })

	ownMoves(t, s)
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		moved, err := tx.Moves("shop")
		equal(t, "moves of a removed project", len(moved), 0)
		return err
	})
}

// ownMoves are those of states in backends of the stacks' own.
func ownMoves(t *testing.T, s core.Store) {
	t.Helper()
	own := core.OwnState{Project: "shop", Stack: "db", Environment: "dev", Backend: "s3", Lineage: "l", Serial: 7, Resources: 3, Digest: "d", Run: "r-1", Seen: at}
	other := own
	other.Stack = "store"
	move := core.Move{Project: "shop", Environment: "dev", From: "db", To: "store", Release: 1, At: at}
	update(t, s, func(tx core.Tx) error { return errors.Join(tx.PutOwnState(own), tx.PutOwnState(other)) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.MoveInstance(move) })
	other.Resources = 0
	update(t, s, func(tx core.Tx) error { return tx.PutOwnState(other) })
	update(t, s, func(tx core.Tx) error { return tx.MoveInstance(move) })
	own.Stack = "store"
	view(t, s, func(tx core.Tx) error {
		got, err := tx.OwnState("shop", "store", "dev")
		equal(t, "the state", got, own)
		return err
	})
}

func movedFrom(t *testing.T, s core.Store, stack, want string) {
	t.Helper()
	view(t, s, func(tx core.Tx) error {
		i, err := tx.Instance("shop", stack, "dev")
		equal(t, "what "+stack+" was", i.MovedFrom, want)
		equal(t, "its state", i.HasState, true)
		return err
	})
}
