package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the "sqlite" driver of database/sql

	"github.com/terrace-cd/terrace/internal/core"
)

// applicationID marks a SQLite file as Terrace's (PRAGMA application_id).
const applicationID = 0x54525243

func (db *DB) sqlite() *dialect {
	now := func(context.Context, *sql.Conn) (time.Time, error) {
		return db.clock().UTC().Truncate(time.Microsecond), nil
	}
	return &dialect{migrations: "migrations/sqlite", goose: goose.DialectSQLite3, write: "BEGIN IMMEDIATE", read: "BEGIN",
		rewrite: func(query string) string { return query }, lock: now, now: now, keepStatements: true}
}

// openSQLite opens a file.
func (db *DB) openSQLite(ctx context.Context, databaseURL string) error {
	path, err := parsePath(databaseURL)
	if err != nil {
		return err
	}
	db.path, db.name, db.dialect = path, path, db.sqlite()
	if err := create(path); err != nil {
		return err
	}
	writer, err := sql.Open("sqlite", dsn(path, "_pragma=journal_mode(WAL)", "_pragma=journal_size_limit(67108864)"))
	if err != nil {
		return db.explain(err)
	}
	db.writer = newSessions(writer, db.dialect, 1)
	if err := db.requireOwnFile(ctx); err != nil {
		return err
	}
	if err := db.migrate(ctx, writer); err != nil {
		return err
	}
	reader, err := sql.Open("sqlite", dsn(path, "_pragma=query_only(1)"))
	if err != nil {
		return db.explain(err)
	}
	db.readers = newSessions(reader, db.dialect, max(4, runtime.NumCPU()))
	return nil
}

// requireOwnFile refuses the file of another program, and one that was moved elsewhere.
func (db *DB) requireOwnFile(ctx context.Context) error {
	var id, tables int64
	if err := db.writer.db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return db.explain(err)
	}
	if err := db.writer.db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return db.explain(err)
	}
	if tables > 0 && id != applicationID {
		return core.Errorf(core.Invalid, "%s is a SQLite database of another program; give Terrace a file of its own", db.path)
	}
	var moved string
	err := db.writer.db.QueryRowContext(ctx, "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = 'moved_counters_insert'").Scan(&moved)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	} else if err != nil {
		return db.explain(err)
	}
	_, moved, _ = strings.Cut(moved, movedPrefix)
	moved, _, _ = strings.Cut(moved, "'); END")
	moved = strings.ReplaceAll(moved, "''", "'")
	return core.Errorf(core.Conflict, "%s was moved to %s and is not used any more; start the server with --database and that one", db.path, moved)
}

// parsePath returns the file that a database URL names.
func parsePath(s string) (string, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "sqlite", s
	}
	switch {
	case scheme != "sqlite":
		return "", core.Errorf(core.Invalid, "the database URL scheme %q is not supported; use a path, sqlite://PATH or postgres://HOST/DATABASE", scheme)
	case rest == "" || strings.HasPrefix(rest, ":memory:") || strings.ContainsRune(rest, 0):
		return "", core.Errorf(core.Invalid, "%q names no database file; use a path or sqlite://PATH", s)
	}
	path, err := filepath.Abs(rest)
	if err != nil {
		return "", core.Errorf(core.Invalid, "the database path %q cannot be used: %w", rest, err)
	}
	return path, nil
}

// create makes an empty database file that only its owner may read: SQLite gives
// its companions (-wal, -shm) the same mode.
func create(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return core.Errorf(core.Unavailable, "the database cannot be opened: %w; check that its folder exists and may be written by this user", err)
	}
	return nil
}

// dsn is a SQLite URI with the settings that both pools share. synchronous=FULL
// syncs the log with every commit; fullfsync makes that true on macOS.
func dsn(path string, more ...string) string {
	query := append([]string{
		"_pragma=busy_timeout(10000)", "_pragma=synchronous(FULL)", "_pragma=fullfsync(1)", "_pragma=foreign_keys(1)",
		"_pragma=trusted_schema(0)", "_dqs=0", "_error_rc=1",
	}, more...)
	return (&url.URL{Scheme: "file", Path: path, RawQuery: strings.Join(query, "&")}).String()
}
