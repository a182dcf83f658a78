package store

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/terrace-cd/terrace/internal/core"
)

// explain turns an error of the database into a core.Error; others pass unchanged.
func (db *DB) explain(err error) error {
	if err == nil {
		return nil
	}
	var known *core.Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return core.Errorf(core.Unavailable, "the request ended before the database answered: %w", err)
	}
	if db.isPostgres() {
		return db.explainPostgres(err)
	}
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return core.Errorf(core.Internal, "the database %s failed: %w", db.path, err)
	}
	switch e.Code() & 0xff {
	case sqlite3.SQLITE_FULL:
		return core.Errorf(core.Unavailable, "the disk of the database %s is full and nothing was changed; free some space and try again: %w", db.path, err)
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return core.Errorf(core.Unavailable, "the database %s is busy; try again: %w", db.path, err)
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_PERM:
		return core.Errorf(core.Unavailable, "the database %s cannot be reached; check its disk and try again: %w", db.path, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
		return core.Errorf(core.Internal, "%s is damaged or not a database; stop the server and restore it from a backup: %w", db.path, err)
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_TRIGGER: // the only triggers are those of closeForEver
		return core.Errorf(core.Unavailable, "%s was %s; start the server with --database and that one", db.name, e.Error())
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return core.Errorf(core.Conflict, "it exists already: %w", err)
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return core.Errorf(core.NotFound, "what it belongs to does not exist: %w", err)
	}
	return core.Errorf(core.Internal, "the database refused a statement: %w", err)
}

// explainPostgres is explain for errors of PostgreSQL, by their SQLSTATE
// (postgresql.org/docs/current/errcodes-appendix.html).
func (db *DB) explainPostgres(err error) error {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return core.Errorf(core.Unavailable, "the database %s cannot be reached, or the connection was lost; it is tried again: %w", db.name, err)
	}
	switch {
	case e.Code == "23505":
		return core.Errorf(core.Conflict, "it exists already: %w", err)
	case e.Code == "23503":
		return core.Errorf(core.NotFound, "what it belongs to does not exist: %w", err)
	case e.Code == "53100":
		return core.Errorf(core.Unavailable, "the disk of the database %s is full and nothing was changed; free some space and try again: %w", db.name, err)
	case e.Code == "28P01", e.Code == "28000", e.Code == "3D000", e.Code == "3F000", e.Code == "42501":
		return core.Errorf(core.Unavailable, "the database %s refuses: %s; check user, password, database, schema and rights in its URL: %w", db.name, e.Message, err)
	case strings.HasPrefix(e.Code, "08"), strings.HasPrefix(e.Code, "53"), strings.HasPrefix(e.Code, "57"), strings.HasPrefix(e.Code, "40"),
		strings.HasPrefix(e.Code, "58"), strings.HasPrefix(e.Code, "25"), strings.HasPrefix(e.Code, "55"),
		e.Code == "0A000" && strings.Contains(e.Message, "cached plan"): // another server has just changed the schema
		return core.Errorf(core.Unavailable, "the database %s cannot answer now (%s); it is tried again: %w", db.name, e.Message, err)
	case strings.HasPrefix(e.Code, "XX"):
		return core.Errorf(core.Internal, "the database %s is damaged (%s); restore it from a backup: %w", db.name, e.Message, err)
	}
	return core.Errorf(core.Internal, "the database refused a statement: %w", err)
}
