package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/redact"
	"github.com/terrace-cd/terrace/internal/step/checkout"
	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	// hookGrace is how long a hook that is interrupted may take to end.
	hookGrace = 10 * time.Second
	// defaultHook bounds a hook whose limit cannot be read.
	defaultHook = 30 * time.Minute
	// lastLines and lastBytes bound what is kept of a hook's output.
	lastLines = 20
	lastBytes = 500
)

// before runs the hooks that come before a change, each in the files of the release that
// wrote it. Nothing has been changed yet, and one that does not end well ends the run so.
func (a *attempt) before(next wire.Next) error {
	if err := a.out.flush(); err != nil {
		return err
	}
	a.clock.enter(phaseBefore)
	a.say("%s", next.Reason)
	for _, h := range next.Before {
		if slices.ContainsFunc(a.hooked, func(done wire.Hooked) bool { return done.ID == h.ID }) {
			return core.Errorf(core.Internal, "the server asks for a hook that has run already; are server and runner of the same version?")
		}
		dir, err := a.hookDir(h)
		if err != nil {
			return err
		}
		done := a.hook(h, dir)
		a.hooked = append(a.hooked, done)
		if a.work.Err() != nil {
			return a.work.Err()
		}
		a.say("before_change: %s", done.Message)
		if !done.OK {
			return verdictf(core.RunFailed, "before_change (%s): %s: %s. %s; so nothing was changed. Mend what it says, then: terrace rollout start --commit %d",
				h.From, strings.Join(done.Command, " "), done.Message, next.Reason, a.job.Release.Number)
		}
	}
	return nil
}

// hookDir is the directory of terrace.hcl among the files that a hook runs in.
func (a *attempt) hookDir(h wire.Hook) (string, error) {
	if h.Commit == "" || h.Commit == a.job.Source.Commit {
		return a.tree.File(a.job.Source.Root), nil
	}
	tree := &checkout.Tree{}
	err := a.retry("the checkout for before_change", func(ctx context.Context) (err error) {
		scratch := filepath.Join(a.temp(), "before")
		if err := os.MkdirAll(scratch, 0o700); err != nil {
			return core.Errorf(core.Unavailable, "no folder for a work tree: %w", err)
		}
		// It goes with the run's folder.
		tree, err = checkout.Open(ctx, checkout.Options{Root: filepath.Join(scratch, "trees"), Project: a.job.Project, Environment: a.job.Environment, Stack: a.job.Stack,
			Mirror: a.job.Source.Mirror, Commit: h.Commit, Path: a.job.Source.Root, Scratch: scratch})
		return err
	})
	if err != nil {
		return "", err
	}
	return tree.File(a.job.Source.Root), tree.Close()
}

// hook runs one hook.
func (a *attempt) hook(h wire.Hook, dir string) wire.Hooked {
	within, err := time.ParseDuration(h.Within)
	if err != nil || within <= 0 {
		within = defaultHook
	}
	done := wire.Hooked{ID: h.ID, From: h.From, ExitCode: -1, Started: time.Now().UTC()}
	for _, arg := range h.Command {
		done.Command = append(done.Command, a.mask.String(arg))
	}
	a.say("$ %s", strings.Join(done.Command, " "))
	timed, cancel := context.WithTimeout(a.work, within)
	defer cancel()
	last := newTail(a.mask)
	output := io.MultiWriter(a.out, last)
	err = process.Run(timed, process.Command{Args: h.Command, Dir: dir, Env: a.environment(), Stdout: output, Stderr: output, Grace: hookGrace})
	took := time.Since(done.Started)
	done.Milliseconds = took.Milliseconds()
	done.Last = last.end()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		done.ExitCode = exit.ExitCode()
	}
	switch {
	case err == nil:
		done.OK, done.ExitCode, done.Message = true, 0, fmt.Sprintf("exit 0 after %s", took.Round(time.Millisecond))
	case a.work.Err() != nil:
		done.Message = "stopped before its end"
	case timed.Err() != nil:
		done.Message = fmt.Sprintf("still running after %s, and ended", within)
	case exit == nil:
		done.Message = "it cannot be started: " + a.mask.String(err.Error())
	case done.ExitCode < 0:
		done.Message = "ended by " + exit.String()
	default:
		done.Message = fmt.Sprintf("exit %d", done.ExitCode)
	}
	if n := len(done.Last); !done.OK && n > 0 && a.work.Err() == nil {
		done.Message += ": " + done.Last[n-1]
	}
	return done
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
