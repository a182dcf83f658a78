package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/store/storetest"
	"github.com/terrace-cd/terrace/internal/testkit"
)

func open(t *testing.T, options ...Option) *DB {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "terrace.db"), options...)
}

func openAt(t *testing.T, path string, options ...Option) *DB {
	t.Helper()
	db, err := Open(t.Context(), path, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// filled returns a function that opens a fresh copy of one database; making it, with
// its schema, is what takes time.
func filled(t *testing.T, fill func(*DB)) func(*testing.T) *DB {
	t.Helper()
	path := filepath.Join(t.TempDir(), "terrace.db")
	db := openAt(t, path)
	fill(db)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) *DB {
		t.Helper()
		path := filepath.Join(t.TempDir(), "terrace.db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return openAt(t, path)
	}
}

// direct runs a statement around the methods, and scans its first row.
func (db *DB) direct(statement string, into ...any) error {
	s, err := db.writer.begin(context.Background(), "SELECT 1")
	if err != nil {
		return err
	}
	defer db.writer.end(s, true)
	if len(into) == 0 {
		_, err := s.conn.ExecContext(context.Background(), statement)
		return err
	}
	return s.conn.QueryRowContext(context.Background(), statement).Scan(into...)
}

func TestStore(t *testing.T) {
	empty := filled(t, func(*DB) {})
	storetest.Run(t, func(t *testing.T) core.Store { return empty(t) })
}

func TestStoreOnPostgreSQL(t *testing.T) {
	storetest.Run(t, func(t *testing.T) core.Store { return openAt(t, testkit.Postgres(t)) })
}

func addProject(name string) func(core.Tx) error {
	return func(tx core.Tx) error { return tx.AddProject(core.Project{Name: name, Created: tx.Now()}) }
}

func TestOpenURLs(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"plain.db", "with space?and#marks%41&_pragma=synchronous(OFF).db"} {
		for i, prefix := range []string{"", "sqlite://"} {
			path := filepath.Join(dir, fmt.Sprint(i)+name)
			db := openAt(t, prefix+path)
			if err := db.Update(t.Context(), addProject("shop")); err != nil {
				t.Fatal(err)
			}
			var synchronous int
			if err := db.direct("PRAGMA synchronous", &synchronous); err != nil || synchronous != 2 {
				t.Errorf("synchronous is %d, %v; want 2 (FULL)", synchronous, err)
			}
			for _, file := range []string{path, path + "-wal"} {
				info, err := os.Stat(file)
				if err != nil {
					t.Fatal(err)
				}
				if info.Mode().Perm() != 0o600 {
					t.Errorf("%s has mode %v, want 0600", file, info.Mode())
				}
			}
		}
	}
	for _, c := range []struct {
		url  string
		code core.Code
		text string
	}{
		{"mysql://localhost/terrace", core.Invalid, "postgres://HOST/DATABASE"},
		{"postgres://127.0.0.1:1/terrace", core.Unavailable, "cannot be reached"},
		{"postgres://ana:hunter2@/%zz", core.Invalid, "postgres://USER"},
		{"", core.Invalid, "names no database"},
		{"sqlite://", core.Invalid, "names no database"},
		{":memory:", core.Invalid, "names no database"},
		{filepath.Join(dir, "no/such/folder/terrace.db"), core.Unavailable, "folder exists"},
		{dir, core.Unavailable, "is a directory"},
	} {
		_, err := Open(t.Context(), c.url)
		if core.CodeOf(err) != c.code || !strings.Contains(core.MessageOf(err), c.text) {
			t.Errorf("Open(%q): %v (%s); want a %s error about %q", c.url, err, core.CodeOf(err), c.code, c.text)
		}
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "terrace.db")
	db := openAt(t, path)
	if err := db.Update(t.Context(), addProject("shop")); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openAt(t, path)
	if err := db.View(t.Context(), func(tx core.Tx) error { _, err := tx.Project("shop"); return err }); err != nil {
		t.Error(err)
	}
}

func TestDamagedFile(t *testing.T) {
	dir := t.TempDir()
	noise := make([]byte, 8192)
	_, _ = rand.Read(noise)
	notOurs := filepath.Join(dir, "notours.db")
	other, err := sql.Open("sqlite", notOurs)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec("CREATE TABLE songs (title TEXT)"); err != nil {
		t.Fatal(err)
	}
	_ = other.Close()

	newer := filepath.Join(dir, "newer.db")
	db := openAt(t, newer)
	if err := db.direct("INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()

	damaged := filepath.Join(dir, "damaged.db")
	db = openAt(t, damaged)
	for i := range 50 {
		if err := db.Update(t.Context(), addProject(fmt.Sprintf("p-%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	_ = db.Close()
	content, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	copy(content[100:], noise)
	if err := os.WriteFile(damaged, content, 0o600); err != nil {
		t.Fatal(err)
	}
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, noise, 0o600); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		path string
		code core.Code
		text string
	}{
		{garbage, core.Internal, "restore it from a backup"},
		{damaged, core.Internal, "restore it from a backup"},
		{notOurs, core.Invalid, "another program"},
		{newer, core.Conflict, "newer release"},
	} {
		_, err := Open(t.Context(), c.path)
		if core.CodeOf(err) != c.code || !strings.Contains(core.MessageOf(err), c.text) || !strings.Contains(core.MessageOf(err), c.path) {
			t.Errorf("%s: %v (%s); want a %s error about %q", filepath.Base(c.path), err, core.CodeOf(err), c.code, c.text)
		}
	}
}

// TestFullDisk lets SQLite itself report that there is no room.
func TestFullDisk(t *testing.T) {
	db := open(t)
	if err := db.Update(t.Context(), addProject("shop")); err != nil {
		t.Fatal(err)
	}
	var pages int
	if err := db.direct("PRAGMA page_count", &pages); err != nil {
		t.Fatal(err)
	}
	if err := db.direct(fmt.Sprintf("PRAGMA max_page_count = %d", pages+5)); err != nil {
		t.Fatal(err)
	}
	big := func(tx core.Tx) error { return tx.PutSecret("shop", "dev", "BIG", make([]byte, 1<<20)) }
	err := db.Update(t.Context(), big)
	if core.CodeOf(err) != core.Unavailable || !strings.Contains(core.MessageOf(err), "full") {
		t.Fatalf("got %v (%s), want unavailable", err, core.CodeOf(err))
	}
	if err := db.direct("PRAGMA max_page_count = 1000000"); err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), big); err != nil { // goes on when there is room
		t.Fatal(err)
	}
}

// TestInvariants goes around the methods: the schema itself refuses.
func TestInvariants(t *testing.T) {
	db := open(t)
	if err := db.Update(t.Context(), func(tx core.Tx) error {
		if err := tx.AddProject(core.Project{Name: "shop"}); err != nil {
			return err
		}
		r := core.Release{Project: "shop", Number: 1, Commit: "abc"}
		if err := tx.AddRelease(r); err != nil {
			return err
		}
		return tx.AddRun(core.Run{ID: "r-1", Project: "shop", Kind: core.KindDeploy, Status: core.RunQueued, Release: r})
	}); err != nil {
		t.Fatal(err)
	}
	for _, statement := range []string{
		"UPDATE runs SET status = 'dancing'",
		"UPDATE runs SET kind = ''",
		"UPDATE runs SET components = NULL",
		"UPDATE runs SET has_plan = 2",
		"INSERT INTO environments VALUES ('shop', 'dev', 0, '', 'whim', '', '', 0, 0, 0, 0, 0, '[]')",
		"INSERT INTO freezes VALUES ('fz-1', 'shop', 'dev', 5, 5, 'r', '', 0, 0, '')",
		"INSERT INTO freezes VALUES ('fz-1', 'shop', 'dev', 5, 6, '', '', 0, 0, '')",
		"INSERT INTO tokens VALUES ('t', 'h', 'run', '', NULL, 0, 0, 0, 0)",
		"INSERT INTO tokens VALUES ('t', 'h', 'root', '', NULL, 0, 0, 0, 0)",
		"INSERT INTO state_locks VALUES ('shop', 'dev', 'web', 'id', '', 0, '', '', 0)",
		"INSERT INTO event_head VALUES (2, 0, '')",
		"UPDATE projects SET created = 'yesterday'",
	} {
		if err := db.direct(statement); err == nil {
			t.Errorf("accepted: %s", statement)
		}
	}
	err := db.Update(t.Context(), func(tx core.Tx) error {
		return tx.UpdateRun(core.Run{ID: "r-1", Status: "dancing"}, core.RunQueued)
	})
	if core.CodeOf(err) != core.Internal {
		t.Errorf("a status that does not exist: %v (%s), want internal", err, core.CodeOf(err))
	}
}

func TestClock(t *testing.T) {
	now := time.Date(2030, 1, 1, 12, 0, 0, 999, time.FixedZone("", 3600))
	db := open(t, WithClock(func() time.Time { return now }))
	if err := db.Update(t.Context(), func(tx core.Tx) error {
		// Updates that share a transaction each have the time at which their turn came.
		want := time.Date(2030, 1, 1, 11, 0, 0, 0, time.UTC)
		if past := tx.Now().Sub(want); past < 0 || past > time.Minute || past%time.Microsecond != 0 || tx.Now().Location() != time.UTC {
			t.Errorf("Now is %v, want %v", tx.Now(), want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyEvents(t *testing.T) {
	fill := filled(t, func(db *DB) {
		for i := range 5 {
			if err := db.Update(t.Context(), func(tx core.Tx) error {
				return tx.AddEvent(core.Event{By: "user:ana", Kind: "test", On: fmt.Sprint(i), Data: map[string]string{"n": fmt.Sprint(i)}})
			}); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("untouched", func(t *testing.T) {
		seq, hash, err := fill(t).VerifyEvents(t.Context())
		if seq != 5 || len(hash) != 64 || err != nil {
			t.Errorf("got %d, %q, %v", seq, hash, err)
		}
	})
	t.Run("empty", func(t *testing.T) {
		if seq, hash, err := open(t).VerifyEvents(t.Context()); seq != 0 || hash != "" || err != nil {
			t.Errorf("got %d, %q, %v", seq, hash, err)
		}
	})
	for name, tampering := range map[string]string{
		"edited data":      `UPDATE events SET data = '{"n":"9"}' WHERE seq = 3`,
		"edited actor":     "UPDATE events SET actor = 'user:bob' WHERE seq = 1",
		"edited time":      "UPDATE events SET at = at + 1 WHERE seq = 5",
		"deleted":          "DELETE FROM events WHERE seq = 2",
		"first deleted":    "DELETE FROM events WHERE seq = 1",
		"truncated":        "DELETE FROM events WHERE seq = 5",
		"all deleted":      "DELETE FROM events",
		"inserted":         "INSERT INTO events SELECT 6, at, actor, kind, project, subject, data, hash, hash FROM events WHERE seq = 5",
		"swapped":          "UPDATE events SET subject = CASE seq WHEN 2 THEN '2' ELSE '1' END WHERE seq IN (2, 3)",
		"closed the gap":   "DELETE FROM events WHERE seq = 2; UPDATE events SET seq = seq - 1 WHERE seq > 2; UPDATE event_head SET seq = 4",
		"hash overwritten": "UPDATE events SET hash = prev WHERE seq = 4",
	} {
		t.Run(name, func(t *testing.T) {
			db := fill(t)
			if err := db.direct(tampering); err != nil {
				t.Fatal(err)
			}
			if _, _, err := db.VerifyEvents(t.Context()); core.CodeOf(err) != core.Conflict {
				t.Errorf("got %v, want a conflict", err)
			}
		})
	}
}

// TestSecondProcess: another process may read and even write; nothing is lost.
func TestSecondProcess(t *testing.T) {
	if path := os.Getenv("TERRACE_TEST_SECOND_PROCESS"); path != "" {
		db := openAt(t, path)
		for i := range 20 {
			if err := db.Update(t.Context(), func(tx core.Tx) error {
				if _, err := tx.NextFence(); err != nil {
					return err
				}
				return tx.AddProject(core.Project{Name: fmt.Sprintf("second-%d", i)})
			}); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	path := filepath.Join(t.TempDir(), "terrace.db")
	db := openAt(t, path)
	second := exec.Command(os.Args[0], "-test.run", "^TestSecondProcess$")
	second.Env = append(os.Environ(), "TERRACE_TEST_SECOND_PROCESS="+path)
	var wg sync.WaitGroup
	wg.Go(func() {
		if output, err := second.CombinedOutput(); err != nil {
			t.Errorf("the second process: %v\n%s", err, output)
		}
	})
	for i := range 20 {
		if err := db.Update(t.Context(), func(tx core.Tx) error {
			if _, err := tx.NextFence(); err != nil {
				return err
			}
			return tx.AddProject(core.Project{Name: fmt.Sprintf("first-%d", i)})
		}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	if err := db.Update(t.Context(), func(tx core.Tx) error {
		all, err := tx.Projects()
		if err != nil {
			return err
		}
		fence, err := tx.NextFence()
		if len(all) != 40 || fence != 41 {
			t.Errorf("got %d projects and fence %d, want 40 and 41", len(all), fence)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestKill: what was acknowledged before a kill -9 is there afterwards.
func TestKill(t *testing.T) {
	if path := os.Getenv("TERRACE_TEST_KILL"); path != "" {
		db := openAt(t, path)
		for i := 0; ; i++ {
			if err := db.Update(t.Context(), addProject(fmt.Sprintf("p-%d", i))); err != nil {
				t.Fatal(err)
			}
			fmt.Printf("ack %d\n", i)
		}
	}
	path := filepath.Join(t.TempDir(), "terrace.db")
	child := exec.Command(os.Args[0], "-test.run", "^TestKill$")
	child.Env = append(os.Environ(), "TERRACE_TEST_KILL="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	last := -1
	for last < 25 {
		if _, err := fmt.Fscanf(out, "ack %d\n", &last); err != nil {
			t.Fatal(err)
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	db := openAt(t, path)
	if err := db.View(t.Context(), func(tx core.Tx) error {
		_, err := tx.Project(fmt.Sprintf("p-%d", last))
		return err
	}); err != nil {
		t.Error(err)
	}
}

// TestWaiting: a writer that waits for another one ends with its context.
func TestWaiting(t *testing.T) {
	db := open(t)
	err := db.Update(t.Context(), func(core.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		return db.Update(ctx, func(core.Tx) error { return nil })
	})
	if core.CodeOf(err) != core.Unavailable || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v (%s), want unavailable", err, core.CodeOf(err))
	}
}

// BenchmarkUpdate is what a small change costs, alone and among others: a state's
// version, and an event.
func BenchmarkUpdate(b *testing.B) {
	server := testkit.PostgresServer(b)
	for _, writers := range []int{1, 32, 256} {
		for name, url := range map[string]string{"SQLite": filepath.Join(b.TempDir(), "terrace.db"), "PostgreSQL": server.Database(b)} {
			b.Run(fmt.Sprintf("%s/%d", name, writers), func(b *testing.B) {
				db, err := Open(b.Context(), url)
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = db.Close() }()
				if err := db.Update(b.Context(), addProject("shop")); err != nil {
					b.Fatal(err)
				}
				var serial atomic.Int64
				b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0)))
				b.ResetTimer()
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						n := serial.Add(1)
						if err := db.Update(b.Context(), func(tx core.Tx) error {
							if _, err := tx.AddStateVersion(core.StateVersion{Project: "shop", Stack: fmt.Sprint(n % 256), Environment: "dev", Serial: n, Lineage: "x", Blob: "b"}); err != nil {
								return err
							}
							return tx.AddEvent(core.Event{By: "server", Kind: "test"})
						}); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
	}
}

// BenchmarkInstances is what the board of a large project costs.
func BenchmarkInstances(b *testing.B) {
	db, err := Open(b.Context(), filepath.Join(b.TempDir(), "terrace.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	const n = 10_000
	stacks := make([]string, n)
	release := core.Release{Project: "shop", Number: 1, Commit: "abcdef"}
	if err := db.Update(b.Context(), func(tx core.Tx) error {
		if err := tx.AddProject(core.Project{Name: "shop"}); err != nil {
			return err
		}
		if err := tx.AddRelease(release); err != nil {
			return err
		}
		for i := range stacks {
			stacks[i] = fmt.Sprintf("stack-%05d", i)
			if err := tx.PutInstance(core.InstanceState{Project: "shop", Stack: stacks[i], Environment: "dev"}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		b.Fatal(err)
	}
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if err := db.View(b.Context(), func(tx core.Tx) error { _, err := tx.Instances("shop"); return err }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("advance", func(b *testing.B) {
		for b.Loop() {
			if err := db.Update(b.Context(), func(tx core.Tx) error { return tx.AdvanceInstances("shop", "dev", stacks, release) }); err != nil {
				b.Fatal(err)
			}
		}
	})
}
