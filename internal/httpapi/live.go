package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
)

func limit(bytes int64) func(*huma.Operation) {
	return func(op *huma.Operation) { op.MaxBodyBytes = bytes }
}

// errGone ends a stream whose reader is gone, or that a reader will ask for again.
// Nobody is told: the answer has begun.
var errGone = errors.New("the reader is gone")

// keepAlive is how often a silent stream says that it lives.
const keepAlive = 15 * time.Second

// stream starts an answer of server-sent events. send writes one and flushes it.
func stream(w http.ResponseWriter) (send func(event, id, data string) error) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	return func(event, id, data string) error {
		if event == "" {
			_, _ = fmt.Fprint(w, ": still here\n\n")
			return control.Flush()
		}
		if id != "" {
			id = "id: " + id + "\n"
		}
		_, _ = fmt.Fprintf(w, "event: %s\n%sdata: %s\n\n", event, id, data)
		return control.Flush()
	}
}

// streamLogs follows a run's log: an event "log" for each chunk, an event "end" when
// the run is over. A reader that comes back says with ?after= or Last-Event-ID where
// it was, and misses nothing.
func (a *API) streamLogs(w http.ResponseWriter, req *http.Request) error {
	ctx, id := req.Context(), req.PathValue("id")
	after, err := position(req)
	if err != nil {
		return err
	}
	changed := a.Bus.Listen(ctx, bus.LogTopic(id))
	chunks, over, err := a.Board.Logs(ctx, id, after, 200)
	if err != nil {
		return err
	}
	send := stream(w)
	if send("", "", "") != nil {
		return errGone
	}
	for {
		for _, c := range chunks {
			after = c.Seq
			data, err := json.Marshal(c)
			if err != nil {
				return errGone
			}
			if send("log", strconv.FormatInt(c.Seq, 10), string(data)) != nil {
				return errGone
			}
		}
		switch {
		case len(chunks) > 0:
		case over:
			_ = send("end", "", "{}")
			return nil
		default:
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			case <-time.After(keepAlive):
				if send("", "", "") != nil {
					return errGone
				}
			}
		}
		if chunks, over, err = a.Board.Logs(ctx, id, after, 200); err != nil {
			return errGone // the stream has begun: the reader comes back and hears of it
		}
	}
}

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

// streamChanges says "changed" whenever something of a project (?project=) did.
func (a *API) streamChanges(w http.ResponseWriter, req *http.Request) error {
	ctx, project := req.Context(), req.URL.Query().Get("project")
	if err := may(ctx, core.RoleViewer, project, ""); err != nil {
		return err
	}
	changed := a.Bus.Listen(ctx, project)
	send := stream(w)
	for err := send("changed", "", "{}"); err == nil; {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			err = send("changed", "", "{}")
		case <-time.After(keepAlive):
			err = send("", "", "")
		}
	}
	return errGone
}
