// Package process starts child processes and makes sure of their end. Every child gets
// an argument vector, a directory and an environment that are said in full: nothing is
// inherited from the program. It is the leader of its own process group, so that it and
// its children can be interrupted together, and when it has ended, or was stopped,
// whatever it left behind is killed before Wait returns: processes of its group, of its
// session, its descendants, and those that made themselves a session of their own (they
// are known by a mark in their environment, and by Adopt). A process that goes on after
// the engine has ended and its lock was released would be a second writer. Where the
// machine has control groups that can be written to, they find all of it exactly: see
// Cgroup and Nest.
//
// A child also dies with this program, however that ends, on systems that can arrange it
// (Linux), unless it was started in a session of its own.
package process

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// DefaultGrace is how long Run lets an interrupted process take to end.
const DefaultGrace = 5 * time.Minute

// markName is the environment variable by which descendants are known.
const markName = "TERRACE_PROCESS"

// Command says what to start.
type Command struct {
	// Args is the program and its arguments.
	Args []string
	Dir  string
	// Env is the whole environment, apart from one variable that marks descendants.
	Env []string
	// Stdin is nothing when nil; so are Stdout and Stderr. When both outputs are the same
	// writer, no two writes come at a time and their order is kept.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// ExtraFiles are its descriptors from 3 on.
	ExtraFiles []*os.File
	// Session starts it in a session of its own, for what has to outlive this program.
	Session bool
	// Cgroup is the control group to start it in, which has to be its alone; nil is none.
	// With version 1 it gets there a moment after its start: a program that first waits
	// for its standard input has started nothing by then.
	Cgroup *Cgroup
	// Grace is how long Run waits between interrupting and killing it; 0 is DefaultGrace,
	// less than 0 is none at all.
	Grace time.Duration
}

// ErrCgroup says that a command was not started because it could not be put into its
// control group.
var ErrCgroup = errors.New("the process could not be put into the control group")

// Process is a started process.
type Process struct {
	cmd    *exec.Cmd
	cgroup *Cgroup
	traces
	done chan struct{}
	err  error // of Wait, once done is closed
}

// traces are how a process's descendants are known.
type traces struct {
	pid   int
	start string
	mark  string
}

// Run runs the command to its end. When ctx ends first, the process is interrupted, and
// killed when the grace is over; the error is then the process's own, if it had any.
func Run(ctx context.Context, c Command) error {
	p, err := Start(c)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		grace := c.Grace
		if grace == 0 {
			grace = DefaultGrace
		}
		p.Stop(grace)
	}
	return p.Wait()
}

// Start starts the command. Whoever starts a process has to call Wait.
func Start(c Command) (*Process, error) {
	if len(c.Args) == 0 || c.Args[0] == "" {
		return nil, errors.New("no program to start")
	}
	p := &Process{traces: traces{mark: newMark()}, cgroup: c.Cgroup, done: make(chan struct{})}
	if p.cgroup == nil && !c.Session {
		p.cgroup = nested()
	}
	p.cmd = exec.Command(c.Args[0], c.Args[1:]...) //nolint:noctx // Run stops it with a grace, Stop without a context
	p.cmd.Dir = c.Dir
	p.cmd.Env = append(append(make([]string, 0, len(c.Env)+1), c.Env...), markName+"="+p.mark)
	p.cmd.ExtraFiles = c.ExtraFiles
	p.cmd.SysProcAttr = attributes(c.Session)

	var pipes pipes
	p.cmd.Stdin = c.Stdin
	if c.Stdin != nil {
		in, err := pipes.in(c.Stdin)
		if err != nil {
			return nil, errors.Join(err, pipes.abandon())
		}
		p.cmd.Stdin = in
	}
	var err error
	if p.cmd.Stdout, err = pipes.out(c.Stdout); err != nil {
		return nil, errors.Join(err, pipes.abandon())
	}
	if c.Stderr != nil && sameWriter(c.Stderr, c.Stdout) {
		p.cmd.Stderr = p.cmd.Stdout
	} else if p.cmd.Stderr, err = pipes.out(c.Stderr); err != nil {
		return nil, errors.Join(err, pipes.abandon())
	}

	started := make(chan error, 1)
	go p.run(started, &pipes)
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// run starts the process, waits for it and ends what it left. It stays on one thread:
// the kernel kills the process when the thread that started it ends.
func (p *Process) run(started chan<- error, pipes *pipes) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := p.launch(); err != nil {
		started <- errors.Join(err, pipes.abandon())
		return
	}
	p.pid = p.cmd.Process.Pid
	p.start = born(p.pid)
	pipes.begin()
	started <- nil

	// It is swept up after before it is waited for, where that can be done: as long as it
	// is not, its number, which is its group's too, belongs to nobody else.
	await(p.pid)
	var left error
	if p.cgroup != nil {
		left = p.cgroup.Kill(sweepFor)
	}
	left = errors.Join(left, p.sweep(sweepFor))
	p.err = errors.Join(p.cmd.Wait(), left)
	forget(p.pid)
	if err := pipes.end(); p.err == nil {
		p.err = err
	}
	close(p.done)
}

// launch starts the process, in its control group if it has one.
func (p *Process) launch() (err error) {
	if p.cgroup == nil {
		return launch(p.cmd)
	}
	p.cmd, err = p.cgroup.launchIn(p.cmd)
	return err
}

// newMark is this program's own mark, when it has one, and a new one after it: so the
// descendants of each program are known by its mark.
func newMark() string {
	if own := os.Getenv(markName); own != "" {
		return own + "." + rand.Text()
	}
	return rand.Text()
}

// PID is the process's number.
func (p *Process) PID() int { return p.pid }

// Started is the process's start time, for Alive.
func (p *Process) Started() string { return p.start }

// Mark is by which the process's descendants are known, for EndLeft.
func (p *Process) Mark() string { return p.mark }

// Done is closed when the process has ended and nothing of it is left.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the process and of all that it started, and returns an
// *exec.ExitError when it did not end well, or a writer's error.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Interrupt sends SIGINT to the process's group. It is no error when it has ended.
func (p *Process) Interrupt() error { return p.signal(syscall.SIGINT) }

// Kill ends the process and everything that it started, at once.
func (p *Process) Kill() error {
	err := p.signal(syscall.SIGKILL)
	<-p.done
	return err
}

// Stop interrupts the process, kills it when it has not ended after grace, and returns
// when nothing of it is left. It reports whether it ended without being killed.
func (p *Process) Stop(grace time.Duration) (graceful bool) {
	if grace > 0 {
		_ = p.Interrupt() // it may have ended; if not, it is killed below
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.done:
			return true
		case <-timer.C:
		}
	}
	_ = p.Kill() // it may have ended meanwhile
	return false
}

func (p *Process) signal(sig syscall.Signal) error {
	select {
	case <-p.done:
		return nil
	default:
	}
	// Through the handle, which cannot mean another process, to make sure that it is not
	// reaped; its group exists as long as it is not.
	if err := p.cmd.Process.Signal(syscall.Signal(0)); err != nil {
		return nil //nolint:nilerr // it has ended, what it left is swept already
	}
	if err := syscall.Kill(-p.pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

// sweepFor bounds the search for what a process left behind: nothing survives SIGKILL,
// but the kernel may take its time.
const sweepFor = 10 * time.Second

// sweep kills what the process left, until there is nothing more. It is an error when
// something is left after within.
func (t traces) sweep(within time.Duration) error {
	end := time.Now().Add(within)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		left := t.survivors()
		if len(left) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d processes that process %d left live %s after they were killed", len(left), t.pid, within)
		}
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended since it was found
			reap(pid)
		}
		time.Sleep(pause)
	}
}

// EndLeft kills what a process left behind that has ended and was not started by this
// program, or by an earlier life of it: the members of its session and those that carry
// its mark. Whether it has ended is for the caller to know. An error says that something
// is left after within.
func EndLeft(pid int, start, mark string, within time.Duration) error {
	return traces{pid: pid, start: start, mark: mark}.sweep(within)
}

// Alive reports whether pid is the process that was started at start.
func Alive(pid int, start string) bool {
	if pid <= 0 || start == "" {
		return false
	}
	now, err := StartTime(pid)
	return err == nil && now == start
}

func sameWriter(a, b io.Writer) (same bool) {
	defer func() {
		if recover() != nil { // writers of a type that cannot be compared
			same = false
		}
	}()
	return a == b
}
