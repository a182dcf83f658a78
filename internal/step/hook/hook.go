// Package hook runs a command of the user's that comes before a change: a backup, the build of
// an image. It runs in a process group of its own, within a limit, and what it says last is
// kept, masked.
package hook

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/redact"
	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	// grace is how long a hook that is interrupted may take to end.
	grace = 10 * time.Second
	// defaultWithin bounds a hook whose limit cannot be read.
	defaultWithin = 30 * time.Minute
	// lastLines and lastBytes bound what is kept of a hook's output.
	lastLines = 20
	lastBytes = 500
)

// Options is where a hook runs, and where its output goes.
type Options struct {
	Dir    string
	Env    []string
	Output io.Writer // masks what is written to it
	Mask   *redact.Redactor
	// Stdout also gets the standard output, as it is.
	Stdout io.Writer
}

// Run runs a hook to its end, or until its time is up or ctx ends.
func Run(ctx context.Context, h wire.Hook, o Options) wire.Hooked {
	within, err := time.ParseDuration(h.Within)
	if err != nil || within <= 0 {
		within = defaultWithin
	}
	done := wire.Hooked{ID: h.ID, From: h.From, ExitCode: -1, Started: time.Now().UTC()}
	for _, arg := range h.Command {
		done.Command = append(done.Command, o.Mask.String(arg))
	}
	_, _ = fmt.Fprintf(o.Output, "$ %s\n", strings.Join(done.Command, " ")) // the log is best effort
	timed, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	last, reasons := newTail(o.Mask), newTail(o.Mask)
	output := io.MultiWriter(o.Output, last)
	command := process.Command{Args: h.Command, Dir: o.Dir, Env: o.Env, Stdout: output, Stderr: output, Grace: grace}
	if o.Stdout == nil {
		err = process.Run(timed, command)
	} else {
		err = apart(timed, command, o.Stdout, reasons)
	}
	took := time.Since(done.Started)
	done.Milliseconds = took.Milliseconds()
	done.Last = last.end()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		done.ExitCode = exit.ExitCode()
	}
	switch {
	case ctx.Err() != nil: // whatever it says to that: it may clean up, and end with 0
		done.Message = "stopped before its end"
	case timed.Err() != nil:
		done.Message = fmt.Sprintf("still running after %s, and ended", within)
	case err == nil:
		done.OK, done.ExitCode, done.Message = true, 0, fmt.Sprintf("exit 0 after %s", took.Round(time.Millisecond))
	case exit == nil:
		done.Message = "it cannot be started: " + o.Mask.String(err.Error())
	case done.ExitCode < 0:
		done.Message = "ended by " + exit.String()
	default:
		done.Message = fmt.Sprintf("exit %d", done.ExitCode)
	}
	if why := slices.Concat(done.Last, reasons.end()); !done.OK && len(why) > 0 && ctx.Err() == nil {
		done.Message += ": " + why[len(why)-1]
	}
	return done
}

// apart runs a command whose standard output is wanted by itself. It and the standard error
// come to the log line by line, so that no line of one is in the middle of one of the other.
// Which of two lines came first cannot be told any more: why a command failed is what the
// standard error said, which stderr gets as well.
func apart(ctx context.Context, c process.Command, stdout, stderr io.Writer) error {
	var mu sync.Mutex
	both := c.Stdout
	line := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = io.WriteString(both, text+"\n") // the log is best effort
	}
	out, problems := process.Lines(0, line), process.Lines(0, line)
	c.Stdout, c.Stderr = io.MultiWriter(stdout, out), io.MultiWriter(stderr, problems)
	err := process.Run(ctx, c)
	_, _ = out.Close(), problems.Close() // neither fails
	return err
}

// tail keeps the last lines of what is written to it, masked.
type tail struct {
	*redact.Writer
	lines *process.LineWriter
	kept  []string
}

func newTail(mask *redact.Redactor) *tail {
	t := &tail{}
	t.lines = process.Lines(lastBytes, func(line string) {
		if line = strings.TrimSpace(line); line == "" {
			return
		}
		if len(t.kept) == lastLines {
			t.kept = t.kept[1:]
		}
		t.kept = append(t.kept, line)
	})
	t.Writer = mask.Writer(t.lines)
	return t
}

// end returns what was kept. Neither writer ever fails.
func (t *tail) end() []string {
	_, _ = t.Flush(), t.lines.Close()
	return t.kept
}
