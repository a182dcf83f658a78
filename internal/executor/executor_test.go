package executor

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/spool"
	"github.com/terrace-cd/terrace/internal/store"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// machines is a Starter of which the test says what it knows, and a service that notes
// what it is told: what is tested is which of them is asked what, and when.
type machines struct {
	mu      sync.Mutex
	life    map[string]Life
	ends    map[string]chan struct{}
	leaving map[string]error // of Salvage
	left    []Attempt
	told    []string
}

func (m *machines) say(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.told = append(m.told, fmt.Sprintf(format, args...))
}

func (m *machines) said(prefix string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.told, func(s string) bool { return strings.HasPrefix(s, prefix) })
}

func (m *machines) Life(run core.Run) Life {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.life[run.ID]
}

func (m *machines) becomes(run string, life Life) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.life[run] = life
}

func (m *machines) AwaitEnd(ctx context.Context, run core.Run) error {
	m.mu.Lock()
	end := m.ends[run.ID]
	m.mu.Unlock()
	select {
	case <-end:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (m *machines) Start(_ context.Context, spec Spec, exited func(string)) (int, string, error) {
	m.say("start %s", spec.Run)
	if spec.Run == "r-broken" {
		return 0, "", core.Errorf(core.Unavailable, "no room")
	}
	m.becomes(spec.Run, Gone)
	go exited("it ended")
	return 7, "now", nil
}

func (m *machines) Interrupt(core.Run) error { return nil }
func (m *machines) Kill(core.Run) error      { return nil }

func (m *machines) Left(a Attempt) (spool.Left, error) {
	m.say("left %s", a.Run)
	return spool.Left{}, nil
}

func (m *machines) Undelivered() ([]Attempt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.left, nil
}

func (m *machines) Begin(_ context.Context, id string) (core.Run, string, error) {
	return core.Run{ID: id, Fence: 1}, "token", nil
}

func (m *machines) Salvage(_ context.Context, id string, _ int64, _ spool.Left) error {
	m.mu.Lock()
	err := m.leaving[id]
	m.mu.Unlock()
	m.say("salvage %s", id)
	return err
}

func (m *machines) Lost(_ context.Context, id string, _ int64, how string) error {
	m.say("lost %s: %s", id, how)
	return nil
}

// working brings runs into a database. The heartbeat of each is so old.
func at(t *testing.T, m *machines, heartbeats map[string]time.Duration, runs ...core.Run) *Executor {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Update(t.Context(), func(tx core.Tx) error {
		if err := tx.AddProject(core.Project{Name: "shop", Repo: "r", Branch: "main"}); err != nil {
			return err
		}
		for _, run := range runs {
			run.Project, run.Stack, run.Environment, run.Kind, run.Created = "shop", run.ID, "dev", core.KindDeploy, tx.Now()
			run.Heartbeat = tx.Now().Add(-heartbeats[run.ID])
			if err := tx.AddRun(run); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if m.life == nil {
		m.life = map[string]Life{}
	}
	return &Executor{Store: db, Runs: m, Starter: m, Bus: bus.New(), Log: slog.New(slog.DiscardHandler), URL: func() string { return "" }, Max: 10}
}

func (e *Executor) tending(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var work sync.WaitGroup
	work.Go(func() { e.Tend(ctx) })
	t.Cleanup(func() { stop(); work.Wait() })
}

// TestFoundRunners: of the runs that another server handed out, those whose runner is gone
// are lost at once, those whose runner lives when it ends.
func TestFoundRunners(t *testing.T) {
	end := make(chan struct{})
	m := &machines{life: map[string]Life{"r-lives": Lives, "r-gone": Gone, "r-far": Unknowable}, ends: map[string]chan struct{}{"r-lives": end}}
	e := at(t, m, nil, core.Run{ID: "r-lives", Status: core.RunApplying, Fence: 1}, core.Run{ID: "r-gone", Status: core.RunApplying, Fence: 2},
		core.Run{ID: "r-far", Status: core.RunApplying, Fence: 3}, core.Run{ID: "r-queued", Status: core.RunQueued})
	e.tending(t)
	testkit.Eventually(t, 10*time.Second, "the loss of r-gone", func() bool { return m.said("lost r-gone") })
	if m.said("lost r-lives") || m.said("lost r-far") || m.said("lost r-queued") {
		t.Errorf("told %q", m.told)
	}
	if i, j := slices.Index(m.told, "salvage r-gone"), slices.IndexFunc(m.told, func(s string) bool { return strings.HasPrefix(s, "lost r-gone") }); i < 0 || i > j {
		t.Errorf("what it left was not delivered first: %q", m.told)
	}
	m.becomes("r-lives", Gone)
	close(end)
	testkit.Eventually(t, look-time.Second, "its end to be seen at once", func() bool { return m.said("lost r-lives") })
}

// TestSilentRunners: nobody can tell whether a runner on another machine lives; when it is
// silent for longer than Lateness, it is lost. One that lives may be silent.
func TestSilentRunners(t *testing.T) {
	m := &machines{life: map[string]Life{"r-silent": Unknowable, "r-far": Unknowable, "r-lives": Lives}}
	e := at(t, m, map[string]time.Duration{"r-silent": 2 * Lateness, "r-lives": 2 * Lateness, "r-far": Lateness / 2},
		core.Run{ID: "r-silent", Status: core.RunApplying, Fence: 1, Host: "one/2/3/4"}, core.Run{ID: "r-far", Status: core.RunApplying, Fence: 2},
		core.Run{ID: "r-lives", Status: core.RunApplying, Fence: 3})
	e.init()
	if err := e.dispatch(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !m.said("lost r-silent: it has not been heard of for 2m0s, and whether it still runs on one cannot be told from here") || m.said("lost r-far") || m.said("lost r-lives") {
		t.Errorf("told %q", m.told)
	}
}

// TestStartedRunners: whoever ends, or cannot be started, is lost once what it left is
// delivered; while that cannot be, it is tried again.
func TestStartedRunners(t *testing.T) {
	m := &machines{leaving: map[string]error{"r-away": core.Errorf(core.Unavailable, "the database is away")}}
	e := at(t, m, nil, core.Run{ID: "r-ends", Status: core.RunQueued}, core.Run{ID: "r-broken", Status: core.RunQueued}, core.Run{ID: "r-away", Status: core.RunQueued})
	e.tending(t)
	e.init()
	if err := e.dispatch(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"lost r-ends: it ended", "lost r-broken: it could not be started: no room", "salvage r-away"} {
		testkit.Eventually(t, 10*time.Second, want, func() bool { return m.said(want) })
	}
	if m.said("lost r-away") {
		t.Errorf("told %q", m.told)
	}
}

// TestLeftovers: states of attempts that were given up are delivered later, those of
// other installations and of runs that still have their runner are left alone.
func TestLeftovers(t *testing.T) {
	m := &machines{left: []Attempt{{"r-over", 1}, {"r-old", 1}, {"r-now", 2}, {"r-foreign", 1}}, life: map[string]Life{"r-now": Lives, "r-old": Lives}, ends: map[string]chan struct{}{}}
	e := at(t, m, nil, core.Run{ID: "r-over", Status: core.RunUnknown, Fence: 1}, core.Run{ID: "r-old", Status: core.RunPlanning, Fence: 2},
		core.Run{ID: "r-now", Status: core.RunApplying, Fence: 2})
	e.deliverLeftovers(t.Context())
	slices.Sort(m.told)
	if want := []string{"left r-old", "left r-over", "salvage r-old", "salvage r-over"}; !slices.Equal(m.told, want) {
		t.Errorf("told %q, want %q", m.told, want)
	}
}
