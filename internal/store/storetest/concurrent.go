package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

// together runs f n times at once.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		all.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	all.Wait()
}

// guardRace: of many who move a run on, one does.
func guardRace(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	r := run("r-1", "web", "dev", release("shop", 1))
	update(t, s, func(tx core.Tx) error { return tx.AddRun(r) })
	r.Status = core.RunPreparing
	var moved, refusedBy atomic.Int64
	together(64, func(int) {
		switch err := s.Update(t.Context(), func(tx core.Tx) error {
			if err := tx.UpdateRun(r, core.RunQueued); err != nil {
				return err
			}
			return tx.AddEvent(core.Event{Kind: "moved"})
		}); core.CodeOf(err) {
		case "":
			moved.Add(1)
		case core.Conflict:
			refusedBy.Add(1)
		default:
			t.Error(err)
		}
	})
	equal(t, "moved and refused", []int64{moved.Load(), refusedBy.Load()}, []int64{1, 63})
	verify(t, s, 1)
}

// writeSkew: everybody looks at all places and takes a place of their own only when
// none is taken. Transactions that only look serialised let two of them do it.
func writeSkew(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	const places = 32
	name := func(i int) string { return fmt.Sprint("s-", i) }
	for range 3 {
		var taken atomic.Int64
		together(places, func(i int) {
			if err := s.Update(t.Context(), func(tx core.Tx) error {
				for other := range places {
					if _, err := tx.Lock("shop", name(other), "dev"); core.CodeOf(err) != core.NotFound {
						return err
					}
				}
				return tx.PutLock(core.StateLock{Project: "shop", Stack: name(i), Environment: "dev", ID: "l", Fence: 1, Created: at})
			}); err != nil {
				t.Error(err)
			}
		})
		update(t, s, func(tx core.Tx) error {
			for i := range places {
				if _, err := tx.Lock("shop", name(i), "dev"); err == nil {
					taken.Add(1)
				}
				if err := tx.DeleteLock("shop", name(i), "dev"); err != nil {
					return err
				}
			}
			return nil
		})
		if taken.Load() != 1 {
			t.Fatalf("%d took a place, want 1", taken.Load())
		}
	}
}

// failuresBeside: an update that fails, in whatever way, takes nothing of another
// one along and leaves nothing of its own: neither rows nor a gap in the audit log.
func failuresBeside(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	stop := errors.New("stop")
	const writers = 150
	var results [writers]error
	together(writers, func(i int) {
		defer func() {
			if recover() != nil {
				results[i] = stop
			}
		}()
		results[i] = s.Update(t.Context(), func(tx core.Tx) error {
			if i%7 == 0 { // written before the rows that follow
				if _, err := tx.LastEvent(); err != nil {
					return err
				}
			}
			name := fmt.Sprint("p-", i)
			if err := tx.AddProject(project(name)); err != nil {
				return err
			}
			if err := tx.AddEvent(core.Event{Kind: "added", On: name}); err != nil {
				return err
			}
			if i%7 == 1 {
				if _, err := tx.Events("", 0, 1); err != nil {
					return err
				}
			}
			switch i % 5 {
			case 1:
				return stop
			case 2: // refused by the database itself
				return tx.AddRelease(release("nobody", 1))
			case 3:
				if i%2 == 0 {
					panic("in the middle")
				}
			}
			return tx.AddEvent(core.Event{Kind: "ready", On: name})
		})
	})
	want := map[string]int{}
	for i, err := range results {
		switch {
		case err == nil:
			want[fmt.Sprint("p-", i)] = 2
		case errors.Is(err, stop), i%5 == 2 && core.CodeOf(err) == core.NotFound:
		default:
			t.Errorf("%d: %v (%s)", i, err, core.CodeOf(err))
		}
	}
	if len(want) != 75 {
		t.Fatalf("%d of %d succeeded, want 75", len(want), writers)
	}
	view(t, s, func(tx core.Tx) error {
		projects, err := tx.Projects()
		if err != nil {
			return err
		}
		if len(projects) != len(want)+1 { // and shop
			t.Errorf("%d projects, want %d", len(projects), len(want)+1)
		}
		events, err := tx.Events("", 0, 0)
		if err != nil {
			return err
		}
		got := map[string]int{}
		for i, e := range events {
			if e.Seq != int64(i)+1 || i%2 == 1 && e.On != events[i-1].On {
				t.Fatalf("event %d is %+v: updates are not one after the other", i+1, e)
			}
			got[e.On]++
		}
		equal(t, "events", got, want)
		return nil
	})
	verify(t, s, int64(2*len(want)))
}

// ownEvents: an update sees the events that it added.
func ownEvents(t *testing.T, s core.Store) {
	update(t, s, func(tx core.Tx) error {
		for i := range 200 {
			if err := tx.AddEvent(core.Event{Kind: "test", Project: fmt.Sprint(i % 2)}); err != nil {
				return err
			}
			if i%50 != 0 {
				continue
			}
			last, err := tx.LastEvent()
			if err != nil {
				return err
			}
			all, err := tx.Events("", 0, 0)
			if err != nil {
				return err
			}
			equal(t, "last event, and how many", []int64{last, int64(len(all))}, []int64{int64(i) + 1, int64(i) + 1})
		}
		return nil
	})
	verify(t, s, 200)
	if err := s.View(t.Context(), func(tx core.Tx) error { return tx.AddEvent(core.Event{Kind: "test"}) }); err == nil {
		t.Error("an event was added in a view")
	}
	verify(t, s, 200)
}

// swallowed: what the database itself refused ends the update, also when its
// function goes on as if nothing had happened; what a method refused does not.
func swallowed(t *testing.T, s core.Store) {
	seed(t, s, "shop", 1)
	other := run("r-2", "web", "dev", release("shop", 1))
	other.Status = core.RunCancelled
	update(t, s, func(tx core.Tx) error {
		if err := tx.AddRun(other); err != nil {
			return err
		}
		return tx.AddRun(run("r-1", "web", "dev", release("shop", 1)))
	})
	other.Status = core.RunApplying // and r-1 is queued: two writers of one instance
	refused(t, s, core.Conflict, func(tx core.Tx) error {
		if err := tx.AddProject(project("gone")); err != nil {
			return err
		}
		if err := tx.UpdateRun(other, core.RunCancelled); core.CodeOf(err) != core.Conflict {
			t.Errorf("a second writer: %v, want a conflict", err)
		}
		return nil
	})
	update(t, s, func(tx core.Tx) error {
		for what, err := range map[string]error{
			"a name that is taken": tx.AddProject(project("shop")),
			"a status that is not": tx.UpdateRun(other, core.RunApplying),
		} {
			if core.CodeOf(err) != core.Conflict {
				t.Errorf("%s: %v, want a conflict", what, err)
			}
		}
		if _, err := tx.Project("a\x00b"); core.CodeOf(err) != core.Invalid {
			t.Errorf("a bad name: %v, want invalid", err)
		}
		return tx.AddProject(project("kept"))
	})
	view(t, s, func(tx core.Tx) error {
		projects, err := tx.Projects()
		if err != nil {
			return err
		}
		equal(t, "projects", []string{projects[0].Name, projects[1].Name}, []string{"kept", "shop"})
		return nil
	})
}
