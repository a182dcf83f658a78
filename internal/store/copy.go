package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// table is what copying has to know of one: the columns that order its rows, and the
// column whose numbers are given out, "" when none is.
type table struct{ name, key, counts string }

// tables are all tables, those that others refer to first. A test compares the list
// with both schemas.
var tables = []table{
	{"counters", "name", ""},
	{"projects", "name", ""},
	{"releases", "project, number", ""},
	{"rollouts", "seq", "seq"},
	{"stages", "id", ""},
	{"environments", "project, name", ""},
	{"verifications", "seq", "seq"},
	{"runs", "seq", "seq"},
	{"run_docs", "run, kind", ""},
	{"log_chunks", "run, seq", ""},
	{"instances", "project, environment, stack", ""},
	{"state_versions", "id", "id"},
	{"state_locks", "project, environment, stack", ""},
	{"recovered", "id", "id"},
	{"tokens", "id", ""},
	{"secrets", "project, environment, name", ""},
	{"own_states", "project, environment, stack", ""},
	{"exceptions", "id", ""},
	{"freezes", "id", ""},
	{"replacements", "id", ""},
	{"guardrails", "version", ""},
	{"votes", "seq", "seq"},
	{"moves", "id", "id"},
	{"drifts", "project, environment, stack", ""},
	{"instance_hosts", "project, environment, stack, name", ""},
	{"pulls", "project, number", ""},
	{"previews", "id", ""},
	{"posts", "project, key", ""},
	{"modules", "address", ""},
	{"module_versions", "module, version", ""},
	{"module_sets", "project, digest", ""},
	{"release_modules", "project, commit_id", ""},
	{"images", "project, name, digest", ""},
	{"leases", "name", ""},
	{"keys", "id", ""},
	{"settings", "name", ""},
	{"events", "seq", ""},
	{"event_head", `"only"`, ""},
}

// Copied says what a copy holds, for people to compare and for programs to check.
type Copied struct {
	Rows   map[string]int64  // by table
	Digest map[string]string // by table: SHA-256 over all rows in order, equal in both databases
	// Event and EventHash are the end of the audit log, whose chain was verified.
	Event     int64
	EventHash string
}

// CopyOptions of a copy.
type CopyOptions struct {
	// Move closes the source for ever, in the transaction that read it: whoever still
	// works on it is refused from the moment when the copy is complete. To says where
	// it went. Only a SQLite database can be moved.
	Move bool
	To   string
	// Progress is called with each table, now and then and when it is done.
	Progress func(table string, rows int64)
}

// Copy copies every row of one database into another, empty one, of either kind, and
// proves it: what was written is read again and compared, and the audit chain is
// verified. All of it is one transaction in each database: a copy that fails leaves
// the target empty and the source as it was. The source is one snapshot; with Move
// nobody can write to it while it is copied, nor afterwards.
//
// Errors: Conflict when the target has rows, or when what arrived differs; Invalid
// for a source that cannot be moved.
func Copy(ctx context.Context, from, to *DB, o CopyOptions) (copied Copied, err error) {
	if o.Progress == nil {
		o.Progress = func(string, int64) {}
	}
	if o.Move && from.isPostgres() {
		return Copied{}, core.Errorf(core.Invalid, "only a SQLite database can be moved; copy a PostgreSQL database without moving it")
	}
	read := from.View
	if o.Move {
		read = from.Update // holds the write lock
	}
	if _, _, err := from.VerifyEvents(ctx); err != nil {
		return Copied{}, err
	}
	err = read(ctx, func(sourceTx core.Tx) error {
		source := sourceTx.(*tx)
		if err := to.Update(ctx, func(targetTx core.Tx) (err error) {
			copied, err = copyAll(source, targetTx.(*tx), o.Progress)
			return err
		}); err != nil {
			return err
		}
		if o.Move {
			return source.closeForEver(o.To)
		}
		return nil
	})
	if err != nil {
		return Copied{}, err
	}
	// What was committed is what counts.
	seq, hash, err := to.VerifyEvents(ctx)
	if err == nil && (seq != copied.Event || hash != copied.EventHash) {
		err = core.Errorf(core.Conflict, "the copy's audit log ends with event %d and not %d", seq, copied.Event)
	}
	return copied, err
}

func copyAll(source, target *tx, progress func(string, int64)) (Copied, error) {
	copied := Copied{Rows: map[string]int64{}, Digest: map[string]string{}}
	// Updates that share these transactions may have left some.
	if err := errors.Join(source.writeEvents(), target.writeEvents()); err != nil {
		return copied, err
	}
	defer func() { *target.chain = chain{} }() // it is another log afterwards
	if err := target.requireEmpty(); err != nil {
		return copied, err
	}
	for _, table := range tables {
		rows, digest, err := source.copyTable(target, table, progress)
		if err != nil {
			return copied, fmt.Errorf("copying the table %s: %w", table.name, err)
		}
		copied.Rows[table.name], copied.Digest[table.name] = rows, digest
	}
	for _, table := range tables {
		rows, digest, err := target.digestTable(table)
		if err != nil {
			return copied, fmt.Errorf("reading the table %s of the copy: %w", table.name, err)
		}
		if rows != copied.Rows[table.name] || digest != copied.Digest[table.name] {
			return copied, core.Errorf(core.Conflict, "the copy of the table %s differs (%d of %d rows arrived); nothing was kept of it", table.name, rows, copied.Rows[table.name])
		}
	}
	last, err := target.eventHead()
	copied.Event, copied.EventHash = last.seq, last.hash
	return copied, err
}

// requireEmpty refuses a database in which something happened, and removes the rows
// that a new one begins with.
func (t *tx) requireEmpty() error {
	for _, table := range tables {
		if table.name == "counters" || table.name == "event_head" {
			continue
		}
		n, err := get(t, table.name, func(r row) (n int64, err error) { return n, r.Scan(&n) }, "SELECT count(*) FROM "+table.name)
		if err != nil {
			return err
		}
		if n > 0 {
			return core.Errorf(core.Conflict, "the database to copy into is not empty: its table %s has %d rows; give an empty one, nothing was changed", table.name, n)
		}
	}
	for _, name := range []string{"counters", "event_head"} {
		if _, err := t.exec("DELETE FROM " + name); err != nil {
			return err
		}
	}
	return nil
}

// Bounds of one INSERT: parameters (SQLite's default is 32,766), and bytes.
const (
	insertParameters = 20_000
	insertBytes      = 4 << 20
)

// copyTable copies a table's rows in order.
func (t *tx) copyTable(target *tx, table table, progress func(string, int64)) (rows int64, digest string, err error) {
	columns, err := t.columns(table.name)
	if err != nil {
		return 0, "", err
	}
	theirs, err := target.columns(table.name)
	if err != nil {
		return 0, "", err
	}
	if !slices.Equal(columns, theirs) {
		return 0, "", core.Errorf(core.Conflict, "its columns differ in the two databases: %s, and %s", strings.Join(columns, ", "), strings.Join(theirs, ", "))
	}
	names := make([]string, len(columns)) // quoted: some are words of SQL
	for i, c := range columns {
		names[i] = `"` + c + `"`
	}
	head := "INSERT INTO " + table.name + " (" + strings.Join(names, ", ") + ") VALUES "
	one := "(" + placeholders(len(columns)) + ")"
	var values []any
	var size int
	flush := func() error {
		if len(values) == 0 {
			return nil
		}
		n := len(values) / len(columns)
		_, err := target.exec(head+strings.TrimSuffix(strings.Repeat(one+", ", n), ", "), values...)
		values, size = values[:0], 0
		return err
	}
	sum := sha256.New()
	rows, err = t.eachRow(table, names, func(fields []any) error {
		for _, field := range fields {
			field = table.convert(field)
			size += digestField(sum, field)
			values = append(values, field)
		}
		if len(values) >= insertParameters || len(values)+len(columns) > insertParameters || size > insertBytes {
			if err := flush(); err != nil {
				return err
			}
			progress(table.name, -1)
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err == nil && table.counts != "" {
		var last int64
		if last, err = t.lastNumber(table); err == nil && last > 0 {
			err = target.setLastNumber(table, last)
		}
	}
	if err != nil {
		return 0, "", err
	}
	progress(table.name, rows)
	return rows, hex.EncodeToString(sum.Sum(nil)), nil
}

// digestTable is the digest of a table's rows in order, without regard to which
// database they are in.
func (t *tx) digestTable(table table) (rows int64, digest string, err error) {
	columns, err := t.columns(table.name)
	if err != nil {
		return 0, "", err
	}
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = `"` + c + `"`
	}
	sum := sha256.New()
	rows, err = t.eachRow(table, names, func(fields []any) error {
		for _, field := range fields {
			digestField(sum, field)
		}
		return nil
	})
	return rows, hex.EncodeToString(sum.Sum(nil)), err
}

// eachRow calls f with every row of a table, in order. The fields are f's only until
// it returns.
func (t *tx) eachRow(table table, columns []string, f func(fields []any) error) (n int64, err error) {
	rows, err := t.session.query(t.ctx, "SELECT "+strings.Join(columns, ", ")+" FROM "+table.name+" ORDER BY "+table.key)
	if err != nil {
		return 0, t.explain(err)
	}
	defer func() { _ = rows.Close() }() // Err below has told
	fields, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range fields {
		into[i] = &fields[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return n, t.explain(err)
		}
		if err := f(fields); err != nil {
			return n, err
		}
		n++
	}
	return n, t.explain(rows.Err())
}

// columns are a table's columns by name: their order in the two schemas may differ.
func (t *tx) columns(table string) (columns []string, err error) {
	rows, err := t.session.query(t.ctx, "SELECT * FROM "+table+" LIMIT 0")
	if err != nil {
		return nil, t.explain(err)
	}
	defer func() { _ = rows.Close() }() // nothing is read
	if columns, err = rows.Columns(); err != nil {
		return nil, t.explain(err)
	}
	slices.Sort(columns)
	return columns, t.explain(rows.Err())
}

// convert turns a field as one database gives it into what the other takes. SQLite may
// have text from before what is stored was looked at; in the audit log it stays, since
// its hashes are over it.
func (table table) convert(v any) any {
	switch v := v.(type) {
	case []byte:
		return bytes.Clone(v) // the driver may use it again
	case string:
		if table.name != "events" {
			return prose(v)
		}
	}
	return v
}

// digestField adds a field to a digest, with its kind and length, so that no two rows
// read the same, and returns its size in bytes.
func digestField(sum hash.Hash, v any) int {
	switch v := v.(type) {
	case int64:
		var b [9]byte
		b[0] = 'i'
		binary.BigEndian.PutUint64(b[1:], uint64(v))
		sum.Write(b[:])
		return 8
	case string:
		digestBytes(sum, 's', []byte(v))
		return len(v)
	case []byte:
		digestBytes(sum, 'b', v)
		return len(v)
	case nil:
		sum.Write([]byte{'n'})
		return 0
	}
	digestBytes(sum, '?', fmt.Appendf(nil, "%T %v", v, v)) // no column holds anything else
	return 0
}

func digestBytes(sum hash.Hash, kind byte, b []byte) {
	var head [9]byte
	head[0] = kind
	binary.BigEndian.PutUint64(head[1:], uint64(len(b)))
	sum.Write(head[:])
	sum.Write(b)
}

// lastNumber is the highest number that a table has ever given out.
func (t *tx) lastNumber(table table) (int64, error) {
	query, args := "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?", []any{table.name}
	if t.db.isPostgres() {
		sequence, err := t.sequence(table)
		if err != nil {
			return 0, err
		}
		query, args = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM "+sequence, nil
	}
	return get(t, "sequence of "+table.name, func(r row) (n int64, err error) { return n, r.Scan(&n) }, query, args...)
}

// setLastNumber makes a table go on after the number.
func (t *tx) setLastNumber(table table, last int64) error {
	if t.db.isPostgres() {
		sequence, err := t.sequence(table)
		if err != nil {
			return err
		}
		_, err = t.exec("SELECT setval(CAST(CAST(? AS text) AS regclass), ?)", sequence, last)
		return err
	}
	n, err := t.exec("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", last, table.name)
	if err == nil && n == 0 {
		_, err = t.exec("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", table.name, last)
	}
	return err
}

// sequence is the name of the sequence of a table's numbers in PostgreSQL.
func (t *tx) sequence(table table) (string, error) {
	return get(t, "sequence of "+table.name, scanString, "SELECT pg_get_serial_sequence(?, ?)", table.name, table.counts)
}

// movedPrefix begins the message with which a moved database refuses everything.
const movedPrefix = "moved to "

// closeForEver makes a SQLite database refuse every write from the end of this
// transaction on, whoever has it open: an older server that went on would change what
// nobody reads any more.
func (t *tx) closeForEver(to string) error {
	message := strings.ReplaceAll(movedPrefix+to, "'", "''")
	for _, table := range tables {
		for _, verb := range []string{"INSERT", "UPDATE", "DELETE"} {
			if _, err := t.exec(fmt.Sprintf("CREATE TRIGGER moved_%s_%s BEFORE %s ON %s BEGIN SELECT RAISE(ABORT, '%s'); END",
				table.name, strings.ToLower(verb), verb, table.name, message)); err != nil {
				return err
			}
		}
	}
	return nil
}
