package store

import (
	"context"
	"errors"

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
	case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
		return core.Errorf(core.Conflict, "it exists already: %w", err)
	case sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY:
		return core.Errorf(core.NotFound, "what it belongs to does not exist: %w", err)
	}
	return core.Errorf(core.Internal, "the database refused a statement: %w", err)
}
