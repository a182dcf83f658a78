// Package storetest is the suite that every core.Store passes: it says in code what
// core's ports promise. An implementation's own test calls Run with a function that
// opens an empty store.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/core"
)

// Open opens an empty store and registers its Close with t.
type Open func(t *testing.T) core.Store

// Run runs the suite.
func Run(t *testing.T, open Open) {
	ignore := goleak.IgnoreCurrent()
	tests := []struct {
		name string
		run  func(*testing.T, core.Store)
	}{
		{"transactions", transactions},
		{"fences", fences},
		{"projects", projects},
		{"a release that is the newest again", renumbered},
		{"removing a project", removal},
		{"secrets", secrets},
		{"releases", releases},
		{"finding releases", findingReleases},
		{"rollouts", rollouts},
		{"stages", stages},
		{"environments", environments},
		{"runs", runs},
		{"run filters", runFilters},
		{"one writer per instance", oneWriter},
		{"heartbeats", heartbeats},
		{"run documents", runDocs},
		{"logs", logs},
		{"log retention", logRetention},
		{"verifications", verifications},
		{"instances", instances},
		{"many instances", manyInstances},
		{"state versions", stateVersions},
		{"deleted states", deletedStates},
		{"state retention", stateRetention},
		{"locks", locks},
		{"held", held},
		{"exceptions", exceptions},
		{"replacements", replacements},
		{"previews", previews},
		{"freezes", freezes},
		{"guardrails", guardrails},
		{"votes", votes},
		{"racing for a lock", lockRace},
		{"recovered states", recovereds},
		{"own states", ownStates},
		{"moves", moves},
		{"drifts", drifts},
		{"hosts", hosts},
		{"modules", modules},
		{"release modules", releaseModules},
		{"images", images},
		{"one builder per image", oneBuilder},
		{"everything", everything},
		{"tokens", tokens},
		{"events", events},
		{"keys", keys},
		{"leases", leases},
		{"racing for a lease", leaseRace},
		{"text", text},
		{"text that cannot be stored", badText},
		{"order", order},
		{"case", letterCase},
		{"times", times},
		{"numbers and bytes", numbersAndBytes},
		{"guards under load", guardRace},
		{"write skew", writeSkew},
		{"updates that fail beside others", failuresBeside},
		{"reading one's own events", ownEvents},
		{"an error that is swallowed", swallowed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			store := open(t)
			test.run(t, store)
			if err := store.Close(); err != nil {
				t.Errorf("closing: %v", err)
			}
		})
	}
	goleak.VerifyNone(t, ignore)
}

// at is a time that survives being stored.
var at = time.Date(2026, 3, 29, 1, 30, 0, 123456000, time.UTC)

func update(t *testing.T, s core.Store, f func(core.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

func view(t *testing.T, s core.Store, f func(core.Tx) error) {
	t.Helper()
	if err := s.View(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// refused runs f and wants an error with a code, and nothing changed by it.
func refused(t *testing.T, s core.Store, code core.Code, f func(core.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), f); core.CodeOf(err) != code {
		t.Fatalf("got %v (%s), want a %s error", err, core.CodeOf(err), code)
	}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func project(name string) core.Project {
	return core.Project{Name: name, Repo: "https://git.example/" + name, Branch: "main", Path: ".", Created: at}
}

func release(project string, n int64) core.Release {
	return core.Release{Project: project, Number: n, Commit: fmt.Sprintf("%040x", n*0x1000001), Author: "Ana <ana@example.org>", Committer: "Bob <bob@example.org>",
		Message: fmt.Sprintf("Change %d\n\nbody", n), Committed: at.Add(time.Duration(n) * time.Minute), Created: at}
}

func rollout(id string, r core.Release, environments ...string) core.Rollout {
	v := core.Rollout{ID: id, Project: r.Project, Kind: core.RolloutPromotion, Release: r, Status: core.RolloutRunning, By: "push", Created: at}
	for i, e := range environments {
		v.Stages = append(v.Stages, core.Stage{ID: id + "-" + e, Rollout: id, Project: r.Project, Environment: e, Position: i, Status: core.StageWaiting})
	}
	return v
}

func run(id, stack, environment string, r core.Release) core.Run {
	return core.Run{ID: id, Project: r.Project, Stack: stack, Environment: environment, Kind: core.KindDeploy, Status: core.RunQueued, Release: r, Created: at, PhaseAt: at}
}

// seed adds project p with releases 1 to n.
func seed(t *testing.T, s core.Store, p string, n int64) {
	t.Helper()
	update(t, s, func(tx core.Tx) error {
		if err := tx.AddProject(project(p)); err != nil {
			return err
		}
		for i := int64(1); i <= n; i++ {
			if err := tx.AddRelease(release(p, i)); err != nil {
				return err
			}
		}
		return nil
	})
}

func transactions(t *testing.T, s core.Store) {
	stop := errors.New("stop")
	err := s.Update(t.Context(), func(tx core.Tx) error {
		if err := tx.AddProject(project("gone")); err != nil {
			return err
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Fatalf("got %v, want the function's own error", err)
	}
	view(t, s, func(tx core.Tx) error {
		all, err := tx.Projects()
		equal(t, "projects after a rollback", len(all), 0)
		return err
	})

	func() {
		defer func() { _ = recover() }()
		_ = s.Update(t.Context(), func(tx core.Tx) error {
			if err := tx.AddProject(project("gone")); err != nil {
				return err
			}
			panic("in the middle")
		})
	}()
	update(t, s, func(tx core.Tx) error { // the lock is free again
		if _, err := tx.Project("gone"); core.CodeOf(err) != core.NotFound {
			t.Errorf("a panic left its changes: %v", err)
		}
		return nil
	})

	if err := s.View(t.Context(), func(tx core.Tx) error { return tx.AddProject(project("gone")) }); err == nil {
		t.Error("writing in a view succeeded")
	}
	if err := s.Peek(t.Context(), func(tx core.Tx) error { return tx.AddProject(project("gone")) }); err == nil {
		t.Error("writing in a peek succeeded")
	}
	if err := s.Peek(t.Context(), func(tx core.Tx) error { _, err := tx.Project("gone"); return err }); core.CodeOf(err) != core.NotFound {
		t.Errorf("a peek: %v", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = s.Update(ctx, func(tx core.Tx) error { return tx.AddProject(project("gone")) })
	if core.CodeOf(err) != core.Unavailable || !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context: got %v (%s), want unavailable", err, core.CodeOf(err))
	}

	// A view keeps its snapshot while others write.
	view(t, s, func(tx core.Tx) error {
		before, err := tx.Projects()
		if err != nil {
			return err
		}
		update(t, s, func(tx core.Tx) error { return tx.AddProject(project("new")) })
		after, err := tx.Projects()
		equal(t, "projects in one view", after, before)
		return err
	})
	view(t, s, func(tx core.Tx) error {
		_, err := tx.Project("new")
		return err
	})

	view(t, s, func(tx core.Tx) error {
		if now := tx.Now(); now.Location() != time.UTC || !now.Equal(tx.Now()) || now.Truncate(time.Microsecond) != now {
			t.Errorf("Now is %v: want one UTC instant in microseconds", now)
		}
		return nil
	})
}

func fences(t *testing.T, s core.Store) {
	const writers, each = 8, 10
	given := make(chan int64, writers*each)
	failed := make(chan error, writers)
	for range writers {
		go func() {
			last := int64(0)
			for range each {
				var fence int64
				err := s.Update(t.Context(), func(tx core.Tx) (err error) {
					fence, err = tx.NextFence()
					return err
				})
				if err == nil && fence <= last {
					err = fmt.Errorf("fence %d came after %d", fence, last)
				}
				if err != nil {
					failed <- err
					return
				}
				last = fence
				given <- fence
			}
			failed <- nil
		}()
	}
	for range writers {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
	close(given)
	seen := map[int64]bool{}
	for fence := range given {
		if fence <= 0 || seen[fence] {
			t.Fatalf("fence %d was given twice, or is not positive", fence)
		}
		seen[fence] = true
	}
}
