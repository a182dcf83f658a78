package process_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var path = "PATH=" + os.Getenv("PATH")

func shell(script string) process.Command {
	return process.Command{Args: []string{"/bin/sh", "-c", script}, Env: []string{path}}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for !ok() {
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not within 20 s", what)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// pidIn waits for a file with a process's number.
func pidIn(t testing.TB, file string) (pid int) {
	t.Helper()
	eventually(t, file, func() bool {
		data, err := os.ReadFile(file)
		if err != nil || !strings.HasSuffix(string(data), "\n") {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
		return err == nil
	})
	return pid
}

func runs(pid int) bool {
	_, err := process.StartTime(pid)
	return err == nil
}

func TestEnvironmentDirectoryAndOutput(t *testing.T) {
	t.Setenv("CANARY", "of the parent")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	c := shell(`pwd; env; cat; echo "to stderr" >&2`)
	c.Dir, c.Stdin, c.Stdout, c.Stderr = dir, strings.NewReader("given"), &out, &errs
	c.Env = append(c.Env, "GIVEN=1")
	if err := process.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), dir+"\n") || !strings.HasSuffix(out.String(), "given") || !strings.Contains(out.String(), "GIVEN=1\n") || strings.Contains(out.String(), "CANARY") {
		t.Errorf("%s", out.String())
	}
	if errs.String() != "to stderr\n" {
		t.Errorf("%q", errs.String())
	}
}

func TestEnds(t *testing.T) {
	var exit *exec.ExitError
	if err := process.Run(t.Context(), shell("exit 3")); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("exit 3: %v", err)
	}
	if err := process.Run(t.Context(), shell("kill -9 $$")); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Errorf("kill -9: %v", err)
	}
	if err := process.Run(t.Context(), process.Command{Args: []string{"/no/such/program"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no program: %v", err)
	}
	if err := process.Run(t.Context(), process.Command{}); err == nil {
		t.Error("no arguments: no error")
	}
	full := errors.New("full")
	c := shell("seq 100000; exit 0")
	c.Stdout = failing{full}
	if err := process.Run(t.Context(), c); !errors.Is(err, full) {
		t.Errorf("a writer that fails: %v", err)
	}
	c = shell("exit 0") // does not read what it is given
	c.Stdin = io.LimitReader(zeros{}, 10<<20)
	if err := process.Run(t.Context(), c); err != nil {
		t.Errorf("input that is not read: %v", err)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestLines(t *testing.T) {
	var got []string
	w := process.Lines(10, func(line string) { got = append(got, line) })
	c := shell(`printf 'one\r\n\ntwo\n0123456789abcde\nno end'`)
	c.Stdout = w
	if err := process.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want := []string{"one", "", "two", "0123456789", "abcde", "no end"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}

	lines, size := 0, 0
	big := process.Lines(0, func(line string) { lines, size = lines+1, size+len(line) })
	c = shell("head -c 3000000 /dev/zero | tr '\\0' x; echo; echo end")
	c.Stdout, c.Stderr = big, big
	if err := process.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if lines != 3000000/process.DefaultLine+2 || size != 3000003 {
		t.Errorf("%d lines, %d bytes", lines, size)
	}
}

func TestInterruptAndGrace(t *testing.T) {
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	polite := shell(`trap 'echo stopped; exit 7' INT; echo $$ > ` + ready + `; while :; do sleep 0.01; done`)
	var out bytes.Buffer
	polite.Stdout = &out
	p, err := process.Start(polite)
	if err != nil {
		t.Fatal(err)
	}
	pidIn(t, ready)
	if !p.Stop(20 * time.Second) {
		t.Error("it had to be killed")
	}
	var exit *exec.ExitError
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 7 || out.String() != "stopped\n" {
		t.Errorf("%v %q", err, out.String())
	}
	if !p.Stop(time.Minute) || p.Interrupt() != nil || p.Kill() != nil {
		t.Error("stopping what has ended is an error")
	}

	stubborn := shell(`trap '' INT TERM; echo $$ > ` + ready + `2; while :; do sleep 0.01; done`)
	if p, err = process.Start(stubborn); err != nil {
		t.Fatal(err)
	}
	pid := pidIn(t, ready+"2")
	if p.Stop(50 * time.Millisecond) {
		t.Error("it ended by itself")
	}
	if err := p.Wait(); !errors.As(err, &exit) || exit.ExitCode() != -1 || runs(pid) {
		t.Errorf("%v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := shell(`trap '' INT; echo $$ > ` + ready + `; while :; do sleep 0.01; done`)
	c.Grace = 20 * time.Millisecond
	var group sync.WaitGroup
	group.Go(func() {
		pidIn(t, ready)
		cancel()
	})
	if err := process.Run(ctx, c); err == nil {
		t.Error("no error")
	}
	group.Wait()
}

// What a process leaves behind is gone when it has ended, by itself or not, and its output
// does not keep anybody waiting.
func TestNothingIsLeft(t *testing.T) {
	for name, leave := range map[string]string{
		"a child":                      `(trap '' INT; echo $$ > /dev/null; exec sleep 600) & echo $! > PID`,
		"a child with our output":      `sleep 600 & echo $! > PID`,
		"a group of its own":           `set -m; sleep 600 & echo $! > PID`,
		"a session of its own":         `setsid sh -c 'echo $$ > PID; exec sleep 600' & while [ ! -s PID ]; do sleep 0.01; done`,
		"a daemon":                     `setsid sh -c 'setsid sh -c "echo \$\$ > PID; exec sleep 600" & sleep 0.05; exit 0' & while [ ! -s PID ]; do sleep 0.01; done`,
		"a daemon that execs for ever": `S='exec sh -c "$S"'; export S; setsid sh -c 'echo $$ > PID; eval "$S"' & while [ ! -s PID ]; do sleep 0.01; done`,
		"a daemon that forks for ever": `setsid sh -c 'echo $$ > PID; trap "" INT TERM; while :; do sleep 0.001 & wait; done' & while [ ! -s PID ]; do sleep 0.01; done`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "pid")
			for _, end := range []string{"exit 0", "trap '' INT; while :; do sleep 0.01; done"} {
				_ = os.Remove(file)
				var out bytes.Buffer
				c := shell(strings.ReplaceAll(leave, "PID", file) + "; echo said; " + end)
				c.Stdout = &out
				p, err := process.Start(c)
				if err != nil {
					t.Fatal(err)
				}
				pid := pidIn(t, file)
				if end != "exit 0" {
					p.Stop(10 * time.Millisecond)
				}
				_ = p.Wait() // killed in one of two cases
				if runs(pid) {
					t.Errorf("with %q: process %d is still there", end, pid)
					_ = syscall.Kill(pid, syscall.SIGKILL) // some of them never rest
				}
				if end == "exit 0" && out.String() != "said\n" {
					t.Errorf("output: %q", out.String())
				}
			}
		})
	}
}

func TestOthersAreLeftAlone(t *testing.T) {
	dir := t.TempDir()
	one, err := process.Start(shell("setsid sleep 600 & echo $! > " + dir + "/one; wait"))
	if err != nil {
		t.Fatal(err)
	}
	neighbour := exec.CommandContext(t.Context(), "/bin/sleep", "600")
	if err := neighbour.Start(); err != nil {
		t.Fatal(err)
	}
	pid := pidIn(t, dir+"/one")
	if err := process.Run(t.Context(), shell("sleep 600 & true")); err != nil {
		t.Fatal(err)
	}
	if !runs(one.PID()) || !runs(neighbour.Process.Pid) {
		t.Error("the end of one process ended another")
	}
	_ = one.Kill() // it has to be ended in any way
	if runs(pid) {
		t.Error("its child survives")
	}
	if err := neighbour.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = neighbour.Wait() // killed
}

func TestAlive(t *testing.T) {
	p, err := process.Start(shell("sleep 600"))
	if err != nil {
		t.Fatal(err)
	}
	start, err := process.StartTime(p.PID())
	if err != nil || start != p.Started() || !process.Alive(p.PID(), start) {
		t.Errorf("%q %q %v", start, p.Started(), err)
	}
	if process.Alive(p.PID(), start+"1") || process.Alive(p.PID(), "") || process.Alive(0, start) || process.Alive(-1, start) {
		t.Error("another process counts as alive")
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if process.Alive(p.PID(), start) {
		t.Error("a dead process is alive")
	}
	if _, err := process.StartTime(os.Getpid()); err != nil {
		t.Error(err)
	}
}

func TestLookup(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "tool"), nil, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "text"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=relative::/nowhere:" + dir}
	if got, err := process.Lookup(env, "tool"); err != nil || got != filepath.Join(dir, "tool") {
		t.Error(got, err)
	}
	for _, name := range []string{"text", "nothing"} {
		if _, err := process.Lookup(env, name); !errors.Is(err, exec.ErrNotFound) {
			t.Error(name, err)
		}
	}
}
