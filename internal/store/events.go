package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/bits"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

const eventColumns = "seq, at, actor, kind, project, subject, data, prev, hash"

func scanEvent(r row) (e core.Event, err error) {
	return e, r.Scan(&e.Seq, into(&e.At), &e.By, &e.Kind, &e.Project, &e.On, (*facts)(&e.Data), &e.Prev, &e.Hash)
}

// hashEvent is SHA-256, in hex, over a JSON array of the event's fields in a fixed
// order; the keys of Data are sorted by encoding/json.
func hashEvent(e core.Event) (string, error) {
	data := e.Data
	if data == nil {
		data = map[string]string{}
	}
	b, err := json.Marshal([]any{e.Prev, e.Seq, micros(e.At), e.By, e.Kind, e.Project, e.On, data})
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), err
}

// head is the newest event.
type head struct {
	seq  int64
	hash string
}

func (t *tx) eventHead() (head, error) {
	return get(t, "event head", func(r row) (h head, err error) { return h, r.Scan(&h.seq, &h.hash) }, "SELECT seq, hash FROM event_head")
}

// chain is the end of the audit log during a transaction of the database. Its events
// are written together, when somebody reads them or when the transaction ends: each of
// the updates that share it pays for a part of two statements.
type chain struct {
	known   bool
	stored  head // what the database has
	last    head // with what is pending
	pending []core.Event
}

func (t *tx) chainEnd() (*chain, error) {
	c := t.chain
	if c == nil {
		return nil, core.Errorf(core.Internal, "events are added in updates only")
	}
	if c.known {
		return c, nil
	}
	last, err := t.eventHead()
	if err == nil {
		*c = chain{known: true, stored: last, last: last}
	}
	return c, err
}

func (t *tx) AddEvent(e core.Event) error {
	c, err := t.chainEnd()
	if err != nil {
		return err
	}
	e.Seq, e.At, e.Prev = c.last.seq+1, t.now, c.last.hash
	// The hash is over what is stored.
	e.By, e.Kind, e.Project, e.On = prose(e.By), prose(e.Kind), prose(e.Project), prose(e.On)
	data := make(map[string]string, len(e.Data))
	for k, v := range e.Data {
		data[prose(k)] = prose(v)
	}
	e.Data = data
	if e.Hash, err = hashEvent(e); err != nil {
		return err
	}
	c.pending, c.last = append(c.pending, e), head{e.Seq, e.Hash}
	return nil
}

// writeEvents writes what is pending, in statements for 1, 2, 4, … rows, of which
// there are few to prepare.
func (t *tx) writeEvents() error {
	c := t.chain
	if c == nil || len(c.pending) == 0 {
		return nil
	}
	for rest := c.pending; len(rest) > 0; {
		n := min(64, 1<<(bits.Len(uint(len(rest)))-1))
		args := make([]any, 0, n*9)
		for _, e := range rest[:n] {
			args = append(args, e.Seq, micros(e.At), e.By, e.Kind, e.Project, e.On, facts(e.Data), e.Prev, e.Hash)
		}
		rest = rest[n:]
		one := "(" + placeholders(9) + "), "
		if _, err := t.exec("INSERT INTO events ("+eventColumns+") VALUES "+strings.TrimSuffix(strings.Repeat(one, n), ", "), args...); err != nil {
			return err
		}
	}
	if err := t.change("event head", "UPDATE event_head SET seq = ?, hash = ? WHERE seq = ?", c.last.seq, c.last.hash, c.stored.seq); err != nil {
		return err
	}
	*c = chain{known: true, stored: c.last, last: c.last}
	return nil
}

func (t *tx) Events(project string, after int64, n int) ([]core.Event, error) {
	if err := t.writeEvents(); err != nil {
		return nil, err
	}
	var w where
	w.is("project", project)
	w.conditions, w.args = append(w.conditions, "seq > ?"), append(w.args, after)
	return list(t, scanEvent, "SELECT "+eventColumns+" FROM events"+w.String()+" ORDER BY seq"+limit(n), w.args...)
}

func (t *tx) LastEvent() (int64, error) {
	if err := t.writeEvents(); err != nil {
		return 0, err
	}
	last, err := t.eventHead()
	return last.seq, err
}

// VerifyEvents reads the whole audit log and returns its last number and hash. The
// error is a Conflict that names the first event that does not fit: one that was
// changed, removed, inserted or moved. What it cannot find is a log rewritten from
// some point to its end by somebody who can write the database: for that, compare
// the hash with one noted elsewhere.
func (db *DB) VerifyEvents(ctx context.Context) (seq int64, hash string, err error) {
	err = db.View(ctx, func(ctx core.Tx) error {
		t := ctx.(*tx)
		last, err := t.eventHead()
		if err != nil {
			return err
		}
		for {
			events, err := t.Events("", seq, 1000)
			if err != nil {
				return err
			}
			for _, e := range events {
				want, err := hashEvent(e)
				switch {
				case err != nil:
					return err
				case e.Seq != seq+1:
					return core.Errorf(core.Conflict, "the audit log was changed: event %d is missing", seq+1)
				case e.Prev != hash || e.Hash != want:
					return core.Errorf(core.Conflict, "the audit log was changed: event %d does not fit the one before it, or its own hash", e.Seq)
				}
				seq, hash = e.Seq, e.Hash
			}
			if len(events) == 0 {
				break
			}
		}
		if last.seq != seq || last.hash != hash {
			return core.Errorf(core.Conflict, "the audit log was changed: it ends with event %d and should end with event %d", seq, last.seq)
		}
		return nil
	})
	return seq, hash, err
}
