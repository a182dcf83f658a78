package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

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

func (t *tx) AddEvent(e core.Event) error {
	last, err := t.eventHead()
	if err != nil {
		return err
	}
	e.Seq, e.At, e.Prev = last.seq+1, t.now, last.hash
	if e.Hash, err = hashEvent(e); err != nil {
		return err
	}
	if _, err := t.exec("INSERT INTO events ("+eventColumns+") VALUES ("+placeholders(9)+")",
		e.Seq, micros(e.At), e.By, e.Kind, e.Project, e.On, facts(e.Data), e.Prev, e.Hash); err != nil {
		return err
	}
	return t.change("event head", "UPDATE event_head SET seq = ?, hash = ? WHERE seq = ?", e.Seq, e.Hash, last.seq)
}

func (t *tx) Events(project string, after int64, n int) ([]core.Event, error) {
	var w where
	w.is("project", project)
	w.conditions, w.args = append(w.conditions, "seq > ?"), append(w.args, after)
	return list(t, scanEvent, "SELECT "+eventColumns+" FROM events"+w.String()+" ORDER BY seq"+limit(n), w.args...)
}

func (t *tx) LastEvent() (int64, error) {
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
