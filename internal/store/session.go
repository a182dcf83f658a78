package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// session is one connection, used by one goroutine at a time.
type session struct {
	conn       *sql.Conn
	dialect    *dialect
	statements map[string]*sql.Stmt
}

// statementWithin bounds one statement: beyond it the database is taken to hang.
const statementWithin = time.Minute

// longStatement is the length, in bytes, from which a statement is not kept: it inserts
// many rows, and hardly ever as many again.
const longStatement = 4 << 10

// maxStatements bounds the statements that a session keeps: lists of parameters have
// many lengths.
const maxStatements = 300

func (s *session) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	args, err := values(args)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, statementWithin)
	defer cancel()
	if !s.dialect.keepStatements || len(query) > longStatement {
		return s.conn.ExecContext(ctx, s.dialect.rewrite(query), args...)
	}
	statement, err := s.prepare(ctx, query) //nolint:sqlclosecheck // it is kept, and closed with the session
	if err != nil {
		return nil, err
	}
	return statement.ExecContext(ctx, args...)
}

func (s *session) prepare(ctx context.Context, query string) (*sql.Stmt, error) {
	if statement := s.statements[query]; statement != nil {
		return statement, nil
	}
	if len(s.statements) >= maxStatements {
		for key, statement := range s.statements {
			_ = statement.Close() // it is not used any more
			delete(s.statements, key)
		}
	}
	statement, err := s.conn.PrepareContext(ctx, query)
	if err == nil {
		s.statements[query] = statement
	}
	return statement, err
}

func (s *session) query(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	args, err := values(args)
	if err != nil {
		return nil, err
	}
	if !s.dialect.keepStatements || len(query) > longStatement {
		return s.conn.QueryContext(ctx, s.dialect.rewrite(query), args...)
	}
	statement, err := s.prepare(ctx, query) //nolint:sqlclosecheck // it is kept, and closed with the session
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(ctx, args...)
}

// plain executes a statement of transaction control.
func (s *session) plain(ctx context.Context, statement string) error {
	if statement == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, statementWithin)
	defer cancel()
	_, err := s.conn.ExecContext(ctx, statement)
	return err
}

// drop closes the connection for good: something is wrong with it, or nobody knows in
// what state it is.
func (s *session) drop() {
	for _, statement := range s.statements {
		_ = statement.Close() // with its connection
	}
	_ = s.conn.Raw(func(any) error { return driver.ErrBadConn }) // which makes the pool forget it
	_ = s.conn.Close()
}

// sessions are connections for one use, kept between transactions with what they have
// prepared.
type sessions struct {
	db      *sql.DB
	dialect *dialect
	idle    chan *session
	slots   chan struct{} // one for each that is in use
}

func newSessions(db *sql.DB, d *dialect, n int) *sessions {
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return &sessions{db: db, dialect: d, idle: make(chan *session, n), slots: make(chan struct{}, n)}
}

// begin returns a session in a transaction. The connections of a database that was
// restarted meanwhile are all gone at once, which is found here and mended.
func (p *sessions) begin(ctx context.Context, statement string) (*session, error) {
	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	s, err := p.open(ctx, statement)
	if err != nil {
		<-p.slots
	}
	return s, err
}

func (p *sessions) open(ctx context.Context, statement string) (*session, error) {
	for {
		select {
		case s := <-p.idle:
			if err := s.plain(ctx, statement); err == nil {
				return s, nil
			}
			s.drop()
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue
		default:
		}
		conn, err := p.db.Conn(ctx)
		if err != nil {
			return nil, err
		}
		s := &session{conn: conn, dialect: p.dialect, statements: map[string]*sql.Stmt{}}
		if err := s.plain(ctx, statement); err != nil {
			s.drop()
			return nil, err
		}
		return s, nil
	}
}

// end gives a session back. Whoever does not know that its transaction is over says so.
func (p *sessions) end(s *session, over bool) {
	if over {
		select {
		case p.idle <- s:
			<-p.slots
			return
		default:
		}
	}
	s.drop()
	<-p.slots
}

func (p *sessions) close() error {
	for {
		select {
		case s := <-p.idle:
			for _, statement := range s.statements {
				_ = statement.Close() // with its connection
			}
			_ = s.conn.Close()
		default:
			return p.db.Close()
		}
	}
}

// rollbackWithin bounds giving up a transaction.
const rollbackWithin = 5 * time.Second

// rollback gives up a transaction and reports whether it is certainly over.
func (s *session) rollback() bool {
	ctx, cancel := context.WithTimeout(context.Background(), rollbackWithin) // the caller's may have ended
	defer cancel()
	return s.plain(ctx, "ROLLBACK") == nil
}

// View runs f on a snapshot, beside any writer.
func (db *DB) View(ctx context.Context, f func(core.Tx) error) error {
	s, err := db.readers.begin(ctx, db.dialect.read)
	if err != nil {
		return db.explain(err)
	}
	over := false
	defer func() { db.readers.end(s, over) }()
	defer func() { over = s.rollback() }()
	t := &tx{ctx: ctx, db: db, session: s}
	if err := f(t); err != nil {
		return err
	}
	return t.failed
}

// Peek runs f without a transaction.
func (db *DB) Peek(ctx context.Context, f func(core.Tx) error) error {
	err := db.peek(ctx, f)
	if core.CodeOf(err) != core.Unavailable || ctx.Err() != nil {
		return err
	}
	// Of a connection that broke while nobody used it only the first statement tells; a
	// snapshot begins with one that may be repeated.
	return db.View(ctx, f)
}

func (db *DB) peek(ctx context.Context, f func(core.Tx) error) (err error) {
	s, err := db.readers.begin(ctx, "")
	if err != nil {
		return db.explain(err)
	}
	over := false
	defer func() { db.readers.end(s, over) }()
	t := &tx{ctx: ctx, db: db, session: s}
	if err = f(t); err == nil {
		err = t.failed
	}
	over = core.CodeOf(err) != core.Unavailable
	return err
}
