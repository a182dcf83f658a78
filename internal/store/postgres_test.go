package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// TestDatabaseRestarts kills PostgreSQL amid writers (fault 12): what was acknowledged
// is there afterwards, nothing is there by half, and the store goes on by itself.
func TestDatabaseRestarts(t *testing.T) {
	server := testkit.PostgresServer(t)
	db := openAt(t, server.Database(t))
	var acknowledged sync.Map
	var count, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 20 {
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				name := fmt.Sprintf("p-%d-%d", w, i)
				err := db.Update(t.Context(), func(tx core.Tx) error {
					if err := tx.AddProject(core.Project{Name: name}); err != nil {
						return err
					}
					return tx.AddEvent(core.Event{Kind: "added", On: name})
				})
				switch {
				case err == nil:
					acknowledged.Store(name, true)
					count.Add(1)
				case core.CodeOf(err) == core.Unavailable:
					failed.Add(1)
				default:
					t.Errorf("%s: %v (%s)", name, err, core.CodeOf(err))
				}
			}
		})
	}
	grow := func(n int64) {
		want := count.Load() + n
		testkit.Eventually(t, 30*time.Second, "acknowledged writes", func() bool { return count.Load() >= want })
	}
	grow(100)
	server.Kill()
	testkit.Eventually(t, 30*time.Second, "a refused write", func() bool { return failed.Load() > 0 })
	server.Start(t)
	grow(100)
	server.Stop()
	server.Start(t)
	grow(100)
	stop()
	writers.Wait()

	if err := db.View(t.Context(), func(tx core.Tx) error {
		projects, err := tx.Projects()
		if err != nil {
			return err
		}
		events, err := tx.Events("", 0, 0)
		if err != nil {
			return err
		}
		stored := map[string]bool{}
		for _, p := range projects {
			stored[p.Name] = true
		}
		acknowledged.Range(func(name, _ any) bool {
			if !stored[name.(string)] {
				t.Errorf("%s was acknowledged and is lost", name)
			}
			return true
		})
		if len(events) != len(projects) {
			t.Errorf("%d projects and %d events: some are there by half", len(projects), len(events))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := db.VerifyEvents(t.Context()); err != nil {
		t.Error(err)
	}
	t.Logf("%d acknowledged, %d refused", count.Load(), failed.Load())
}

// TestTwoServers: two stores on one database write one after the other (fault 19).
func TestTwoServers(t *testing.T) {
	url := testkit.Postgres(t)
	var servers [2]*DB
	var opening sync.WaitGroup
	for i := range servers { // at once, and both find an empty database
		opening.Go(func() {
			db, err := Open(t.Context(), url)
			if err != nil {
				t.Error(err)
			}
			servers[i] = db
		})
	}
	opening.Wait()
	if t.Failed() {
		t.FailNow()
	}
	var writers sync.WaitGroup
	for _, db := range servers {
		t.Cleanup(func() { _ = db.Close() })
		for range 8 {
			writers.Go(func() {
				for range 25 {
					if err := db.Update(t.Context(), func(tx core.Tx) error {
						// A lost update, if two were in here at once.
						n, err := tx.Setting("n")
						if err != nil && core.CodeOf(err) != core.NotFound {
							return err
						}
						if _, err := tx.NextFence(); err != nil {
							return err
						}
						if err := tx.AddEvent(core.Event{Kind: "counted"}); err != nil {
							return err
						}
						return tx.PutSetting("n", n+"x")
					}); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	writers.Wait()
	if err := servers[0].Update(t.Context(), func(tx core.Tx) error {
		n, err := tx.Setting("n")
		if err != nil {
			return err
		}
		fence, err := tx.NextFence()
		if len(n) != 400 || fence != 401 {
			t.Errorf("counted %d, fence %d; want 400 and 401", len(n), fence)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if seq, _, err := servers[1].VerifyEvents(t.Context()); seq != 400 || err != nil {
		t.Errorf("%d events, %v", seq, err)
	}
}

// TestPasswordsStayUnsaid: no message about a database quotes its password.
func TestPasswordsStayUnsaid(t *testing.T) {
	for _, url := range []string{
		"postgres://ana:hunter2@127.0.0.1:1/terrace", "postgres://ana:hunter2@/%zz", "postgres://127.0.0.1:1/terrace?password=hunter2",
		"postgres://ana:hunter2@127.0.0.1:1/terrace?sslmode=whim",
	} {
		_, err := Open(t.Context(), url)
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestForeignPostgreSQL(t *testing.T) {
	url := testkit.Postgres(t)
	other, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, err := other.ExecContext(t.Context(), "CREATE TABLE songs (title TEXT)"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), url); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "another program") {
		t.Errorf("a database of another program: %v", err)
	}
	url = testkit.Postgres(t)
	db := openAt(t, url)
	if err := db.direct("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), url); core.CodeOf(err) != core.Conflict || !strings.Contains(err.Error(), "newer release") {
		t.Errorf("a database of a newer release: %v", err)
	}
}

// TestWire: what one server says, the others hear, also after the database restarted.
func TestWire(t *testing.T) {
	server := testkit.PostgresServer(t)
	url := server.Database(t)
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	var wires []*Wire
	heard := []chan string{make(chan string, 100), make(chan string, 100)}
	for i := range heard {
		w := openAt(t, url).Wire()
		wires = append(wires, w)
		running.Go(func() { w.Run(ctx, func(topic string) { heard[i] <- topic }) })
	}
	said := func(from, to int, topic string) {
		t.Helper()
		testkit.Eventually(t, 20*time.Second, "what was said", func() bool {
			wires[from].Say(topic) // again: nobody may have listened yet
			select {
			case got := <-heard[to]:
				return got == topic
			case <-time.After(50 * time.Millisecond):
				return false
			}
		})
	}
	said(0, 1, "shop")
	said(1, 0, "log:r-1")
	for len(heard[0]) > 0 {
		if topic := <-heard[0]; topic == "shop" {
			t.Error("a server hears itself")
		}
	}
	server.Stop()
	server.Start(t)
	testkit.Eventually(t, 20*time.Second, "a look at everything", func() bool {
		select {
		case topic := <-heard[1]:
			return topic == ""
		default:
			return false
		}
	})
	said(0, 1, "blog")
	if open(t).Wire() != nil {
		t.Error("SQLite has a wire")
	}
}
