package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Update runs f in a transaction that holds the write lock from its beginning.
func (db *DB) Update(ctx context.Context, f func(core.Tx) error) error {
	return db.transact(ctx, db.writer, nil, f)
}

// View runs f on a snapshot, beside any writer.
func (db *DB) View(ctx context.Context, f func(core.Tx) error) error {
	return db.transact(ctx, db.reader, &sql.TxOptions{ReadOnly: true}, f)
}

func (db *DB) transact(ctx context.Context, pool *sql.DB, options *sql.TxOptions, f func(core.Tx) error) error {
	sqlTx, err := pool.BeginTx(ctx, options)
	if err != nil {
		return db.explain(err)
	}
	defer func() { _ = sqlTx.Rollback() }() // does nothing after a commit
	if err := f(&tx{ctx: ctx, db: db, sql: sqlTx, now: db.clock().UTC().Truncate(time.Microsecond)}); err != nil {
		return err
	}
	return db.explain(sqlTx.Commit())
}

// tx implements core.Tx. Its methods are in the file named after what they store.
type tx struct {
	ctx context.Context
	db  *DB
	sql *sql.Tx
	now time.Time // one instant for the whole transaction, as in PostgreSQL
}

// Now returns the time of the transaction.
func (t *tx) Now() time.Time { return t.now }

// NextFence counts up for ever.
func (t *tx) NextFence() (fence int64, err error) {
	return get(t, "fence counter", func(r row) (fence int64, err error) { return fence, r.Scan(&fence) },
		"UPDATE counters SET value = value + 1 WHERE name = 'fence' RETURNING value")
}

// BlobKeys returns the key of every blob that a row names.
func (t *tx) BlobKeys() ([]string, error) {
	return list(t, scanString, "SELECT blob FROM state_versions WHERE blob <> '' UNION SELECT blob FROM recovered")
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	result, err := t.sql.ExecContext(t.ctx, query, args...)
	if err != nil {
		return 0, t.db.explain(err)
	}
	return result.RowsAffected()
}

// change is exec for exactly one row that has to exist.
func (t *tx) change(what, query string, args ...any) error {
	n, err := t.exec(query, args...)
	if err == nil && n == 0 {
		return missing(what)
	}
	return err
}

// add is exec for an insert; conflict is what to say when the row exists already.
func (t *tx) add(conflict, query string, args ...any) error {
	_, err := t.exec(query, args...)
	if core.CodeOf(err) == core.Conflict {
		return &core.Error{Code: core.Conflict, Message: conflict, Cause: err}
	}
	return err
}

func missing(what string) error { return core.Errorf(core.NotFound, "there is no %s", what) }

// row is what a scan function reads: *sql.Row or *sql.Rows.
type row interface{ Scan(dest ...any) error }

// get reads one row; what names it when it is missing.
func get[T any](t *tx, what string, scan func(row) (T, error), query string, args ...any) (T, error) {
	v, err := scan(t.sql.QueryRowContext(t.ctx, query, args...))
	if errors.Is(err, sql.ErrNoRows) {
		var zero T
		return zero, missing(what)
	}
	return v, t.db.explain(err)
}

// list reads all rows.
func list[T any](t *tx, scan func(row) (T, error), query string, args ...any) (all []T, err error) {
	rows, err := t.sql.QueryContext(t.ctx, query, args...)
	if err != nil {
		return nil, t.db.explain(err)
	}
	defer func() { _ = rows.Close() }() // Err below has told
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, t.db.explain(err)
		}
		all = append(all, v)
	}
	return all, t.db.explain(rows.Err())
}

func scanString(r row) (s string, err error) { return s, r.Scan(&s) }

func scanBytes(r row) (b []byte, err error) { return b, r.Scan(&b) }

// where collects conditions.
type where struct {
	conditions []string
	args       []any
}

// is adds a condition unless the value is empty.
func (w *where) is(column, value string) {
	if value != "" {
		w.conditions, w.args = append(w.conditions, column+" = ?"), append(w.args, value)
	}
}

func (w *where) String() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// placeholders returns "?, ?, ?" for n values.
func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

// limit writes a LIMIT clause; 0 means no limit.
func limit(n int) string {
	if n <= 0 {
		return ""
	}
	return " LIMIT " + strconv.Itoa(n)
}

// micros is how a time is stored.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// into scans a stored time.
func into(t *time.Time) sql.Scanner { return (*timeColumn)(t) }

type timeColumn time.Time

// Scan implements sql.Scanner.
func (c *timeColumn) Scan(v any) error {
	n, ok := v.(int64)
	if !ok {
		return fmt.Errorf("a time is stored as %T", v)
	}
	*c = timeColumn{}
	if n != 0 {
		*c = timeColumn(time.UnixMicro(n).UTC())
	}
	return nil
}

// facts is how a map of strings is stored: as a JSON object, {} when empty.
type facts map[string]string

// Value implements driver.Valuer.
func (f facts) Value() (driver.Value, error) {
	if len(f) == 0 {
		return "{}", nil
	}
	b, err := json.Marshal(map[string]string(f))
	return string(b), err
}

// Scan implements sql.Scanner. An empty object becomes nil.
func (f *facts) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("a map is stored as %T", v)
	}
	*f = nil
	if s == "{}" {
		return nil
	}
	return json.Unmarshal([]byte(s), (*map[string]string)(f))
}
