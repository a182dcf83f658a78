// Package store keeps Terrace's rows: it implements core.Store on SQLite, in one
// file with a write-ahead log, one writer at a time and any number of readers on
// consistent snapshots. A transaction is on disk when Update returns.
//
// All SQL of the program is in this package. It is written with ? placeholders and
// without SQLite's dialect where that costs nothing, because PostgreSQL is the
// second database; what differs sits in migrations/sqlite, open.go and errors.go.
// Package storetest is the suite that every implementation passes.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
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

//go:embed migrations
var migrations embed.FS

// applicationID marks a SQLite file as Terrace's (PRAGMA application_id).
const applicationID = 0x54525243

// DB is a core.Store on SQLite. It is safe for concurrent use.
type DB struct {
	path   string
	clock  func() time.Time
	writer *sql.DB // one connection; its transactions take the write lock when they begin
	reader *sql.DB
}

var _ core.Store = (*DB)(nil)

// Option changes how a database is opened.
type Option func(*DB)

// WithClock replaces the clock behind Tx.Now.
func WithClock(now func() time.Time) Option { return func(db *DB) { db.clock = now } }

// Open opens the database at a path or a sqlite:// URL, makes it when it does not
// exist, and brings its schema up to date. Errors: Invalid when the URL cannot be
// used, Unavailable when the file cannot be reached, Conflict when it was written by
// a newer release of Terrace, Internal when it is damaged.
func Open(ctx context.Context, databaseURL string, options ...Option) (_ *DB, err error) {
	path, err := parseURL(databaseURL)
	if err != nil {
		return nil, err
	}
	db := &DB{path: path, clock: time.Now}
	for _, o := range options {
		o(db)
	}
	if err := create(path); err != nil {
		return nil, err
	}
	db.writer, err = sql.Open("sqlite", dsn(path, "_txlock=immediate", "_pragma=journal_mode(WAL)", "_pragma=journal_size_limit(67108864)"))
	if err != nil {
		return nil, db.explain(err)
	}
	db.writer.SetMaxOpenConns(1)
	defer func() {
		if err != nil {
			_ = db.Close() // the first error is the one that explains
		}
	}()
	if err := db.migrate(ctx); err != nil {
		return nil, err
	}
	db.reader, err = sql.Open("sqlite", dsn(path, "_pragma=query_only(1)"))
	if err != nil {
		return nil, db.explain(err)
	}
	readers := max(4, runtime.NumCPU())
	db.reader.SetMaxOpenConns(readers)
	db.reader.SetMaxIdleConns(readers)
	return db, nil
}

// parseURL returns the file that a database URL names.
func parseURL(s string) (string, error) {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		scheme, rest = "sqlite", s
	}
	switch {
	case scheme != "sqlite":
		return "", core.Errorf(core.Invalid, "the database URL scheme %q is not supported; use a path or sqlite://PATH", scheme)
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

func (db *DB) migrate(ctx context.Context) error {
	var id, tables int64
	if err := db.writer.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return db.explain(err)
	}
	if err := db.writer.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return db.explain(err)
	}
	if tables > 0 && id != applicationID {
		return core.Errorf(core.Invalid, "%s is a SQLite database of another program; give Terrace a file of its own", db.path)
	}
	files, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db.writer, files)
	if err != nil {
		return err
	}
	sources := provider.ListSources()
	current, err := provider.GetDBVersion(ctx)
	if err != nil {
		return db.explain(err)
	}
	if newest := sources[len(sources)-1].Version; current > newest {
		return core.Errorf(core.Conflict, "%s has schema version %d and this Terrace knows up to %d: it was used by a newer release; install that one, or restore the backup made before the upgrade",
			db.path, current, newest)
	}
	if _, err := provider.Up(ctx); err != nil {
		var partial *goose.PartialError
		if errors.As(err, &partial) {
			err = partial.Err
		}
		return db.explain(err)
	}
	return nil
}

// Close closes all connections. Transactions under way end with an error.
func (db *DB) Close() error {
	var errs []error
	for _, pool := range []*sql.DB{db.reader, db.writer} { // the last one to close checkpoints the log
		if pool != nil {
			errs = append(errs, pool.Close())
		}
	}
	return errors.Join(errs...)
}
