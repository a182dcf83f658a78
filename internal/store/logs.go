package store

import "github.com/terrace-cd/terrace/internal/core"

const chunkColumns = "run, seq, start_at, phase, body, at"

func scanChunk(r row) (c core.LogChunk, err error) {
	return c, r.Scan(&c.Run, &c.Seq, &c.Offset, &c.Phase, &c.Text, into(&c.At))
}

// AddLog keeps the highest number and the size with the run, so that neither a gap
// nor the size of all logs needs a look at the chunks.
func (t *tx) AddLog(c core.LogChunk) error {
	c.Text = prose(c.Text)
	last, err := get(t, "run "+c.Run, func(r row) (n int64, err error) { return n, r.Scan(&n) }, "SELECT log_seq FROM runs WHERE id = ?", c.Run)
	switch {
	case err != nil:
		return err
	case c.Seq < 1 || c.Seq > last+1:
		return core.Errorf(core.Conflict, "log chunk %d of %s leaves a gap: the last one is %d", c.Seq, c.Run, last)
	case c.Seq <= last:
		text, err := get(t, "log chunk", scanString, "SELECT body FROM log_chunks WHERE run = ? AND seq = ?", c.Run, c.Seq)
		if core.CodeOf(err) == core.NotFound || err == nil && prose(text) == c.Text {
			return nil // said again, perhaps after retention dropped it
		} else if err != nil {
			return err
		}
		return core.Errorf(core.Conflict, "log chunk %d of %s is there with another text", c.Seq, c.Run)
	}
	if _, err := t.exec("INSERT INTO log_chunks ("+chunkColumns+") VALUES (?, ?, ?, ?, ?, ?)", c.Run, c.Seq, c.Offset, c.Phase, c.Text, micros(c.At)); err != nil {
		return err
	}
	return t.change("run "+c.Run, "UPDATE runs SET log_seq = ?, log_bytes = log_bytes + ? WHERE id = ?", c.Seq, len(c.Text), c.Run)
}

func (t *tx) LogChunks(run string, after int64, n int) ([]core.LogChunk, error) {
	return list(t, scanChunk, "SELECT "+chunkColumns+" FROM log_chunks WHERE run = ? AND seq > ? ORDER BY seq"+limit(n), run, after)
}

func (t *tx) LogEnd(run string) (seq, bytes int64, err error) {
	_, err = get(t, "run "+run, func(r row) (int64, error) { return seq, r.Scan(&seq, &bytes) }, "SELECT log_seq, log_bytes FROM runs WHERE id = ?", run)
	return seq, bytes, err
}

func (t *tx) PruneLogs(maxBytes int64) (dropped int, err error) {
	kept, err := get(t, "runs", func(r row) (n int64, err error) { return n, r.Scan(&n) }, "SELECT coalesce(sum(log_bytes), 0) FROM runs WHERE log_bytes > 0")
	if err != nil || kept <= maxBytes {
		return 0, err
	}
	type log struct {
		run    string
		status core.RunStatus
		bytes  int64
	}
	logs, err := list(t, func(r row) (l log, err error) { return l, r.Scan(&l.run, &l.status, &l.bytes) },
		"SELECT id, status, log_bytes FROM runs WHERE log_bytes > 0 AND finished > 0 ORDER BY finished, seq")
	if err != nil {
		return 0, err
	}
	for _, l := range logs {
		if kept <= maxBytes {
			break
		}
		if !l.status.Terminal() {
			continue
		}
		if _, err := t.exec("DELETE FROM log_chunks WHERE run = ?", l.run); err != nil {
			return 0, err
		}
		if _, err := t.exec("UPDATE runs SET log_bytes = 0 WHERE id = ?", l.run); err != nil {
			return 0, err
		}
		kept -= l.bytes
		dropped++
	}
	return dropped, nil
}
