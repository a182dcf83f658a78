package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Bounds of one transaction of the database: how many updates share it, and for how
// long more of them may join.
const (
	groupMost = 64
	groupFor  = 15 * time.Millisecond
)

// errClosed is what an update gets when the store is closed.
var errClosed = core.Errorf(core.Unavailable, "the database is closed: the server is stopping")

// member is an update that waits for its turn in a transaction.
type member struct {
	ctx    context.Context
	turn   chan *tx   // given by the writer
	done   chan error // of its function
	result chan error // buffered: what became of it
}

// Update runs f alone: no other update runs at the same time, of this server or of
// another one on the same database. Updates that wait for each other share one
// transaction of the database, each behind a savepoint of its own, so that one sync of
// the disk makes all of them durable; f runs in the caller's goroutine.
//
// Once f runs it is not interrupted: ctx bounds the waiting. An Unavailable error says
// that nothing is known to be stored: when the connection is lost in a commit, it may
// be, so callers try again in a way that may be repeated.
func (db *DB) Update(ctx context.Context, f func(core.Tx) error) error {
	m := &member{ctx: ctx, turn: make(chan *tx), done: make(chan error), result: make(chan error, 1)}
	select {
	case db.queue <- m:
	case <-ctx.Done():
		return db.explain(ctx.Err())
	case <-db.closing:
		return errClosed
	}
	select {
	case t := <-m.turn:
		m.run(t, f)
	case <-ctx.Done():
		return db.explain(ctx.Err()) // the writer sees it too, and goes on
	case err := <-m.result:
		return err
	}
	return <-m.result
}

// run runs f and hands the transaction back, also when f panics.
func (m *member) run(t *tx, f func(core.Tx) error) {
	err := errors.New("the update panicked")
	defer func() { m.done <- err }()
	if err = f(t); err == nil {
		err = t.failed
	}
}

// write is the only writer of this server.
func (db *DB) write() {
	defer close(db.written)
	for {
		select {
		case m := <-db.queue:
			db.group(m)
		case <-db.closing:
			return
		}
	}
}

// group runs one transaction for first and for those who come while it runs.
func (db *DB) group(first *member) {
	s, now, err := db.beginWrite(first.ctx)
	if err != nil {
		first.result <- db.explain(err)
		return
	}
	began := time.Now()
	var stored []*member
	var events chain
	kept := false // a savepoint is set, and was gone back to
	over := false
	defer func() { db.writer.end(s, over) }()
	fail := func(err error) {
		over = s.rollback()
		for _, m := range stored {
			m.result <- err
		}
	}
	for m := first; m != nil; m = db.next(len(stored), began) {
		savepoint := len(stored) > 0 // the first has the whole transaction to give up
		if savepoint && !kept {
			// The one before is over: one round trip for both.
			statement := "RELEASE SAVEPOINT member; SAVEPOINT member"
			if len(stored) == 1 {
				statement = "SAVEPOINT member"
			}
			if err := s.plain(context.Background(), statement); err != nil {
				stored = append(stored, m)
				fail(db.explain(err))
				return
			}
		}
		before := events
		t := &tx{ctx: context.WithoutCancel(m.ctx), db: db, session: s, chain: &events, now: now.Add(time.Since(began).Truncate(time.Microsecond))}
		select {
		case m.turn <- t:
			err = <-m.done
		case <-m.ctx.Done():
			err = db.explain(m.ctx.Err())
		}
		switch {
		case err == nil:
			stored = append(stored, m)
			kept = false
		case savepoint:
			m.result <- err
			events = before
			err = s.plain(context.Background(), "ROLLBACK TO SAVEPOINT member")
			kept = true
		default:
			over = s.rollback()
			m.result <- err
			return
		}
		if err != nil {
			// The database gave up the transaction, and everybody's part in it.
			fail(db.explain(fmt.Errorf("the transaction ended early: %w", err)))
			return
		}
	}
	t := &tx{ctx: context.Background(), db: db, session: s, chain: &events}
	if err := t.writeEvents(); err != nil {
		fail(err)
		return
	}
	if err := s.plain(context.Background(), "COMMIT"); err != nil {
		fail(db.explain(err))
		return
	}
	over = true
	for _, m := range stored {
		m.result <- nil
	}
}

// next is a member that waits already, nil when the transaction had better end.
func (db *DB) next(members int, began time.Time) *member {
	if members == 0 || members >= groupMost || time.Since(began) > groupFor {
		return nil
	}
	select {
	case m := <-db.queue:
		return m
	default:
		return nil
	}
}

// beginWrite begins a transaction that nobody else can be in, and reads the clock.
func (db *DB) beginWrite(ctx context.Context) (*session, time.Time, error) {
	s, err := db.writer.begin(ctx, db.dialect.write)
	if err != nil {
		return nil, time.Time{}, err
	}
	now, err := db.dialect.lock(ctx, s.conn)
	if err != nil {
		db.writer.end(s, s.rollback())
		return nil, time.Time{}, err
	}
	return s, now, nil
}
