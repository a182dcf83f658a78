// Package local starts runners as processes on the server's machine: one `terrace
// exec` per attempt, each in a session of its own, so that neither the server's end nor
// a signal to the server's group reaches it. A runner gets its orders, with the token,
// on standard input, writes to a file, and sees an environment made from scratch.
//
// What separates a runner from the server, and from its neighbours, is: its environment
// (nothing of the server's but PATH, proxies and certificate locations), its own HOME
// and TMPDIR, a token that is good for one attempt at one run, and its session. All
// runners have the server's user, though: the file system is not hidden from them. Run
// code of people you would let log in as that user.
package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/executor"
	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/spool"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Options of a Starter. Exe and Dir are required.
type Options struct {
	Exe string // the terrace binary
	Dir string // what runners keep and use: trees, providers, a folder per attempt
	// ProviderMirrors are folders in the layout of a filesystem mirror.
	ProviderMirrors []string
	// KeepTrees and KeepBytes bound the kept work trees; 0 is the runner's default.
	KeepTrees int
	KeepBytes int64
	Log       *slog.Logger
}

// Starter starts runners. It has nothing to close: a server that stops leaves its
// runners to the next one.
type Starter struct {
	o       Options
	cache   string
	cgroups *process.Cgroups // nil where there are none to be had
}

var _ executor.Starter = (*Starter)(nil)

// New checks the options and makes Dir.
func New(o Options) (*Starter, error) {
	// A program that takes `exec` for something else, and starts a server, would start
	// itself for ever.
	if run := os.Getenv(runVariable); run != "" {
		return nil, core.Errorf(core.Invalid, "this is the run %s: no server that starts runs can be started inside of one", run)
	}
	var err error
	if o.Dir, err = filepath.Abs(o.Dir); err != nil {
		return nil, err
	}
	if o.Exe, err = filepath.Abs(o.Exe); err != nil {
		return nil, err
	}
	if info, err := os.Stat(o.Exe); err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
		return nil, core.Errorf(core.Invalid, "runners cannot be started from %s: it is not a program", o.Exe)
	}
	for i, mirror := range o.ProviderMirrors {
		if o.ProviderMirrors[i], err = filepath.Abs(mirror); err != nil {
			return nil, err
		}
	}
	if err := os.MkdirAll(filepath.Join(o.Dir, "runs"), 0o700); err != nil {
		return nil, core.Errorf(core.Unavailable, "the folder of runners cannot be made: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Starter{o: o, cache: filepath.Join(o.Dir, "cache")}
	if cache, err := os.UserCacheDir(); err == nil {
		s.cache = filepath.Join(cache, "terrace")
	}
	s.findCgroups()
	return s, nil
}

// Start starts a runner. exited is called once, from another goroutine, when the
// process has ended and nothing that it started is left. ctx bounds the start only.
func (s *Starter) Start(ctx context.Context, spec executor.Spec, exited func(how string)) (pid int, start string, err error) {
	if err := ctx.Err(); err != nil {
		return 0, "", err
	}
	dir := s.folder(spec.Run, spec.Fence)
	for _, name := range []string{"home", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			return 0, "", core.Errorf(core.Unavailable, "no folder for the runner of %s: %w", spec.Run, err)
		}
	}
	// A file, not a pipe: writing to it goes on when the server is gone.
	output, err := os.OpenFile(filepath.Join(dir, outputName), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, "", core.Errorf(core.Unavailable, "no output file for the runner of %s: %w", spec.Run, err)
	}
	defer func() { _ = output.Close() }()
	orders, give, err := os.Pipe()
	if err != nil {
		return 0, "", core.Errorf(core.Unavailable, "the runner of %s could not be started: %w", spec.Run, err)
	}
	command := process.Command{Args: []string{s.o.Exe, "exec"}, Dir: dir, Env: append(environment(dir), runVariable+"="+spec.Run), Stdin: orders, Stdout: output, Stderr: output, Session: true,
		Cgroup: s.cgroup(spec)}
	p, err := process.Start(command)
	if errors.Is(err, process.ErrCgroup) {
		s.o.Log.Warn("a runner starts without a control group", "run", spec.Run, "error", err)
		command.Cgroup = nil
		p, err = process.Start(command)
	}
	if err = errors.Join(err, orders.Close()); err != nil {
		return 0, "", core.Errorf(core.Unavailable, "the runner of %s could not be started: %w", spec.Run, errors.Join(err, give.Close()))
	}
	pid, start = p.PID(), p.Started()
	m := mark{PID: pid, Start: start, Mark: p.Mark(), Host: process.Host()}
	if command.Cgroup != nil {
		m.Cgroup = command.Cgroup.Path()
	}
	// Before it has orders, so that there is no runner at work of which the next server
	// could not know.
	if err := writeMark(dir, m); err != nil {
		return 0, "", core.Errorf(core.Unavailable, "the runner of %s could not be noted: %w", spec.Run, errors.Join(err, give.Close(), p.Kill()))
	}
	// Shorter than what a pipe holds, so this does not wait for the runner to read.
	if err := errors.Join(json.NewEncoder(give).Encode(wire.Exec{
		Server: spec.URL, Run: spec.Run, Token: spec.Token, PIDStart: start, Dir: dir, Work: s.o.Dir, Cache: s.cache,
		ProviderMirrors: s.o.ProviderMirrors, KeepTrees: s.o.KeepTrees, KeepBytes: s.o.KeepBytes, Cgroup: m.Cgroup,
	}), give.Close()); err != nil {
		return 0, "", core.Errorf(core.Unavailable, "the runner of %s could not be given its orders: %w%s", spec.Run, errors.Join(err, p.Kill()), lastWords(dir))
	}
	go func() {
		how := ending(p.Wait()) // nothing that it started is left then
		if err := errors.Join(spool.Rescue(dir), sweep(dir)); err != nil {
			s.o.Log.Warn("tidying up after a runner", "run", spec.Run, "error", err)
		}
		exited(how + lastWords(dir))
		if err := s.prune(); err != nil {
			s.o.Log.Warn("removing folders of ended runners", "error", err)
		}
	}()
	return pid, start, nil
}

// environment is all that a runner sees of the server's surroundings.
func environment(dir string) []string {
	env := []string{"HOME=" + filepath.Join(dir, "home"), "TMPDIR=" + filepath.Join(dir, "tmp"), "LANG=C.UTF-8", "LC_ALL=C.UTF-8",
		"GOGC=400"} // a runner lives for a moment: collecting garbage often costs more than it frees
	for _, name := range []string{"PATH", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR",
		"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func ending(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "its process ended: " + exit.String()
	}
	if err != nil {
		return "its process ended: " + err.Error()
	}
	return "its process ended"
}

// runVariable tells a runner, and what it starts, that they belong to a run.
const runVariable = "TERRACE_RUN"

const outputName = "runner.log"

// lastWords is the end of what a runner wrote, which is nothing unless something is
// wrong with the runner itself.
func lastWords(dir string) string {
	f, err := os.Open(filepath.Join(dir, outputName))
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	const most = 500
	if size, err := f.Seek(0, io.SeekEnd); err != nil || size == 0 {
		return ""
	} else if _, err = f.Seek(max(0, size-most), io.SeekStart); err != nil {
		return ""
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("; it said: %s", strings.TrimSpace(strings.ToValidUTF8(string(text), "?")))
}
