package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Every environment has this secret; base keeps it in its state.
const (
	secretName = "TF_VAR_canary"
	canary     = "canary-0f-a-secret-4711"
)

// latency is how long a server of the cloud takes to be ready: long enough for kills to
// meet an apply in the middle.
const latency = 300 * time.Millisecond

// progressWithin bounds how long a world may take to bring a commit to production when
// nothing breaks any more (I8). It is what a busy machine with two processors needs.
const progressWithin = 3 * time.Minute

// world is a server, what it works with, and a door in between.
type world struct {
	*trial
	dir, data, bin, program string
	listen                  string // the server's own address
	database                string // as terrace server takes it, "" for a file in data
	flags                   []string
	env                     []string
	door                    *door
	repo                    *testkit.Repo
	lockFile                string
	cloud                   *democloud.Cloud
	clouds                  *democloud.Client
	api                     *client.Client
	watch                   *watch
	generations             int
	gates                   int64
	freshInit               bool     // each generation needs init
	pushed                  []string // commits, in order
	cache                   contents
	front                   string            // where people and runners reach the server
	inEnvironment           map[string]string // more of terrace.hcl
	inWeb                   string            // likewise, in the stack
	ready                   func(*world)      // called before the server starts
	jumped                  bool              // the database's clock was changed
	agrees                  bool              // to what waits for an approval
	playbook                string            // in site.yml, if there is one
	spare                   bool              // the code has the stack aside
	takes                   time.Duration     // about what a commit takes to production

	mu     sync.Mutex
	server *exec.Cmd
	ended  chan struct{} // closed when server has
}

// option changes a world before its server starts.
type option func(*world)

// withDatabase has the server use this one.
func withDatabase(url string) option { return func(w *world) { w.database = url } }

// newWorld makes a world, brings its first generation to production, and sees that all
// is well there. It ends with the test.
func newWorld(t *trial, options ...option) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{trial: t, dir: dir, data: filepath.Join(dir, "data"), bin: filepath.Join(dir, "bin"), database: engines[t.engine](t),
		listen: fmt.Sprintf("127.0.0.1:%d", testkit.FreePort(t)), repo: testkit.Git(t), cache: contents{}}
	w.program = filepath.Join(w.bin, "terrace")
	home := filepath.Join(dir, "home")
	for _, d := range []string{w.bin, home} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	// Names of its own, by which its processes are told from those of other worlds.
	if err := errors.Join(os.Link(terrace, w.program), os.Symlink(testkit.Tofu(t), filepath.Join(w.bin, "tofu"))); err != nil {
		t.Fatal(err)
	}
	w.env = []string{"PATH=" + w.bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + home, "LC_ALL=C", "XDG_CACHE_HOME=" + filepath.Join(dir, "cache"),
		"TERRACE_FAULTS_CLOCK=" + filepath.Join(dir, "clock")}
	w.cloud, w.clouds = democloudtest.Start(t, democloud.Options{Latency: latency})
	mirror := filepath.Join(dir, "providers")
	err := democloud.WriteMirror(mirror, w.program, []string{"demo-provider"})
	if err == nil {
		w.lockFile, err = democloud.LockFile(mirror, democloud.ProviderHosts[0])
	}
	if err != nil {
		t.Fatal(err)
	}
	w.front = "http://" + w.listen
	w.door = newDoor(t, func() string { return w.front })
	// An ask for the branch costs as much as all else that an idle server does in seconds.
	w.flags = []string{"--poll", "2s", "--provider-mirror", mirror, "--url", w.door.url}
	w.hook("true")
	for _, o := range options {
		o(w)
	}
	t.Cleanup(w.end)
	if w.ready != nil {
		w.ready(w)
	}
	w.start()
	w.watch = newWatch(w)
	w.add()
	first, began := w.commit(), time.Now()
	w.settle(first)
	w.takes = time.Since(began)
	w.quiet()
	return w
}

// add makes the project, with nothing in it to deploy, and its secrets.
func (w *world) add() {
	w.Helper()
	w.configuration()
	w.repo.Commit("Nothing yet")
	w.repo.Push()
	if _, err := w.api.AddProject(w.Context(), wire.AddProject{Name: project, Repo: w.repo.Remote}); err != nil {
		w.Fatal(err)
	}
	for _, e := range environments {
		if err := w.api.SetSecret(w.Context(), project, e, secretName, canary); err != nil {
			w.Fatal(err)
		}
	}
}

// hook writes the script that web runs in each apply, with the environment and the
// generation as its arguments.
func (w *world) hook(script string) { w.script("hook.sh", script) }

// script writes a file in the world's folder, at once.
func (w *world) script(name, text string) {
	w.Helper()
	temp := w.file(name + ".new")
	if err := errors.Join(os.WriteFile(temp, []byte(text+"\n"), 0o600), os.Rename(temp, w.file(name))); err != nil {
		w.Fatal(err)
	}
}

// start starts the server and waits until it answers.
func (w *world) start() {
	w.Helper()
	log, err := os.OpenFile(w.file("server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the server has its own
	args := append([]string{"server", "--data", w.data, "--listen", w.listen}, w.flags...)
	if w.database != "" {
		args = append(args, "--database", w.database)
	}
	cmd := exec.Command(w.program, args...) //nolint:noctx // ended by hand, that is what it is for
	cmd.Env, cmd.Stdout, cmd.Stderr = w.env, log, log
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its exit code is the signal's
		close(ended)
	}()
	w.mu.Lock()
	w.server, w.ended = cmd, ended
	w.mu.Unlock()
	testkit.Eventually(w, time.Minute, "the server to answer", func() bool {
		return !w.up() || answers("http://"+w.listen+"/api/v1/health")
	})
	if !w.up() {
		w.Fatal("the server ended at once")
	}
	if w.api == nil {
		token, err := os.ReadFile(filepath.Join(w.data, "admin-token"))
		if err != nil {
			w.Fatal(err)
		}
		w.api = client.New(w.front, strings.TrimSpace(string(token)))
		w.Cleanup(w.api.Close)
	}
}

func answers(url string) bool {
	resp, err := http.Get(url) //nolint:noctx // it answers at once or not at all
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// up reports whether the server runs.
func (w *world) up() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.server == nil {
		return false
	}
	select {
	case <-w.ended:
		return false
	default:
		return true
	}
}

// stop ends the server by a signal; it is no error when it has ended.
func (w *world) stop(signal syscall.Signal) {
	w.mu.Lock()
	server, ended := w.server, w.ended
	w.mu.Unlock()
	if server == nil {
		return
	}
	_ = server.Process.Signal(signal) // it may have ended
	<-ended
}

// end stops everything, and shows the server's log when the test has failed.
func (w *world) end() {
	if w.watch != nil {
		w.watch.stop()
	}
	w.stop(syscall.SIGKILL)
	for _, p := range w.processes(somethingOf) {
		w.signal(p.pid, syscall.SIGCONT)
		w.signal(p.pid, syscall.SIGKILL)
	}
	if w.Failed() {
		if log, err := os.ReadFile(w.file("server.log")); err == nil {
			const most = 20000
			w.Logf("the server said:\n%s", log[max(0, len(log)-most):])
		}
	}
}

// cli runs a command of the program.
func (w *world) cli(args ...string) (string, error) {
	token, err := os.ReadFile(filepath.Join(w.data, "admin-token"))
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(w.Context(), w.program, args...)
	cmd.Env = append([]string{"TERRACE_URL=" + w.front, "TERRACE_TOKEN=" + strings.TrimSpace(string(token)), "TERRACE_PROJECT=" + project}, w.env...)
	cmd.Dir = w.dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("terrace %s: %w\n%s", strings.Join(args, " "), err, out.String())
	}
	return out.String(), nil
}

// journal is what was done in the cloud.
func (w *world) journal() []democloud.Entry {
	w.Helper()
	all, err := w.clouds.Journal(w.Context(), 0)
	if err != nil {
		w.Fatal(err)
	}
	return all
}

// context bounds one question to the server.
func (w *world) context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(w.Context(), 20*time.Second)
}
