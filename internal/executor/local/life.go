package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/executor"
	"github.com/terrace-cd/terrace/internal/process"
)

// endWithin bounds how long the end of what a dead runner left running may take.
const endWithin = 10 * time.Second

// findCgroups finds where runners get control groups of their own, and ends what is in
// those of runners that are gone.
func (s *Starter) findCgroups() {
	// By its folder, since several servers may share a machine, and what they are in.
	sum := sha256.Sum256([]byte(s.o.Dir))
	found, err := process.FindCgroups("terrace-" + hex.EncodeToString(sum[:4]))
	if err != nil {
		s.o.Log.Info("runners get no control groups; what they start is known by its session and its environment", "why", err)
		return
	}
	s.cgroups = found
	s.o.Log.Debug("runners get control groups", "how", found.String())
	groups, err := found.All()
	if err != nil {
		s.o.Log.Warn("looking at control groups of earlier runners", "error", err)
	}
	for _, g := range groups {
		if m, ok := readMark(filepath.Join(s.o.Dir, "runs", filepath.Base(g.Path()))); ok && m.Host == process.Host() && process.Alive(m.PID, m.Start) {
			continue
		}
		if err := g.Kill(endWithin); err != nil {
			s.o.Log.Warn("ending what an earlier runner left", "group", g.Path(), "error", err)
		}
	}
}

// cgroup makes an attempt's control group, nil when there is none to be had.
func (s *Starter) cgroup(spec executor.Spec) *process.Cgroup {
	if s.cgroups == nil {
		return nil
	}
	g, err := s.cgroups.Make(spec.Run + "." + strconv.FormatInt(spec.Fence, 10))
	if err != nil {
		s.o.Log.Warn("a runner gets no control group", "run", spec.Run, "error", err)
		return nil
	}
	return g
}

// Host is where runners that this starts have their process numbers, and their folders:
// several servers may share a machine.
func (s *Starter) Host() string {
	sum := sha256.Sum256([]byte(s.o.Dir))
	return process.Host() + "/" + hex.EncodeToString(sum[:6])
}

// Life tells whether a runner lives, by what its folder says. What a dead one left
// running is ended first, so that Gone means that nothing of it can change anything any
// more.
func (s *Starter) Life(run core.Run) executor.Life {
	if m, ok := s.markOf(run); ok {
		return s.life(m)
	}
	if process.Rebooted(run.Host) || unborn(run, s.Host()) {
		return executor.Gone
	}
	return executor.Unknowable
}

// unborn reports whether a run was begun by a server of this folder that ended before it had
// noted a runner: Start gives orders to none that is not noted.
func unborn(run core.Run, here string) bool { return run.PID == 0 && run.Host == here }

func (s *Starter) markOf(run core.Run) (mark, bool) { return readMark(s.folder(run.ID, run.Fence)) }

func (s *Starter) life(m mark) executor.Life {
	switch {
	case m.Host == process.Host():
	case process.Rebooted(m.Host):
		return executor.Gone
	default:
		return executor.Unknowable
	}
	if process.Alive(m.PID, m.Start) {
		return executor.Lives
	}
	if err := endLeft(m); err != nil {
		s.o.Log.Error("what a dead runner left running cannot be ended", "pid", m.PID, "error", err)
		return executor.Lives // of it, something does
	}
	return executor.Gone
}

// endLeft ends what a runner that has ended left running.
func endLeft(m mark) error {
	var errs error
	if m.Cgroup != "" {
		if g, err := process.OpenCgroup(m.Cgroup); err == nil { // else it is gone
			errs = g.Kill(endWithin)
		}
	}
	return errors.Join(errs, process.EndLeft(m.PID, m.Start, m.Mark, endWithin))
}

// AwaitEnd returns nil when a runner of which Life said Lives has ended.
func (s *Starter) AwaitEnd(ctx context.Context, run core.Run) error {
	m, ok := s.markOf(run)
	if !ok {
		return nil
	}
	return process.AwaitEnd(ctx, m.PID, m.Start)
}

// Interrupt asks a runner to stop: it interrupts what it does, waits for it and
// reports. It is no error when the runner is gone, or elsewhere: it hears of it with its
// next heartbeat.
func (s *Starter) Interrupt(run core.Run) error {
	m, ok := s.markOf(run)
	if !ok || m.Host != process.Host() {
		return nil
	}
	return send(m, syscall.SIGTERM)
}

// Kill ends a runner and all that it started at once. The outcome of an apply is unknown
// after that.
func (s *Starter) Kill(run core.Run) error {
	m, ok := s.markOf(run)
	switch {
	case ok && m.Host == process.Host():
	case ok && process.Rebooted(m.Host), !ok && (process.Rebooted(run.Host) || unborn(run, s.Host())):
		return nil
	default:
		host, _, _ := strings.Cut(run.Host, "/")
		return core.Errorf(core.Unavailable, "its runner is on %s and cannot be killed from here; make sure that nothing of it runs there", host)
	}
	if err := send(m, syscall.SIGKILL); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	if err := process.AwaitEnd(ctx, m.PID, m.Start); err != nil {
		return core.Errorf(core.Unavailable, "its process %d does not end although it was killed", m.PID)
	}
	return endLeft(m)
}

func send(m mark, sig syscall.Signal) error {
	p, err := os.FindProcess(m.PID)
	if err != nil {
		return nil //nolint:nilerr // not there any more
	}
	defer func() { _ = p.Release() }() // a handle, no more
	// p holds on to the process, so the number cannot change hands after this look.
	if !process.Alive(m.PID, m.Start) {
		return nil
	}
	if err := p.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}
