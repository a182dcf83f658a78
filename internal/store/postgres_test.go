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
	for w := range 200 {
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
					<-time.After(10 * time.Millisecond) // as clients do
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
	grow(500)
	server.Kill()
	testkit.Eventually(t, 30*time.Second, "a refused write", func() bool { return failed.Load() > 0 })
	server.Start(t)
	grow(500)
	server.Stop()
	server.Start(t)
	// The connections that read are all broken, and a peek does not tell.
	if err := db.Peek(t.Context(), func(tx core.Tx) error { _, err := tx.Projects(); return err }); err != nil {
		t.Error("a peek after a restart:", err)
	}
	grow(500)
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

// psql runs statements on a database, as its administrator.
func psql(t *testing.T, url string, statements ...string) {
	t.Helper()
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestForeignPostgreSQL(t *testing.T) {
	url := testkit.Postgres(t)
	psql(t, url, "CREATE TABLE songs (title TEXT)")
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

// TestPostgreSQLSettings: a database that was set up to be quick and lenient is not,
// for Terrace; and Terrace goes by its clock.
func TestPostgreSQLSettings(t *testing.T) {
	url := testkit.Postgres(t)
	name, _, _ := strings.Cut(url[strings.LastIndex(url, "/")+1:], "?")
	psql(t, url, "ALTER DATABASE "+name+" SET synchronous_commit = off", "ALTER DATABASE "+name+" SET timezone = 'Asia/Tokyo'",
		"ALTER DATABASE "+name+" SET default_transaction_isolation = 'serializable'",
		"ALTER DATABASE "+name+" SET bytea_output = escape", "ALTER DATABASE "+name+" SET standard_conforming_strings = off")
	db := openAt(t, url+"&options=-c%20synchronous_commit%3Dlocal", WithClock(func() time.Time { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) }))
	for setting, want := range map[string]string{"synchronous_commit": "on", "timezone": "UTC", "statement_timeout": "1min", "idle_in_transaction_session_timeout": "30s"} {
		var got string
		if err := db.direct("SHOW "+setting, &got); err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", setting, got, err, want)
		}
	}
	var before, now, after time.Time
	clock := func(into *time.Time) {
		t.Helper()
		if err := db.direct("SELECT clock_timestamp()", into); err != nil {
			t.Fatal(err)
		}
	}
	clock(&before)
	if err := db.Update(t.Context(), func(tx core.Tx) error {
		now = tx.Now()
		return tx.PutSetting("x", `\x`)
	}); err != nil {
		t.Fatal(err)
	}
	clock(&after)
	if now.Before(before) || now.After(after) {
		t.Errorf("Now is %v, and the database's clock was between %v and %v", now, before, after)
	}
}

// TestDatabasesThatDoNotFit are refused with what to do, and others are not.
func TestDatabasesThatDoNotFit(t *testing.T) {
	server := testkit.PostgresServer(t)
	url := server.Database(t)
	psql(t, url, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0", "CREATE ROLE guest LOGIN",
		"REVOKE CREATE ON SCHEMA public FROM PUBLIC", "CREATE SCHEMA mine AUTHORIZATION guest")
	with := func(url, user, query string) string {
		return strings.Replace(url, "terrace@", user+"@", 1) + query
	}
	latin := url[:strings.LastIndex(url, "/")] + "/latin?sslmode=disable"
	for _, c := range []struct {
		url  string
		code core.Code
		text string
	}{
		{latin, core.Invalid, "ENCODING 'UTF8'"},
		{with(url, "guest", ""), core.Invalid, "GRANT CREATE"},
		{with(url, "nobody", ""), core.Unavailable, "check user"},
		{with(url, "terrace", "&search_path=nowhere"), core.Invalid, "CREATE SCHEMA"},
		{strings.Replace(url, "/test_", "/missing_", 1), core.Unavailable, "check user"},
	} {
		db, err := Open(t.Context(), c.url)
		if err == nil {
			_ = db.Close()
		}
		if core.CodeOf(err) != c.code || !strings.Contains(core.MessageOf(err), c.text) {
			t.Errorf("%s: %v (%s); want a %s error about %q", c.url, err, core.CodeOf(err), c.code, c.text)
		}
	}
	// A schema of its own, beside the tables of another program and an extension's.
	psql(t, url, "CREATE TABLE public.songs (title TEXT)")
	db := openAt(t, with(url, "guest", "&search_path=mine"))
	if err := db.Update(t.Context(), addProject("shop")); err != nil {
		t.Error(err)
	}
}

// TestHangingServer: a server that stopped in the middle of an update, and holds what
// all wait for, is cut off by the database.
func TestHangingServer(t *testing.T) {
	url := testkit.Postgres(t)
	db := openAt(t, url)
	other := openAt(t, url)
	s, _, err := other.beginWrite(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.plain(t.Context(), "SET LOCAL idle_in_transaction_session_timeout = '300ms'"); err != nil { // not 30 s
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), addProject("shop")); err != nil {
		t.Errorf("beside a server that hangs: %v", err)
	}
	if err := s.plain(t.Context(), "COMMIT"); err == nil {
		t.Error("the server that hung could go on")
	}
	other.writer.end(s, false)
	if err := other.Update(t.Context(), addProject("blog")); err != nil {
		t.Errorf("after it was cut off: %v", err)
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
