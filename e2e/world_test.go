package e2e

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// patience is how long a rollout may take on a busy machine.
const patience = 3 * time.Minute

// world is a server with its folder, and a repository.
type world struct {
	*testing.T
	dir, data, url string
	repo           *testkit.Repo
	server         *exec.Cmd
	env            []string
	token          string
	project        string
	hook           struct{ URL, Secret string }
	mirror         string // of providers, for the runs; "" for none
}

// newWorld starts a server on a fresh folder. Its only knowledge of the machine is
// where programs are.
func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{T: t, dir: dir, data: filepath.Join(dir, "data"), url: fmt.Sprintf("http://127.0.0.1:%d", testkit.FreePort(t)), repo: testkit.Git(t)}
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	w.env = []string{
		"PATH=" + filepath.Dir(testkit.Tofu(t)) + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + home, "LC_ALL=C",
		"TF_CLI_CONFIG_FILE=/nonexistent/tofurc", // a machine's setting that must not reach the runs
		"GORACE=atexit_sleep_ms=0 halt_on_error=1",
	}
	w.start()
	t.Cleanup(func() {
		w.stop(syscall.SIGTERM)
		log := w.log()
		if t.Failed() {
			t.Logf("the server said:\n%s", log)
		}
		if strings.Contains(log, "DATA RACE") {
			t.Error("the race detector found something")
		}
	})
	return w
}

func (w *world) logFile() string { return filepath.Join(w.dir, "server.log") }

func (w *world) log() string {
	data, err := os.ReadFile(w.logFile())
	if err != nil {
		w.Error(err)
	}
	return string(data)
}

// start starts the server and waits until it answers.
func (w *world) start() {
	w.Helper()
	log, err := os.OpenFile(w.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = log.Close() }() // the server has its own
	exe := w.program(terrace)
	w.server = exec.Command(exe, "server", "--data", w.data, "--listen", strings.TrimPrefix(w.url, "http://"), "--poll", "1h")
	if w.mirror != "" {
		w.server.Args = append(w.server.Args, "--provider-mirror", w.mirror)
	}
	w.server.Env, w.server.Stdout, w.server.Stderr = w.env, log, log
	if err := w.server.Start(); err != nil {
		w.Fatal(err)
	}
	testkit.Eventually(w, 30*time.Second, "the server to answer", func() bool {
		resp, err := http.Get(w.url + "/api/v1/health")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	w.program(plain) // for its runners
	token, err := os.ReadFile(filepath.Join(w.data, "admin-token"))
	if err != nil {
		w.Fatal(err)
	}
	w.token = strings.TrimSpace(string(token))
}

// program puts a program where the world's server is started from, and where that looks for
// the program of its runners.
func (w *world) program(from string) string {
	w.Helper()
	exe := filepath.Join(w.dir, "bin", "terrace")
	next := exe + ".next"
	if err := errors.Join(os.MkdirAll(filepath.Dir(exe), 0o700), os.Link(from, next), os.Rename(next, exe)); err != nil {
		w.Fatal(err)
	}
	return exe
}

// stop ends the server by a signal.
func (w *world) stop(signal syscall.Signal) {
	w.Helper()
	if w.server == nil {
		return
	}
	if err := w.server.Process.Signal(signal); err != nil {
		w.Error(err)
	}
	_ = w.server.Wait() // its exit code is the signal's
	w.server = nil
}

// try runs a command of the CLI.
func (w *world) try(args ...string) (stdout, stderr string, code int) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), plain, args...)
	cmd.Env = append([]string{"TERRACE_URL=" + w.url, "TERRACE_TOKEN=" + w.token}, w.env...)
	cmd.Dir = w.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// run is try that has to succeed.
func (w *world) run(args ...string) string {
	w.Helper()
	stdout, stderr, code := w.try(args...)
	if code != 0 {
		w.Fatalf("terrace %s: exit %d\n%s%s", strings.Join(args, " "), code, stdout, stderr)
	}
	return stdout
}

// ask runs a command with --json and reads its answer.
func ask[T any](w *world, args ...string) T {
	w.Helper()
	var v T
	out := w.run(append(args, "--json")...)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		w.Fatalf("terrace %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return v
}

// The parts of the machine output that tests rely on. They are written down here once
// more on purpose: their names are a contract.
type (
	release struct {
		Number int64
		Commit string
	}
	rollout struct {
		ID      string
		Release release
		Status  string
		Stages  []struct {
			Environment, Status string
			WaitsFor            string `json:"waits_for"`
		}
	}
	run struct {
		ID, Instance, Kind, Status string
		Release                    release
		Changes                    struct{ Create, Update, Replace, Delete int }
		Error                      *struct{ Code, Message string }
	}
	status struct {
		Environments []string
		Instances    []struct {
			Instance, State, Reason string
			Release                 *release
		}
	}
)

// add adds the repository as a project.
func (w *world) add(project string) {
	w.Helper()
	type added struct {
		Webhook struct{ URL, Secret string }
	}
	w.project = project
	w.hook = ask[added](w, "project", "add", project, "--repo", w.repo.Remote).Webhook
}

// push pushes what was committed and tells the server.
func (w *world) push() {
	w.Helper()
	w.repo.Push()
	w.tell()
}

// tell tells the server of a push.
func (w *world) tell() {
	w.Helper()
	body := []byte(`{"ref":"refs/heads/main"}`)
	if resp, text := w.post(w.hook.URL, body, map[string]string{"X-Terrace-Signature": signature(w.hook.Secret, body)}); resp.StatusCode != http.StatusAccepted {
		w.Fatalf("the webhook was answered %s: %s", resp.Status, text)
	}
}

func signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

func (w *world) post(url string, body []byte, header map[string]string) (*http.Response, string) {
	w.Helper()
	return w.send(http.MethodPost, url, body, header)
}

func (w *world) send(method, url string, body []byte, header map[string]string) (*http.Response, string) {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		w.Fatal(err)
	}
	return resp, string(text)
}

// rolloutOf waits until the newest rollout is one of commit and is no longer running.
func (w *world) rolloutOf(commit string) rollout {
	w.Helper()
	var newest rollout
	testkit.Eventually(w, patience, "the rollout of "+commit+" to end", func() bool {
		all := get[[]rollout](w, "rollouts")
		if len(all) == 0 {
			return false
		}
		newest = all[0]
		return newest.Release.Commit == commit && newest.Status != "running"
	})
	return newest
}

// wants fails unless a rollout ended with a status, its stages with these.
func (w *world) wants(r rollout, want string, stages ...string) {
	w.Helper()
	var got []string
	for _, s := range r.Stages {
		got = append(got, s.Environment+" "+s.Status)
	}
	if r.Status != want || strings.Join(got, ", ") != strings.Join(stages, ", ") {
		w.Fatalf("the rollout of release %d is %s with %s; want %s with %s\n%s", r.Release.Number, r.Status, strings.Join(got, ", "), want, strings.Join(stages, ", "),
			w.run("rollout", "show", r.ID))
	}
}

// through is wants for a rollout that reached production.
func (w *world) through(r rollout) {
	w.Helper()
	w.wants(r, "succeeded", "dev succeeded", "staging succeeded", "production succeeded")
}

func (w *world) runsOf(r rollout) []run {
	w.Helper()
	return ask[[]run](w, "run", "list", "--rollout", r.ID)
}

// instances lists what a rollout ran, in no order that matters.
func instances(runs []run) map[string]string {
	found := map[string]string{}
	for _, r := range runs {
		found[r.Instance] = r.Status
	}
	return found
}

// output reads an output from an instance's stored state.
func (w *world) output(instance, name string) any {
	w.Helper()
	var state struct {
		Outputs map[string]struct{ Value any }
	}
	if err := json.Unmarshal([]byte(w.run("state", "pull", instance)), &state); err != nil {
		w.Fatal(err)
	}
	return state.Outputs[name].Value
}
