package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/wire"
)

// TestMain makes this binary a runner when it is started as one: `EXE exec`. It runs as
// it does for real, in a process and a session of its own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "exec" {
		o, err := ReadOptions(os.Stdin)
		if err == nil {
			if o.Heartbeat, err = time.ParseDuration(os.Getenv("TEST_HEARTBEAT")); err != nil {
				panic(err)
			}
			err = Run(context.Background(), o)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

// world is a repository with stacks/web, a server with a run for it, and a machine to
// execute it on.
type world struct {
	*server
	t         *testing.T
	repo      string
	work      string
	dir       string // of the attempt
	out       string // a directory for what the stack does
	proc      *process.Process
	heartbeat time.Duration
}

func newWorld(t *testing.T, files map[string]string) *world {
	t.Helper()
	w := &world{server: newServer(t), t: t, repo: t.TempDir(), work: t.TempDir(), out: t.TempDir(), heartbeat: 100 * time.Millisecond}
	w.job = wire.Job{
		Run: "r-1", Kind: "deploy", Project: "shop", Stack: "web", Environment: "dev", Attempt: 1, Fence: 1,
		Source: wire.Source{Mirror: filepath.Join(w.repo, ".git"), Path: "stacks/web", Root: "."},
		Engine: wire.Engine{Name: "tofu"}, Backend: wire.Backend{Address: w.url() + "/state/shop/dev/web"},
		Variables: map[string]json.RawMessage{}, Secrets: map[string]string{}, Grace: "20s",
	}
	w.git("init", "-q", "-b", "main")
	w.commit(files)
	return w
}

func (w *world) git(args ...string) string {
	w.t.Helper()
	cmd := exec.Command("git", append([]string{"-C", w.repo, "-c", "user.name=t", "-c", "user.email=t@example.com"}, args...)...)
	cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null")
	out, err := cmd.CombinedOutput()
	if err != nil {
		w.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files, OUT in them replaced by the world's directory, and makes the
// commit the job's.
func (w *world) commit(files map[string]string) {
	w.t.Helper()
	for name, content := range files {
		file := filepath.Join(w.repo, name)
		content = strings.ReplaceAll(content, "OUT", w.out)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(content), 0o755)); err != nil {
			w.t.Fatal(err)
		}
	}
	w.git("add", "-A")
	w.git("commit", "-q", "--allow-empty", "-m", "change")
	w.job.Source.Commit = w.git("rev-parse", "HEAD")
}

// start starts the runner.
func (w *world) start() *world {
	w.t.Helper()
	w.dir = filepath.Join(w.work, "runs", fmt.Sprintf("r-1.%d", time.Now().UnixNano()))
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	orders, err := json.Marshal(wire.Exec{Server: w.url(), Run: "r-1", Token: runToken, PIDStart: "then", Dir: w.dir, Work: w.work, Cache: cacheDir(w.t)})
	if err != nil {
		w.t.Fatal(err)
	}
	output, err := os.Create(w.dir + ".out")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = output.Close() }()
	w.proc, err = process.Start(process.Command{Args: []string{os.Args[0], "exec"}, Dir: w.dir, Stdin: bytes.NewReader(orders), Stdout: output, Stderr: output,
		Env: []string{"PATH=" + os.Getenv("PATH"), "HOME=" + w.dir, "TERRACE_CANARY=of-the-server", "GORACE=atexit_sleep_ms=0", "TEST_HEARTBEAT=" + w.heartbeat.String()}, Session: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.proc.Kill() })
	return w
}

// output is what the runner itself said, which is nothing when it works.
func (w *world) output() string {
	w.t.Helper()
	text, err := os.ReadFile(w.dir + ".out")
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// cacheDir is where engines are kept on this machine.
func cacheDir(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "terrace")
}

// wait waits for the runner's own end.
func (w *world) wait() *world {
	w.t.Helper()
	select {
	case <-w.proc.Done():
	case <-time.After(90 * time.Second):
		w.t.Fatalf("the runner does not end; reported %q; log:\n%s\noutput: %s", w.reported(), w.log.text(""), w.output())
	}
	return w
}

// ends waits for the runner and checks how the run was finished: its status, and texts
// that the error's message holds.
func (w *world) ends(status string, message ...string) *wire.Finish {
	w.t.Helper()
	w.wait()
	f := w.end()
	if f == nil {
		w.t.Fatalf("the run was not finished; reported %q; log:\n%s\noutput: %s", w.reported(), w.log.text(""), w.output())
	}
	if f.Status != status {
		w.t.Errorf("the run ended %s (%+v), want %s; log:\n%s", f.Status, f.Error, status, w.log.text(""))
	}
	for _, text := range message {
		if f.Error == nil || !strings.Contains(f.Error.Message, text) {
			w.t.Errorf("the error is %+v, want %q in it", f.Error, text)
		}
	}
	if err := w.proc.Wait(); err != nil || w.output() != "" {
		w.t.Errorf("the runner ended with %v and said %q", err, w.output())
	}
	if entries, err := os.ReadDir(w.dir); err == nil {
		w.t.Errorf("the attempt's folder is still there: %v", entries)
	}
	return f
}

// read waits for a file in OUT.
func (w *world) read(name string) string {
	w.t.Helper()
	var text []byte
	w.until("the file "+name, func() (ok bool) {
		var err error
		text, err = os.ReadFile(filepath.Join(w.out, name))
		return err == nil
	})
	return string(text)
}

func (w *world) until(what string, is func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !is(); {
		if time.Now().After(deadline) {
			w.t.Fatalf("timed out waiting for %s; reported %q; log:\n%s\noutput: %s", what, w.reported(), w.log.text(""), w.output())
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (w *world) write(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.out, name), []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) terminate() {
	w.t.Helper()
	if err := syscall.Kill(w.proc.PID(), syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
}
