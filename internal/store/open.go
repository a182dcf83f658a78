// Package store keeps Terrace's rows: it implements core.Store on SQLite, in one file
// with a write-ahead log, and on PostgreSQL. Updates run one after the other; those that
// wait together share one transaction of the database. Any number of readers work on
// consistent snapshots beside them. What an update stored is on disk when Update returns.
//
// All SQL of the program is in this package, written once for both databases; what
// differs sits in a dialect (sqlite.go, postgres.go) and in migrations. Package
// storetest is the suite that every implementation passes.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/pressly/goose/v3"

	"github.com/terrace-cd/terrace/internal/core"
)

//go:embed migrations
var migrations embed.FS

// DB is a core.Store. It is safe for concurrent use.
type DB struct {
	name    string // for messages: a path, or a URL without its password
	path    string // of a SQLite file
	config  *pgx.ConnConfig
	clock   func() time.Time
	asItIs  bool
	dialect *dialect
	writer  *sessions // one connection
	readers *sessions

	queue   chan *member
	closing chan struct{}
	written chan struct{} // closed when the writer has ended
}

var _ core.Store = (*DB)(nil)

// machineClock is the clock of this machine.
var machineClock = time.Now

// Option changes how a database is opened.
type Option func(*DB)

// WithClock replaces the clock behind Tx.Now, which is this machine's with SQLite.
// PostgreSQL has its own.
func WithClock(now func() time.Time) Option { return func(db *DB) { db.clock = now } }

// AsItIs refuses a database whose schema is not this program's, instead of bringing it up
// to date: for those who look at, or copy, what a server of another version may be using.
func AsItIs() Option { return func(db *DB) { db.asItIs = true } }

// Open opens a database and brings its schema up to date: the file at a path or a
// sqlite:// URL, which is made when it does not exist, or a postgres:// URL. Errors:
// Invalid when the URL cannot be used, Unavailable when the database cannot be reached,
// Conflict when it was written by a newer release of Terrace, Internal when it is
// damaged.
func Open(ctx context.Context, databaseURL string, options ...Option) (_ *DB, err error) {
	db := &DB{clock: machineClock, queue: make(chan *member), closing: make(chan struct{}), written: make(chan struct{})}
	for _, o := range options {
		o(db)
	}
	if isPostgres(databaseURL) {
		err = db.openPostgres(ctx, databaseURL)
	} else {
		err = db.openSQLite(ctx, databaseURL)
	}
	if err != nil {
		return nil, errors.Join(err, db.closePools())
	}
	go db.write()
	return db, nil
}

// isPostgres reports whether a database URL names a PostgreSQL database.
func isPostgres(url string) bool {
	return strings.HasPrefix(url, "postgres://") || strings.HasPrefix(url, "postgresql://")
}

func (db *DB) isPostgres() bool { return db.path == "" }

// Shared reports whether several servers can use the database.
func (db *DB) Shared() bool { return db.isPostgres() }

// migrate brings the schema up to date, on connections of a pool.
func (db *DB) migrate(ctx context.Context, pool *sql.DB, options ...goose.ProviderOption) error {
	files, err := fs.Sub(migrations, db.dialect.migrations)
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(db.dialect.goose, pool, files, options...)
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
			db.name, current, newest)
	}
	if newest := sources[len(sources)-1].Version; db.asItIs && current != 0 && current < newest {
		return core.Errorf(core.Conflict, "%s has schema version %d and this Terrace would bring it to %d; use the release that the server runs, or start this one's server first", db.name, current, newest)
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

// Close closes all connections, after the update under way.
func (db *DB) Close() error {
	select {
	case <-db.closing:
		return nil
	default:
	}
	close(db.closing)
	<-db.written
	return db.closePools()
}

func (db *DB) closePools() error {
	var errs []error
	for _, pool := range []*sessions{db.readers, db.writer} { // the last one to close checkpoints SQLite's log
		if pool != nil {
			errs = append(errs, pool.close())
		}
	}
	return errors.Join(errs...)
}
