package state

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestLocks(t *testing.T) {
	b := newBench(t)
	bob := ana
	bob.By = "user:bob"
	b.lock(ana, "l1")
	b.lock(ana, "l1") // a reply lost
	for _, c := range []struct {
		caller Caller
		id     string
	}{{ana, "l2"}, {bob, "l2"}, {bob, "l1"}} {
		err := b.Lock(t.Context(), c.caller, "shop", "web", "dev", lockBody(c.id))
		var locked *Locked
		if core.CodeOf(err) != core.Conflict || !errors.As(err, &locked) || !bytes.Equal(locked.Info, lockBody("l1")) {
			t.Errorf("%s with %s: got %v, want a conflict with the holder's info", c.caller.By, c.id, err)
		}
	}
	if err := b.Lock(t.Context(), bob, "shop", "web", "production", lockBody("l2")); err != nil {
		t.Errorf("another instance: %v", err)
	}
	wantCode(t, b.Unlock(t.Context(), ana, "shop", "web", "dev", lockBody("l2")), core.Conflict, "locked by user:ana")
	b.unlock(ana, "l1")
	b.unlock(ana, "l1") // a reply lost
	b.lock(bob, "l3")
	if err := b.Unlock(t.Context(), ana, "shop", "web", "dev", nil); err != nil { // terraform force-unlock
		t.Error(err)
	}
	b.lock(bob, "l4")
	b.unlock(ana, "l4") // tofu force-unlock l4
	b.lock(bob, "l5")
	if err := b.ForceUnlock(t.Context(), ana, "shop", "web", "dev", "bob is on holiday"); err != nil {
		t.Error(err)
	}
	wantCode(t, b.ForceUnlock(t.Context(), ana, "shop", "web", "dev", ""), core.NotFound, "no lock on web@dev")
	for _, info := range []string{"", "x", "[]", `{"ID":""}`, `{}`, `{"ID":"` + strings.Repeat("x", 201) + `"}`, `{"ID":"a","Info":"` + strings.Repeat("x", MaxLockInfo) + `"}`} {
		wantCode(t, b.Lock(t.Context(), ana, "shop", "web", "dev", []byte(info)), core.Invalid, "lock info")
	}
	reader := ana
	reader.CanWrite = false
	wantCode(t, b.Lock(t.Context(), reader, "shop", "web", "dev", lockBody("l1")), core.Denied, "only read")
	var taken int
	if err := b.db.View(t.Context(), func(tx core.Tx) error {
		events, err := tx.Events("shop", 0, 0)
		for _, e := range events {
			if e.Kind == "state.unlocked" && e.By == "user:ana" && e.Data["holder"] == "user:bob" {
				taken++
			}
		}
		return err
	}); err != nil || taken != 3 {
		t.Errorf("%d of 3 locks taken away are in the audit log, %v", taken, err)
	}
}

// TestWhoIsRefusedDoesNotWaitForWriters: a lock that somebody has is refused while another
// update is under way; one that is free is given when the update is over, to one caller.
func TestWhoIsRefusedDoesNotWaitForWriters(t *testing.T) {
	b := newBench(t)
	b.lock(ana, "l1")
	writing, written := make(chan struct{}), make(chan struct{})
	over := make(chan error, 1)
	go func() {
		over <- b.db.Update(context.WithoutCancel(t.Context()), func(core.Tx) error {
			close(writing)
			<-written
			return nil
		})
	}()
	<-writing
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	wantCode(t, b.Lock(ctx, ana, "shop", "web", "dev", lockBody("l2")), core.Conflict, "locked by user:ana")
	const clients = 8
	got := make(chan error, clients)
	for i := range clients {
		go func() { got <- b.Lock(ctx, ana, "shop", "web", "production", lockBody(fmt.Sprint("p", i))) }()
	}
	close(written)
	if err := <-over; err != nil {
		t.Fatal(err)
	}
	had := 0
	for range clients {
		err := <-got
		if err == nil {
			had++
		} else {
			wantCode(t, err, core.Conflict, "locked by user:ana")
		}
	}
	if had != 1 {
		t.Errorf("%d callers have the lock", had)
	}
}

// TestLockOfAnEarlierPhase: an engine killed in plan leaves its lock; the same run's
// apply takes it over, and what the dead engine might still send is refused.
func TestLockOfAnEarlierPhase(t *testing.T) {
	b := newBench(t)
	r := b.run("r-1", core.RunPlanning)
	b.lock(r, "plan")
	wantCode(t, b.Lock(t.Context(), r, "shop", "web", "dev", lockBody("second plan")), core.Conflict, "locked by run:r-1")
	b.move("r-1", core.RunApplying)
	b.lock(r, "apply")
	wantCode(t, b.Lock(t.Context(), r, "shop", "web", "dev", lockBody("second apply")), core.Conflict, "locked by run:r-1")
	_, err := b.write(r, "plan", body("lin", 1))
	wantCode(t, err, core.Conflict, "lock that is gone")
	b.mustWrite(r, "apply", body("lin", 1))
	b.update(func(tx core.Tx) error {
		return b.ReleaseRunLocks(tx, core.Run{ID: "r-other", Project: "shop", Stack: "web", Environment: "dev"})
	})
	b.mustWrite(r, "apply", body("lin", 2)) // another run's end took nothing away
}
