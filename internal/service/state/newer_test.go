package state

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

// saved copies the database file of a stopped server, as a backup does.
func (b *bench) saved() (restore func()) {
	b.Helper()
	file := filepath.Join(b.dir, "terrace.db")
	if err := b.db.Close(); err != nil { // which also empties the log beside it
		b.Fatal(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	b.open()
	return func() {
		b.Helper()
		if err := b.db.Close(); err != nil {
			b.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o600); err != nil {
			b.Fatal(err)
		}
		b.open()
	}
}

func (b *bench) adoptNewer(want int) []Newer {
	b.Helper()
	found, err := b.AdoptNewer(b.Context(), HoldNewer)
	if err != nil || len(found) != want {
		b.Fatalf("found %+v, %v; want %d", found, err, want)
	}
	return found
}

func (b *bench) hold() (hold *core.Hold) {
	b.Helper()
	if err := b.db.View(b.Context(), func(tx core.Tx) error {
		e, err := tx.Environment("shop", "dev")
		hold = e.Hold
		return err
	}); err != nil {
		b.Fatal(err)
	}
	return hold
}

// TestSerialRegression restores an older database beside newer storage: the states
// that it does not know are kept in the recovery slot and the environment is held.
func TestSerialRegression(t *testing.T) {
	b := newBench(t)
	b.lock(ana, "l1")
	b.mustWrite(ana, "l1", body("lin", 1, "a"))
	restore := b.saved()
	newest := body("lin", 4, "a", "b", "c")
	b.mustWrite(ana, "l1", body("lin", 2, "a", "b"))
	b.mustWrite(ana, "l1", newest)
	b.unlock(ana, "l1")
	b.adoptNewer(0) // the database knows them
	restore()
	if err := b.ForceUnlock(t.Context(), ana, "shop", "web", "dev", "restored"); err != nil {
		t.Fatal(err)
	}

	found := b.adoptNewer(2)
	b.slot(4, 2)
	if hold := b.hold(); hold == nil || hold.Kind != core.HoldPerson || !strings.Contains(hold.Reason, "web@dev in storage has serial 2 and the database ends with serial 1") {
		t.Errorf("hold %+v", hold)
	}
	b.adoptNewer(0) // looked at again
	b.slot(4, 2)
	b.current(body("lin", 1, "a")) // nothing is current by itself
	for _, n := range found {
		if n.Serial == 4 {
			if _, err := b.Promote(t.Context(), ana, "shop", "web", "dev", n.Entry); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.current(newest)
}

// TestRegressionToNothing restores a database that knows the instance and no state of it.
func TestRegressionToNothing(t *testing.T) {
	b := newBench(t)
	b.update(func(tx core.Tx) error {
		return tx.PutInstance(core.InstanceState{Project: "shop", Stack: "web", Environment: "dev"})
	})
	restore := b.saved()
	b.lock(ana, "l1")
	b.mustWrite(ana, "l1", body("lin", 0, "a"))
	restore()
	if found := b.adoptNewer(1); found[0].Known != -1 {
		t.Errorf("found %+v", found)
	}
	b.slot(0)
	if hold := b.hold(); hold == nil || !strings.Contains(hold.Reason, "the database knows none") {
		t.Errorf("hold %+v", hold)
	}
}

// TestOrphansThatAreNotNewer are left to the collector: what was refused or dropped
// says nothing about a lost truth.
func TestOrphansThatAreNotNewer(t *testing.T) {
	b := newBench(t)
	b.lock(ana, "l1")
	b.mustWrite(ana, "l1", body("lin", 3, "a"))
	for _, content := range [][]byte{body("lin", 2), body("lin", 3, "a", "x"), []byte("not a state")} {
		if _, err := b.putBlob(t.Context(), "shop", "web", "dev", content); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.putBlob(t.Context(), "gone", "web", "dev", body("lin", 9)); err != nil {
		t.Fatal(err)
	}
	b.adoptNewer(0)
	b.slot()
}

// TestNewerWhileARunApplies leaves alone what the run's engine may still send again.
func TestNewerWhileARunApplies(t *testing.T) {
	b := newBench(t)
	c := b.run("r-1", core.RunApplying)
	b.lock(c, "l1")
	b.mustWrite(c, "l1", body("lin", 1, "a"))
	second := body("lin", 2, "a", "b")
	if _, err := b.putBlob(t.Context(), "shop", "web", "dev", second); err != nil { // killed before the row
		t.Fatal(err)
	}
	b.adoptNewer(0)
	b.mustWrite(c, "l1", second)
	b.move("r-1", core.RunSucceeded)
	b.adoptNewer(0)
	b.slot()
	if b.hold() != nil {
		t.Errorf("held: %+v", b.hold())
	}
}

// TestRecoverFindsAnUnacknowledgedWrite: server and engine died in a write; what had
// reached storage is what the recovered run left.
func TestRecoverFindsAnUnacknowledgedWrite(t *testing.T) {
	b := newBench(t)
	c := b.run("r-1", core.RunApplying)
	b.lock(c, "l1")
	b.mustWrite(c, "l1", body("lin", 1, "a"))
	second := body("lin", 2, "a", "b")
	if _, err := b.putBlob(t.Context(), "shop", "web", "dev", second); err != nil {
		t.Fatal(err)
	}
	b.move("r-1", core.RunUnknown)
	if err := b.Recover(t.Context(), core.Run{ID: "r-1", Project: "shop", Stack: "web", Environment: "dev"}); err != nil {
		t.Fatal(err)
	}
	b.current(second)
}
