package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/wire"
)

// maxEvent bounds one line of an event stream.
const maxEvent = 1 << 20

// Logs returns the chunks of a run's log after a number, as many as the server gives
// at once; an empty answer means that there are none yet.
func (c *Client) Logs(ctx context.Context, run string, after int64) ([]wire.LogChunk, error) {
	return get[[]wire.LogChunk](ctx, c, path("runs", run, "logs"), "after", number(after))
}

// FollowLogs calls f with every chunk after a number, in order, each once, as they
// come, until the run is over, f returns an error, or ctx ends. A broken connection is
// taken up again where it broke.
func (c *Client) FollowLogs(ctx context.Context, run string, after int64, f func(wire.LogChunk) error) error {
	last := after
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		before := last
		over, err := c.stream(ctx, run, &last, f)
		var gone *Unreachable
		var refused *Error
		switch {
		case over:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && !errors.As(err, &gone) && !(errors.As(err, &refused) && refused.Temporary()):
			return err
		case errors.As(err, &gone) && before == after && last == after && pause > time.Second:
			return err // it was never there
		}
		if last > before {
			pause = firstPause
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// stream reads one event stream. over: the server said that nothing follows.
func (c *Client) stream(ctx context.Context, run string, last *int64, f func(wire.LogChunk) error) (over bool, err error) {
	resp, err := c.send(ctx, request{method: "GET", path: path("runs", run, "logs", "stream"),
		query: query("after", number(*last)), accept: "text/event-stream"})
	if err != nil {
		return false, err
	}
	defer func() { _ = resp.Body.Close() }()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 0, 64<<10), maxEvent)
	event, data := "", strings.Builder{}
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case field == "event":
			event = value
		case field == "data":
			data.WriteString(value)
		case lines.Text() != "":
			// an id, a retry or a comment that keeps the connection open
		case event == "end":
			return true, nil
		default:
			if event == "log" {
				var chunk wire.LogChunk
				if err := json.Unmarshal([]byte(data.String()), &chunk); err != nil {
					return false, fmt.Errorf("the log stream of %s cannot be read: %w", run, err)
				}
				if chunk.Seq > *last {
					*last = chunk.Seq
					if err := f(chunk); err != nil {
						return false, err
					}
				}
			}
			event = ""
			data.Reset()
		}
	}
	if err := lines.Err(); err != nil {
		return false, &Unreachable{URL: c.url, Cause: err}
	}
	return false, &Unreachable{URL: c.url, Cause: io.ErrUnexpectedEOF}
}
