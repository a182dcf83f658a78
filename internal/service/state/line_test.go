package state

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// TestLine: engines beyond atOnce wait for their turn; one that gives up leaves the line,
// and a state that is here in full stays in it.
func TestLine(t *testing.T) {
	b := newBench(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	b.lock(ana, "l")

	// Somebody writes for so long that all who are let in wait for it.
	writing, written := make(chan struct{}), make(chan struct{})
	update := make(chan error, 1)
	go func() {
		update <- b.db.Update(context.WithoutCancel(ctx), func(core.Tx) error {
			close(writing)
			<-written
			return nil
		})
	}()
	<-writing
	inside := make(chan error, atOnce)
	for i := range atOnce {
		go func() { inside <- b.Lock(ctx, ana, "shop", "web", fmt.Sprint("e", i), lockBody("l")) }()
	}
	testkit.Eventually(t, time.Minute, "a full house", func() bool {
		if b.line.TryAcquire(1) {
			b.line.Release(1)
			return false
		}
		return true
	})

	// Reading waits for no writer, but for its turn.
	soon, giveUp := context.WithTimeout(ctx, 50*time.Millisecond)
	defer giveUp()
	_, _, err := b.Get(soon, ana, "shop", "web", "dev")
	wantCode(t, err, core.Unavailable, "waited for its turn")

	hungUp, hangUp := context.WithCancel(ctx)
	hangUp()
	state := body("a", 1, "x")
	stored := make(chan error, 1)
	go func() {
		_, err := b.Write(hungUp, ana, "shop", "web", "dev", "l", sum(state), state)
		stored <- err
	}()

	close(written)
	for range atOnce {
		if err := <-inside; err != nil {
			t.Error(err)
		}
	}
	if err := <-stored; err != nil {
		t.Error(err)
	}
	if err := <-update; err != nil {
		t.Error(err)
	}
	if got, _, err := b.Get(ctx, ana, "shop", "web", "dev"); err != nil || string(got) != string(state) {
		t.Errorf("got %s, %v", got, err)
	}
}
