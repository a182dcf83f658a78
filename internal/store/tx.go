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

// tx implements core.Tx. Its methods are in the file named after what they store.
type tx struct {
	ctx     context.Context
	db      *DB
	session *session
	now     time.Time // one instant for the whole update
	chain   *chain    // nil in a snapshot
	failed  error     // why nothing of it may be stored, whatever its function makes of it
}

// Now returns the time of the transaction. A snapshot asks for it when it is needed.
func (t *tx) Now() time.Time {
	if t.now.IsZero() {
		var err error
		if t.now, err = t.db.dialect.now(t.ctx, t.session.conn); err != nil {
			t.failed = t.db.explain(err)
			t.now = time.Now().UTC().Truncate(time.Microsecond)
		}
	}
	return t.now
}

// NextFence counts up for ever.
func (t *tx) NextFence() (fence int64, err error) {
	return get(t, "fence counter", func(r row) (fence int64, err error) { return fence, r.Scan(&fence) },
		"UPDATE counters SET value = value + 1 WHERE name = 'fence' RETURNING value")
}

// BlobKeys returns the key of every blob that a row names.
func (t *tx) BlobKeys() ([]string, error) {
	return list(t, scanString, "SELECT blob FROM state_versions WHERE blob <> '' UNION SELECT blob FROM recovered ORDER BY 1")
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	result, err := t.session.exec(t.ctx, query, args...)
	if err != nil {
		return 0, t.explain(err)
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

// add is exec for an insert; conflict is what to say when the row exists already,
// which is no reason to give up the transaction.
func (t *tx) add(conflict, query string, args ...any) error {
	n, err := t.exec(query+" ON CONFLICT DO NOTHING", args...)
	if err == nil && n == 0 {
		return core.Errorf(core.Conflict, "%s", conflict)
	}
	return err
}

func missing(what string) error { return core.Errorf(core.NotFound, "there is no %s", what) }

// row is what a scan function reads: *sql.Row or *sql.Rows.
type row interface{ Scan(dest ...any) error }

// get reads one row; what names it when it is missing.
func get[T any](t *tx, what string, scan func(row) (T, error), query string, args ...any) (T, error) {
	all, err := list(t, scan, query, args...)
	if err == nil && len(all) == 0 {
		err = missing(what)
	}
	if err != nil {
		var zero T
		return zero, err
	}
	return all[0], nil
}

// list reads all rows.
func list[T any](t *tx, scan func(row) (T, error), query string, args ...any) (all []T, err error) {
	ctx, cancel := context.WithTimeout(t.ctx, statementWithin)
	defer cancel()
	rows, err := t.session.query(ctx, query, args...)
	if err != nil {
		return nil, t.explain(err)
	}
	defer func() { _ = rows.Close() }() // Err below has told
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			t.failed = core.Errorf(core.Internal, "the database %s holds something that this Terrace cannot read: %w", t.db.name, err)
			return nil, t.failed
		}
		all = append(all, v)
	}
	return all, t.explain(rows.Err())
}

// explain is the database's explain. After an error of the database nothing of the
// transaction may be stored, whatever its function makes of it: PostgreSQL answers
// COMMIT with a rollback that looks like success, and SQLite undoes everything after
// some errors and nothing after others.
func (t *tx) explain(err error) error {
	var ours *core.Error
	if err == nil || errors.As(err, &ours) { // it has not come as far as the database
		return err
	}
	explained := t.db.explain(err)
	if t.failed == nil {
		t.failed = explained
	}
	return explained
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

// items is how a list is stored: as a JSON array, [] when empty.
type items[T any] []T

// Value implements driver.Valuer.
func (l items[T]) Value() (driver.Value, error) {
	if len(l) == 0 {
		return "[]", nil
	}
	b, err := json.Marshal([]T(l))
	return string(b), err
}

// Scan implements sql.Scanner. An empty array becomes nil.
func (l *items[T]) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("a list is stored as %T", v)
	}
	*l = nil
	if s == "[]" {
		return nil
	}
	return json.Unmarshal([]byte(s), (*[]T)(l))
}

// maybe is how something is stored that there may be none of: as JSON, "" for none.
type maybe[T any] struct{ v **T }

// Value implements driver.Valuer.
func (m maybe[T]) Value() (driver.Value, error) {
	if *m.v == nil {
		return "", nil
	}
	b, err := json.Marshal(*m.v)
	return string(b), err
}

// Scan implements sql.Scanner.
func (m *maybe[T]) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("a document is stored as %T", v)
	}
	*m.v = nil
	if s == "" {
		return nil
	}
	return json.Unmarshal([]byte(s), m.v)
}

// document is how a part of something that nobody asks for by itself is stored: as JSON.
type document[T any] struct{ v *T }

// Value implements driver.Valuer.
func (d document[T]) Value() (driver.Value, error) {
	b, err := json.Marshal(d.v)
	return string(b), err
}

// Scan implements sql.Scanner.
func (d *document[T]) Scan(v any) error {
	s, ok := v.(string)
	if !ok {
		return fmt.Errorf("a document is stored as %T", v)
	}
	return json.Unmarshal([]byte(s), d.v)
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
