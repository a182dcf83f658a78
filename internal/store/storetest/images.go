package storetest

import (
	"errors"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func images(t *testing.T, s core.Store) {
	seed(t, s, "shop", 0)
	seed(t, s, "shop~box", 0)
	older := core.Image{Project: "shop", Name: "web", Digest: "d1", ID: "ami-1", Run: "r-1", Release: core.Release{Project: "shop", Number: 3, Commit: "c3"}, Created: at}
	newer := older
	newer.Digest, newer.ID, newer.Created = "d2", "ami-2 ü", at.Add(time.Second)
	db := older
	db.Name = "db"
	update(t, s, func(tx core.Tx) error { return errors.Join(tx.AddImage(older), tx.AddImage(newer), tx.AddImage(db)) })
	refused(t, s, core.Conflict, func(tx core.Tx) error { return tx.AddImage(older) })
	for _, key := range [][3]string{{"shop", "web", "d3"}, {"shop", "cache", "d1"}, {"shop~box", "web", "d1"}} {
		refused(t, s, core.NotFound, func(tx core.Tx) error { _, err := tx.Image(key[0], key[1], key[2]); return err })
		refused(t, s, core.NotFound, func(tx core.Tx) error { return tx.DeleteImage(key[0], key[1], key[2]) })
	}
	refused(t, s, core.NotFound, func(tx core.Tx) error {
		return tx.AddImage(core.Image{Project: "nowhere", Name: "web", Digest: "d", ID: "x", Created: at})
	})
	view(t, s, func(tx core.Tx) error {
		got, err := tx.Image("shop", "web", "d2")
		equal(t, "an image", got, newer)
		all, err2 := tx.Images("shop")
		equal(t, "images", all, []core.Image{db, newer, older})
		return errors.Join(err, err2)
	})
	update(t, s, func(tx core.Tx) error { return tx.DeleteImage("shop", "web", "d2") })
	update(t, s, func(tx core.Tx) error { return tx.AddImage(newer) }) // built again
	update(t, s, func(tx core.Tx) error { return tx.RemoveProject("shop") })
	view(t, s, func(tx core.Tx) error {
		none, err := tx.Images("shop")
		equal(t, "images of a removed project", len(none), 0)
		return err
	})
}

// oneBuilder: an image is built by one run at a time, wherever it is wanted.
func oneBuilder(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	build := func(id, environment, name, digest string) core.Run {
		r := run(id, core.ImageStack(name), environment, release("shop", 1))
		r.Kind, r.InputDigest = core.KindImage, digest
		return r
	}
	first := build("r-1", "dev", "web", "d1")
	update(t, s, func(tx core.Tx) error { return tx.AddRun(first) })
	for _, status := range []core.RunStatus{core.RunQueued, core.RunPreparing, core.RunBuilding, core.RunSucceeded} {
		update(t, s, func(tx core.Tx) error {
			from := first.Status
			first.Status = status
			return tx.UpdateRun(first, from)
		})
		second := build("r-2 "+string(status), "eu", "web", "d1")
		err := s.Update(t.Context(), func(tx core.Tx) error { return tx.AddRun(second) })
		if got := core.CodeOf(err) == core.Conflict; got == status.Terminal() {
			t.Errorf("a second builder beside one that is %s: %v", status, err)
		}
	}
	update(t, s, func(tx core.Tx) error {
		return errors.Join(tx.AddRun(build("r-3", "dev", "web", "d2")), tx.AddRun(build("r-4", "dev", "db", "d1")))
	})
}
