package store

import (
	"context"
	"database/sql"
	"net"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/terrace-cd/terrace/internal/core"
)

// writeLock is the advisory lock of whoever writes, among all servers on a database.
// It ends with the transaction, and with the connection.
const writeLock = 0x7465727261636501 // "terrace", 1

// connectWithin bounds making a connection.
const connectWithin = 10 * time.Second

// postgresReaders bounds the connections that read.
const postgresReaders = 16

var postgresDialect = dialect{
	migrations: "migrations/postgres", goose: goose.DialectPostgres,
	// READ COMMITTED: writers wait for the lock first, so that every statement sees all
	// that the writers before it have stored.
	write: "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE", read: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	rewrite: numbered(),
	lock: func(ctx context.Context, conn *sql.Conn) (now time.Time, err error) {
		var locked any
		err = conn.QueryRowContext(ctx, "SELECT pg_advisory_xact_lock($1), clock_timestamp()", writeLock).Scan(&locked, &now)
		return now.UTC(), err
	},
	now: func(ctx context.Context, conn *sql.Conn) (now time.Time, err error) {
		err = conn.QueryRowContext(ctx, "SELECT clock_timestamp()").Scan(&now)
		return now.UTC(), err
	},
}

// openPostgres opens a PostgreSQL database.
func (db *DB) openPostgres(ctx context.Context, databaseURL string) error {
	config, err := pgx.ParseConfig(databaseURL)
	if err != nil {
		// The error of the library may quote the URL, with the password.
		return core.Errorf(core.Invalid, "the database URL cannot be used; it has the form postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full (the password may come from PGPASSWORD or a .pgpass file)")
	}
	db.name, db.dialect = redacted(databaseURL), &postgresDialect
	config.ConnectTimeout = connectWithin
	// Keep-alive finds a peer that is gone without a word.
	config.DialFunc = (&net.Dialer{Timeout: connectWithin, KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4}}).DialContext
	for name, value := range map[string]string{
		"application_name":   "terrace",
		"synchronous_commit": "on", // what is acknowledged is on disk, whatever the server's default
		"timezone":           "UTC",
		// A server that hangs in a transaction must not stop the others for ever.
		"idle_in_transaction_session_timeout": "30s",
		"statement_timeout":                   "60s",
	} {
		config.RuntimeParams[name] = value
	}
	db.config = config
	if err := db.migratePostgres(ctx); err != nil {
		return err
	}
	db.writer = newSessions(stdlib.OpenDB(*config), db.dialect, 1)
	readers := config.Copy()
	readers.RuntimeParams["default_transaction_read_only"] = "on"
	db.readers = newSessions(stdlib.OpenDB(*readers), db.dialect, postgresReaders)
	return nil
}

// migratePostgres looks at the database and brings its schema up to date.
func (db *DB) migratePostgres(ctx context.Context) error {
	config := db.config.Copy()
	config.RuntimeParams["statement_timeout"] = "0" // a change of a large table takes what it takes
	pool := stdlib.OpenDB(*config)
	defer func() { _ = pool.Close() }() // it was for this alone
	if err := db.requireOwnDatabase(ctx, pool); err != nil {
		return err
	}
	// Servers that start at once migrate one after the other: ask every second, for 5 minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	return db.migrate(ctx, pool, goose.WithSessionLocker(locker))
}

// requireOwnDatabase refuses a database with another program's tables, and one that
// cannot keep every text.
func (db *DB) requireOwnDatabase(ctx context.Context, pool *sql.DB) error {
	var encoding, schema string
	var tables int64
	var mayCreate, ours bool
	if err := pool.QueryRowContext(ctx, `SELECT current_setting('server_encoding'), coalesce(current_schema(), ''), coalesce(has_schema_privilege(current_schema(), 'CREATE'), false), count(*),
		coalesce(bool_or(relname = 'event_head'), false) OR count(*) FILTER (WHERE relname = 'goose_db_version') = count(*)
		FROM pg_class WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND relkind IN ('r', 'p', 'f')
		AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e')`).Scan(&encoding, &schema, &mayCreate, &tables, &ours); err != nil {
		return db.explain(err)
	}
	switch {
	case encoding != "UTF8":
		return core.Errorf(core.Invalid, "%s has the encoding %s; give Terrace a database with UTF8: CREATE DATABASE terrace ENCODING 'UTF8' TEMPLATE template0", db.name, encoding)
	case schema == "":
		return core.Errorf(core.Invalid, "%s has no schema for Terrace's tables, or the search_path in the URL names none; make it: CREATE SCHEMA terrace AUTHORIZATION %s", db.name, db.config.User)
	case tables == 0 && !mayCreate:
		return core.Errorf(core.Invalid, "%s: the user may not make tables there; let it: GRANT CREATE ON SCHEMA %s TO %s", db.name, schema, db.config.User)
	case tables > 0 && !ours:
		return core.Errorf(core.Invalid, "%s holds tables of another program; give Terrace a database, or a schema (?search_path=terrace), of its own", db.name)
	}
	return nil
}

// redacted is a URL without its password.
func redacted(databaseURL string) string {
	u, err := url.Parse(databaseURL)
	if err != nil {
		return "the database"
	}
	query := u.Query()
	for _, secret := range []string{"password", "sslpassword"} {
		if query.Has(secret) {
			query.Del(secret)
			u.RawQuery = query.Encode()
		}
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	return u.String()
}
