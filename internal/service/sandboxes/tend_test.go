package sandboxes

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/service/projects"
	"github.com/terrace-cd/terrace/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const key = "shop~try"

// world is a service on a real database with a sandbox that lasts so long yet, after ten
// times as long.
func world(t *testing.T, life time.Duration) *Service {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "terrace.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := &Service{Store: db, Projects: &projects.Service{Store: db}, Bus: bus.New(), Log: slog.New(slog.DiscardHandler)}
	s.update(t, func(tx core.Tx) error {
		box := &core.Sandbox{Of: "shop", Name: "try", Base: "dev", Owner: "user:ana", Expires: tx.Now().Add(life)}
		if err := tx.AddProject(core.Project{Name: "shop", Created: tx.Now()}); err != nil {
			return err
		}
		return tx.AddProject(core.Project{Name: key, Created: tx.Now().Add(-10 * life), Sandbox: box})
	})
	return s
}

func (s *Service) update(t *testing.T, f func(core.Tx) error) {
	t.Helper()
	if err := s.Store.Update(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// tended looks after all sandboxes and returns this one; false when it is gone.
func (s *Service) tended(t *testing.T) (p core.Project, is bool) {
	t.Helper()
	if err := s.tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := s.Store.View(t.Context(), func(tx core.Tx) (err error) {
		p, err = tx.Project(key)
		return err
	})
	return p, err == nil
}

func (s *Service) events(t *testing.T) (kinds []string) {
	t.Helper()
	if err := s.Store.View(context.WithoutCancel(t.Context()), func(tx core.Tx) error {
		all, err := tx.Events("shop", 0, 100)
		for _, e := range all {
			kinds = append(kinds, e.Kind)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return kinds
}

// release adds one, which has entered.
func release(tx core.Tx, number int64, commit string) error {
	if err := tx.AddRelease(core.Release{Project: key, Number: number, Commit: commit, Created: tx.Now()}); err != nil {
		return err
	}
	return tx.PutEnvironment(core.EnvironmentState{Project: key, Name: "try", Entered: number, Present: number})
}

func TestAnEmptySandboxIsForgottenWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	s := world(t, 0)
	if p, is := s.tended(t); !is || p.Sandbox.Ending.IsZero() || p.Sandbox.Why != "its time was over" {
		t.Errorf("after its time: %+v", p.Sandbox)
	}
	if _, is := s.tended(t); is {
		t.Error("it is still there")
	}
	if got, want := s.events(t), []string{"sandbox.ending", "sandbox.ended"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

func TestItIsSaidOnceThatItExpiresSoon(t *testing.T) {
	t.Parallel()
	s := world(t, 5*time.Minute)
	for range 2 {
		if p, is := s.tended(t); !is || !p.Sandbox.Warned || !p.Sandbox.Ending.IsZero() {
			t.Errorf("five minutes before: %+v", p.Sandbox)
		}
	}
	if got, want := s.events(t), []string{"sandbox.expires_soon"}; !slices.Equal(got, want) {
		t.Errorf("events %v, want %v", got, want)
	}
}

// What is left is destroyed with the release that entered, again and again, and never while
// something else is under way; also when its commit has got another number.
func TestItIsDestroyedUntilNothingIsLeft(t *testing.T) {
	t.Parallel()
	s := world(t, time.Hour)
	s.update(t, func(tx core.Tx) error {
		if err := release(tx, 3, "aaaa"); err != nil {
			return err
		}
		return tx.PutInstance(core.InstanceState{Project: key, Stack: "web", Environment: "try", Commit: "aaaa", Applied: 3})
	})
	if _, err := s.Destroy(t.Context(), "user:ana", "shop", "try", "done"); err != nil {
		t.Fatal(err)
	}
	open := func() (all []core.Rollout) {
		t.Helper()
		if err := s.Store.View(t.Context(), func(tx core.Tx) (err error) {
			all, err = tx.Rollouts(key, true, 0)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return all
	}
	p, is := s.tended(t)
	first := open()
	if !is || p.Sandbox.Tries != 1 || len(first) != 1 || first[0].Release.Number != 3 || first[0].Stages[0].Environment != "try" || !first[0].Manual {
		t.Fatalf("%+v, rollouts %+v", p.Sandbox, first)
	}
	if p, _ = s.tended(t); p.Sandbox.Tries != 1 || len(open()) != 1 {
		t.Errorf("another one beside it: %+v", open())
	}
	fail := func() {
		t.Helper()
		id := open()[0].ID
		s.update(t, func(tx core.Tx) error { return tx.SetRollout(id, core.RolloutRunning, core.RolloutFailed) })
	}
	fail()
	if p, _ = s.tended(t); len(open()) != 0 || !p.Sandbox.Retry.After(time.Now()) {
		t.Errorf("at once again: %+v", open())
	}
	// Its branch went back to the commit, which did not enter under its new number.
	s.update(t, func(tx core.Tx) error { return tx.RenumberRelease(key, "aaaa", 5) })
	if _, err := s.Destroy(t.Context(), "user:ana", "shop", "try", "again"); err != nil {
		t.Fatal(err)
	}
	if p, _ = s.tended(t); p.Sandbox.Tries != 2 || len(open()) != 1 || open()[0].Release.Number != 5 || p.Sandbox.Why != "done" {
		t.Errorf("asked again: %+v, rollouts %+v", p.Sandbox, open())
	}
	fail()
	s.update(t, func(tx core.Tx) error { return tx.DeleteInstance(key, "web", "try") })
	if _, is := s.tended(t); is {
		t.Error("nothing is left, and it is still there")
	}
	if _, err := s.Destroy(t.Context(), "user:ana", "shop", "try", "again"); core.CodeOf(err) != core.NotFound {
		t.Errorf("destroying what is gone: %v", err)
	}
}
