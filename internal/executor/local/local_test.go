package local

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/executor"
	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/spool"
	"github.com/terrace-cd/terrace/internal/wire"
)

// TestMain makes this binary a runner when it is started as one: `EXE exec`.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "exec" {
		os.Exit(runner())
	}
	os.Setenv("TERRACE_CANARY", "of-the-server") //nolint:errcheck // a plain name
	goleak.VerifyTestMain(m)
}

// runner does what its run is called.
func runner() int {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	var doc wire.Exec
	if err := json.NewDecoder(os.Stdin).Decode(&doc); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	report := func(name, text string) {
		file := filepath.Join(doc.Dir, name)
		if os.WriteFile(file+".new", []byte(text), 0o600) != nil || os.Rename(file+".new", file) != nil {
			panic("cannot report")
		}
	}
	switch doc.Run {
	case "r-look":
		text, err := json.Marshal(map[string]any{"doc": doc, "env": os.Environ(), "args": os.Args[1:]})
		if err != nil {
			panic(err)
		}
		report("seen", string(text))
	case "r-panic":
		panic("the runner is broken")
	case "r-parent", "r-orphan":
		child := exec.Command("sleep", "600")                  //nolint:noctx // the test ends it
		child.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // with the environment of its parent
		if err := child.Start(); err != nil {
			panic(err)
		}
		report("child", strconv.Itoa(child.Process.Pid))
		if doc.Run == "r-orphan" {
			return 3
		}
	}
	report("ready", "")
	<-terminated
	return 0
}

type world struct {
	*Starter
	t *testing.T
}

func newWorld(t *testing.T) *world {
	t.Helper()
	s, err := New(Options{Exe: os.Args[0], Dir: t.TempDir(), ProviderMirrors: []string{"/mirror"}})
	if err != nil {
		t.Fatal(err)
	}
	return &world{s, t}
}

type started struct {
	run    core.Run
	pid    int
	start  string
	dir    string
	exited chan string
}

func (w *world) start(run string) started {
	w.t.Helper()
	r := started{run: core.Run{ID: run, Fence: 7}, exited: make(chan string, 1), dir: filepath.Join(w.o.Dir, "runs", run+".7")}
	var err error
	r.pid, r.start, err = w.Start(w.t.Context(), executor.Spec{Run: run, Fence: 7, Token: "s3cr3t", URL: "http://127.0.0.1:1"}, func(how string) { r.exited <- how })
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := w.Kill(r.run); err != nil {
			w.t.Error(err)
		}
	})
	return r
}

// read waits for a file that a runner writes.
func (w *world) read(r started, name string) string {
	w.t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		if text, err := os.ReadFile(filepath.Join(r.dir, name)); err == nil {
			return string(text)
		}
		select {
		case <-deadline:
			output, _ := os.ReadFile(filepath.Join(r.dir, outputName))
			w.t.Fatalf("the runner did not write %s; it said %q", name, output)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (w *world) end(r started) string {
	w.t.Helper()
	select {
	case how := <-r.exited:
		return how
	case <-time.After(20 * time.Second):
		w.t.Fatal("the runner's end was not noticed")
		return ""
	}
}

func TestARunnerSeesItsOrdersAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("r-look")
	var seen struct {
		Doc  wire.Exec
		Env  []string
		Args []string
	}
	if err := json.Unmarshal([]byte(w.read(r, "seen")), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Doc.Token != "s3cr3t" || seen.Doc.PIDStart != r.start || seen.Doc.Dir != r.dir || seen.Doc.Work != w.o.Dir || !slices.Equal(seen.Doc.ProviderMirrors, []string{"/mirror"}) {
		t.Errorf("the runner was told %+v", seen.Doc)
	}
	if !slices.Equal(seen.Args, []string{"exec"}) {
		t.Errorf("arguments are %q", seen.Args)
	}
	for _, v := range seen.Env {
		if strings.Contains(v, "CANARY") || strings.Contains(v, "s3cr3t") || strings.HasPrefix(v, "TF_") || v == "HOME="+os.Getenv("HOME") {
			t.Errorf("the environment has %s", v)
		}
	}
	if !slices.Contains(seen.Env, "HOME="+filepath.Join(r.dir, "home")) || !slices.Contains(seen.Env, "PATH="+os.Getenv("PATH")) {
		t.Errorf("the environment lacks HOME or PATH: %q", seen.Env)
	}
	if session, err := unix.Getsid(r.pid); err != nil || session != r.pid {
		t.Errorf("the runner is in session %d (%v), not in its own", session, err)
	}
}

func TestInterruptEndsARunner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("r-wait")
	w.read(r, "ready")
	if w.Life(r.run) != executor.Lives || w.Life(core.Run{ID: r.run.ID, Fence: 8}) != executor.Unknowable {
		t.Error("Life does not tell this attempt from others")
	}
	// Another start time is another process: it is left alone.
	m, _ := w.markOf(r.run)
	m.Start = "long-ago"
	if err := send(m, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if w.Life(r.run) != executor.Lives {
		t.Error("another process was ended")
	}
	if err := w.Interrupt(r.run); err != nil {
		t.Fatal(err)
	}
	if how := w.end(r); how != "its process ended" {
		t.Errorf("it ended like this: %s", how)
	}
	if w.Life(r.run) != executor.Gone {
		t.Error("it lives after its end")
	}
	if err := w.Interrupt(r.run); err != nil {
		t.Errorf("interrupting a runner that is gone: %v", err)
	}
}

func TestNothingSurvivesARunner(t *testing.T) {
	t.Parallel()
	for _, run := range []string{"r-parent", "r-orphan"} {
		w := newWorld(t)
		r := w.start(run)
		child, err := strconv.Atoi(w.read(r, "child"))
		if err != nil {
			t.Fatal(err)
		}
		if run == "r-parent" {
			w.read(r, "ready")
			if err := w.Kill(r.run); err != nil {
				t.Fatal(err)
			}
		}
		how := w.end(r)
		if want := map[string]string{"r-parent": "signal: killed", "r-orphan": "exit status 3"}[run]; !strings.Contains(how, want) {
			t.Errorf("%s ended like this: %s; want %s", run, how, want)
		}
		if _, err := process.StartTime(child); err == nil {
			t.Errorf("%s: its child lives", run)
		}
	}
}

func TestABrokenRunnerSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if how := w.end(w.start("r-panic")); !strings.Contains(how, "exit status 2") || !strings.Contains(how, "runner") {
		t.Errorf("it ended like this: %s", how)
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	t.Parallel()
	for _, exe := range []string{"/nonexistent", t.TempDir()} {
		if _, err := New(Options{Exe: exe, Dir: t.TempDir()}); err == nil {
			t.Errorf("%s is taken for a program", exe)
		}
	}
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := w.Start(ctx, executor.Spec{Run: "r-x"}, nil); err == nil {
		t.Error("started although the server stops")
	}
	if out, err := exec.Command("env", runVariable+"=r-1", os.Args[0], "-test.run=TestInterruptEndsARunner").CombinedOutput(); err == nil || !strings.Contains(string(out), "this is the run r-1") {
		t.Errorf("a server inside of a run: %v\n%s", err, out)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no program"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.o.Exe = text
	if _, _, err := w.Start(t.Context(), executor.Spec{Run: "r-x"}, nil); err == nil || !strings.Contains(err.Error(), "r-x") {
		t.Errorf("got %v", err)
	}
}

func TestFoldersOfEndedRunnersAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	living := w.start("r-wait")
	w.read(living, "ready")
	old := time.Now().Add(-24 * time.Hour)
	for i := range keepFolders + 10 {
		dir := filepath.Join(w.o.Dir, "runs", fmt.Sprintf("r-old%d.1", i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := writeMark(dir, mark{PID: 1, Start: "long-ago", Host: process.Host()}); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, old, old.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(living.dir, old, old.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := w.prune(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(w.o.Dir, "runs"))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != keepFolders+1 {
		t.Errorf("%d folders are left, want %d and the living one", len(entries), keepFolders)
	}
	if _, err := os.Stat(living.dir); err != nil {
		t.Error("the folder of a living runner was removed")
	}
}

// A runner must not hold anything of the server's open: what it would write there would
// break when the server ends.
func TestARunnerOutlivesItsServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("r-wait")
	w.read(r, "ready")
	for fd, want := range map[string]string{"1": outputName, "2": outputName} {
		target, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", r.pid, fd))
		if err != nil || filepath.Base(target) != want {
			t.Errorf("descriptor %s is %s (%v), want %s", fd, target, err, want)
		}
	}
}

// TestTheNextServerFindsARunner: a server that starts on the folder of another one knows
// whether its runners live, sees their end, and ends what they left.
func TestTheNextServerFindsARunner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.start("r-parent")
	child, err := strconv.Atoi(w.read(r, "child"))
	if err != nil {
		t.Fatal(err)
	}
	w.read(r, "ready")
	next, err := New(Options{Exe: os.Args[0], Dir: w.o.Dir})
	if err != nil {
		t.Fatal(err)
	}
	if next.Life(r.run) != executor.Lives || !process.Alive(r.pid, r.start) {
		t.Fatal("the runner was not found")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := next.AwaitEnd(ctx, r.run); err == nil {
		t.Error("its end was seen although it lives")
	}
	end := make(chan error, 1)
	go func() { end <- next.AwaitEnd(t.Context(), r.run) }()
	if err := syscall.Kill(r.pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-end; err != nil {
		t.Fatal(err)
	}
	if next.Life(r.run) != executor.Gone {
		t.Error("it is not gone")
	}
	if _, err := process.StartTime(child); err == nil {
		t.Error("its child lives")
	}
	w.end(r)
}

// TestRunnersElsewhere: a process number means something on its machine, since that was
// started, and nowhere else.
func TestRunnersElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	here := strings.Split(process.Host(), "/")
	if len(here) != 4 {
		t.Fatalf("this is %q", process.Host())
	}
	host := func(name, id, boot string) string { return strings.Join([]string{name, id, boot, here[3]}, "/") }
	for _, c := range []struct {
		host string
		life executor.Life
		kill bool
	}{
		{host(here[0], here[1], "before"), executor.Gone, true},
		{host("other", "1234", here[2]), executor.Unknowable, false},
		{host("other", "1234", "before"), executor.Unknowable, false},
		{host(here[0], here[1], "before") + "/other", executor.Gone, true},
		{process.Host() + "/other", executor.Unknowable, false},
	} {
		// Here, the number is that of this test.
		m := mark{PID: os.Getpid(), Host: c.host}
		m.Start, _ = process.StartTime(m.PID)
		run := core.Run{ID: "r-far", Fence: 1, Host: c.host, PID: m.PID, PIDStart: m.Start}
		if here[1] == "" && c.life == executor.Gone {
			continue // a machine without a number of its own: nobody can tell
		}
		for range 2 { // as the database has it, and as a folder does
			if got := w.Life(run); got != c.life {
				t.Errorf("a runner on %s: %v, want %v", c.host, got, c.life)
			}
			if err := w.Kill(run); (err == nil) != c.kill {
				t.Errorf("killing it on %s: %v", c.host, err)
			}
			if err := w.Interrupt(run); err != nil {
				t.Error(err)
			}
			dir := w.folder(run.ID, run.Fence)
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := writeMark(dir, m); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.RemoveAll(w.folder(run.ID, run.Fence)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAServerThatEndedBeforeItHadARunner: what it began can begin again at once, and need not
// wait until it was silent for long.
func TestAServerThatEndedBeforeItHadARunner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	run := core.Run{ID: "r-unborn", Fence: 1, Host: w.Host()}
	if got := w.Life(run); got != executor.Gone {
		t.Errorf("a run that was begun here and has no runner: %v", got)
	}
	if err := w.Kill(run); err != nil {
		t.Error(err)
	}
	run.PID, run.PIDStart = os.Getpid(), "now" // it has claimed its run since
	if got := w.Life(run); got != executor.Unknowable {
		t.Errorf("a runner that no folder knows: %v", got)
	}
	if next := newWorld(t); next.Life(core.Run{ID: "r-unborn", Fence: 1, Host: w.Host()}) != executor.Unknowable {
		t.Error("a server with another folder knows of it")
	}
}

// TestUndelivered: states of attempts that have ended are found, of those that live not.
func TestUndelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	living := w.start("r-wait")
	w.read(living, "ready")
	dead := w.folder("r-dead", 3)
	if err := os.MkdirAll(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := writeMark(dead, mark{PID: 1, Start: "long-ago", Host: process.Host()}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{living.dir, dead} {
		q, err := spool.OpenQueue(dir, make([]byte, spool.KeySize), []byte("wrapped"))
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Push(spool.Entry{Method: "POST", Body: []byte("{}")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(w.o.Dir, "runs", "no attempt"), 0o700); err != nil {
		t.Fatal(err)
	}
	got, err := w.Undelivered()
	if err != nil || !slices.Equal(got, []executor.Attempt{{Run: "r-dead", Fence: 3}}) {
		t.Errorf("undelivered are %v, %v", got, err)
	}
	if left, err := w.Left(got[0]); err != nil || left.States != 1 {
		t.Errorf("left %+v, %v", left, err)
	}
}
