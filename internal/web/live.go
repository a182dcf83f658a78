package web

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// keepAlive is how often a silent stream says that it is there.
const keepAlive = 20 * time.Second

// stream writes server-sent events.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func newStream(w http.ResponseWriter) stream {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	_, _ = io.WriteString(w, "retry: 1000\n\n") // ms; who is gone is noticed by the first event
	return stream{w, http.NewResponseController(w)}
}

// send writes an event; without a name it only says that the stream is there. An
// error means that the reader is gone.
func (s stream) send(event, id, data string) error {
	text := ": still here\n\n"
	if event != "" {
		text = "event: " + event + "\ndata: " + data + "\n\n"
		if id != "" {
			text = "id: " + id + "\n" + text
		}
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}

// projectEvents says "changed" after every change of a project, or of any.
func (s *site) projectEvents(w http.ResponseWriter, req *http.Request) error {
	ctx := req.Context()
	changed := s.backend.Changed(ctx, req.PathValue("project"))
	out := newStream(w)
	for err := out.send("changed", "", "{}"); err == nil; {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			if !s.gather(ctx) {
				return nil
			}
			err = out.send("changed", "", "{}")
		case <-time.After(keepAlive):
			err = out.send("", "", "")
		}
	}
	return nil
}

// gather lets a burst of changes become one. It reports whether the reader is still
// there.
func (s *site) gather(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(s.options.Gather):
		return true
	}
}

// wireLine is a line as the stream carries it: pieces of text, each with the classes of
// its style. The page makes text nodes of them, so nothing in them can become markup.
type wireLine struct {
	N      int         `json:"n"`
	Phase  string      `json:"p"`
	Pieces [][2]string `json:"s"`
}

// logEvents streams a run's log: "lines" with those that are new or have grown since
// the chunk that the reader names, "changed" when the run changed, and "end" when it is
// over and everything was sent. Lines carry their numbers, so that a reader who gets
// one twice just writes it again.
func (s *site) logEvents(w http.ResponseWriter, req *http.Request) error {
	ctx, id := req.Context(), req.PathValue("id")
	run, err := s.backend.Run(ctx, id)
	if err != nil {
		return err
	}
	after, err := position(req)
	if err != nil {
		return err
	}
	changed, grown := s.backend.Changed(ctx, run.Project), s.backend.LogChanged(ctx, id)
	out := newStream(w)
	if err := out.send("changed", "", "{}"); err != nil {
		return nil
	}
	var l lines
	var seen int64
	for {
		// The end is looked for before the log is read, so that no line comes after it.
		if run, err = s.backend.Run(ctx, id); err != nil {
			return nil // the stream has begun: the reader comes back and hears of it
		}
		if seen, err = s.sendLines(ctx, out, id, &l, seen, after); err != nil {
			return nil
		}
		if core.RunStatus(run.Status).Terminal() {
			if out.send("changed", "", "{}") == nil {
				_ = out.send("end", "", "{}") // the reader is gone
			}
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-grown:
		case <-changed:
			if !s.gather(ctx) {
				return nil
			}
			err = out.send("changed", "", "{}")
		case <-time.After(keepAlive):
			err = out.send("", "", "")
		}
		if err != nil {
			return nil
		}
	}
}

// sendLines sends what the log has after the chunk numbered seen; chunks up to skip
// only count lines, the reader has them.
func (s *site) sendLines(ctx context.Context, out stream, run string, l *lines, seen, skip int64) (int64, error) {
	err := s.chunks(ctx, run, seen, func(c wire.LogChunk) error {
		seen = c.Seq
		batch := l.add(c)
		if c.Seq <= skip || len(batch) == 0 {
			return nil
		}
		wired := make([]wireLine, 0, len(batch))
		for _, line := range batch {
			wl := wireLine{N: line.N, Phase: line.Phase, Pieces: [][2]string{}}
			for _, sp := range ansi.Spans(line.Text) {
				wl.Pieces = append(wl.Pieces, [2]string{sp.Text, sp.Style.Classes()})
			}
			wired = append(wired, wl)
		}
		data, err := json.Marshal(wired)
		if err != nil {
			return fmt.Errorf("writing lines: %w", err)
		}
		return out.send("lines", strconv.FormatInt(c.Seq, 10), string(data))
	})
	return seen, err
}

// position is the chunk that a reader has: ?after=, or what its browser remembers.
func position(req *http.Request) (int64, error) {
	text := req.URL.Query().Get("after")
	if last := req.Header.Get("Last-Event-ID"); last != "" {
		text = last
	}
	if text == "" {
		return 0, nil
	}
	after, err := strconv.ParseInt(text, 10, 64)
	if err != nil || after < 0 {
		return 0, core.Errorf(core.Invalid, "after has to be the number of a chunk, not %q", text)
	}
	return after, nil
}
