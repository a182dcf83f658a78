package httpapi

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/state"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// engines runs a test with OpenTofu, and with Terraform where the machine has it.
func engines(t *testing.T, test func(t *testing.T, exe string)) {
	found := map[string]string{"tofu": testkit.Tofu(t)}
	if exe, ok := testkit.Terraform(t); ok {
		found["terraform"] = exe
	}
	for name, exe := range found {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, exe)
		})
	}
}

// work is a root module whose state is in a backend.
type work struct {
	testing.TB
	b        *backend
	exe, dir string
	env      []string
}

const config = `terraform {
  backend "http" {}
}
variable "value" { default = "one" }
resource "terraform_data" "a" { input = var.value }
resource "terraform_data" "b" { input = terraform_data.a.output }
output "value" { value = terraform_data.b.output }
`

// newWork writes a root module and runs init, everything about the backend coming
// from the environment.
func newWork(b *backend, exe, token string) *work {
	b.Helper()
	w := &work{TB: b.TB, b: b, exe: exe, dir: b.TempDir()}
	w.env = testkit.EngineEnv(b.TB, "TF_HTTP_ADDRESS="+b.URL+address, "TF_HTTP_LOCK_ADDRESS="+b.URL+address, "TF_HTTP_UNLOCK_ADDRESS="+b.URL+address,
		"TF_HTTP_LOCK_METHOD=LOCK", "TF_HTTP_UNLOCK_METHOD=UNLOCK", "TF_HTTP_USERNAME=terrace", "TF_HTTP_PASSWORD="+token,
		"TF_HTTP_RETRY_WAIT_MIN=0", "TF_HTTP_RETRY_WAIT_MAX=1")
	if err := os.WriteFile(filepath.Join(w.dir, "main.tf"), []byte(config), 0o600); err != nil {
		b.Fatal(err)
	}
	w.run("init")
	b.methods()
	return w
}

// try runs the engine.
func (w *work) try(args ...string) (string, error) {
	cmd := exec.CommandContext(w.Context(), w.exe, append(args, "-no-color")...)
	cmd.Dir, cmd.Env = w.dir, w.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// run is try that has to succeed.
func (w *work) run(args ...string) string {
	w.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.Fatalf("%s %s: %v\n%s", filepath.Base(w.exe), strings.Join(args, " "), err, out)
	}
	return out
}

// asked wants these methods to have been used since the last look.
func (w *work) asked(want string) {
	w.Helper()
	if got := w.b.methods(); got != want {
		w.Errorf("asked %s, want %s", got, want)
	}
}

func (w *work) versions() int {
	w.Helper()
	all, err := w.b.state.Versions(w.Context(), "shop", "web", "dev", 0)
	if err != nil {
		w.Fatal(err)
	}
	return len(all)
}

// unlocked wants nobody to hold the lock.
func (w *work) unlocked() {
	w.Helper()
	shown, err := w.b.state.Show(w.Context(), "shop", "web", "dev")
	if err != nil || shown.Lock != nil {
		w.Errorf("the lock is still held: %+v, %v", shown.Lock, err)
	}
}

// output is the state's output, read by the engine itself.
func (w *work) output(want string) {
	w.Helper()
	if got := strings.TrimSpace(w.run("output", "-raw", "value")); got != want {
		w.Errorf("the output is %q, want %q", got, want)
	}
}

func TestEngineLifecycle(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		w := newWork(b, exe, "ana-token")
		w.run("plan", "-input=false", "-out=plan")
		w.asked("LOCK GET UNLOCK")
		w.run("apply", "-input=false", "plan")
		if asked := b.methods(); !strings.HasPrefix(asked, "LOCK GET") || !strings.HasSuffix(asked, "POST UNLOCK") {
			t.Errorf("apply asked %s", asked)
		}
		w.output("one")
		w.asked("GET")
		w.run("apply", "-input=false", "-auto-approve", "-var=value=two")
		w.output("two")
		before := w.versions()
		w.run("apply", "-input=false", "-auto-approve", "-var=value=two")
		if w.versions() != before {
			t.Errorf("an apply without changes made a version")
		}
		w.run("destroy", "-input=false", "-auto-approve")
		w.unlocked()

		all, err := b.state.Versions(t.Context(), "shop", "web", "dev", 0)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range all[1:] {
			if v.Lineage != all[0].Lineage || v.Serial >= all[i].Serial || v.By != "user:ana" {
				t.Errorf("version %+v after %+v", all[i], v)
			}
		}
		if all[0].Resources != 0 || all[1].Resources == 0 {
			t.Errorf("resources: %d, before that %d", all[0].Resources, all[1].Resources)
		}
	})
}

// lost applies once with the reply to one method lost: the work was done, the answer did
// not arrive (fault 9). It returns the lock IDs that were asked for.
func lost(t *testing.T, method string) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		w := newWork(b, exe, "ana-token")
		w.run("apply", "-input=false", "-auto-approve")
		b.methods()
		w.output("one")
		w.asked("GET")
		before := w.versions()
		b.lose(method)
		w.run("apply", "-input=false", "-auto-approve", "-var=value=two")
		b.calm()
		ids := b.lockIDs()
		asked := strings.Fields(b.methods())
		once := map[string]int{"LOCK": 1, "POST": 1, "UNLOCK": 1}
		once[method]++
		for m, n := range once {
			if got := len(slices.DeleteFunc(slices.Clone(asked), func(a string) bool { return a != m })); got != n {
				t.Errorf("%d times %s, want %d: %s", got, m, n, asked)
			}
		}
		if len(slices.Compact(ids)) != 1 {
			t.Errorf("locked with %q, want one ID each time", ids)
		}
		if n := w.versions() - before; n != 1 {
			t.Errorf("one apply with one upload made %d versions", n)
		}
		w.output("two")
		w.unlocked()
		if kept, err := b.state.RecoveredList(t.Context(), "shop", "web", "dev"); err != nil || len(kept) != 0 {
			t.Errorf("kept aside: %+v, %v", kept, err)
		}
	})
}

// TestLostLockReply: the engine asks again, with the same ID, and gets the lock.
func TestLostLockReply(t *testing.T) { lost(t, "LOCK") }

// TestLostPostReply: the engine uploads again, and there is one version.
func TestLostPostReply(t *testing.T) { lost(t, "POST") }

// TestLostUnlockReply: the engine unlocks again, and that is no error.
func TestLostUnlockReply(t *testing.T) { lost(t, "UNLOCK") }

// TestSameIDRelock: who holds a lock may ask for it again, and nobody else may, whatever
// the ID.
func TestSameIDRelock(t *testing.T) {
	b := newBackend(t)
	for i, c := range []struct {
		token, lock string
		status      int
	}{
		{"ana-token", anaLock, 200}, {"ana-token", anaLock, 200}, {"bob-token", `{"ID":"l-bob"}`, 423}, {"ana-token", `{"ID":"l-other"}`, 423}, {"ana-token", anaLock, 200},
	} {
		if status, answer, _ := b.do("LOCK", address, c.token, []byte(c.lock)); status != c.status || status == 423 && answer != anaLock {
			t.Errorf("%d: %d %s, want %d", i, status, answer, c.status)
		}
	}
}

// TestServerErrorsAreRetried: 503 is tried again.
func TestServerErrorsAreRetried(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		w := newWork(b, exe, "ana-token")
		b.busy("LOCK", "GET", "POST", "UNLOCK")
		w.run("apply", "-input=false", "-auto-approve")
		b.calm()
		w.output("one")
		w.unlocked()
	})
}

// TestConflictIsNotRetried: a refusal for good is said once.
func TestConflictIsNotRetried(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		w := newWork(b, exe, "ana-token")
		w.run("apply", "-input=false", "-auto-approve")
		b.methods()
		if out, err := w.try("apply", "-input=false", "-auto-approve", "-lock=false", "-var=value=two"); err == nil || !strings.Contains(out, "409") {
			t.Fatalf("a write without the lock was accepted: %v\n%s", err, out)
		}
		if asked := b.methods(); strings.Count(asked, "POST") != 1 {
			t.Errorf("asked %s: the write that was refused came again", asked)
		}
	})
}

// TestErroredStateStillUnlocks: an engine that could not upload keeps what it made in
// errored.tfstate, and unlocks all the same. So the lock protects nothing then; the lease
// of the environment does. TestSkippedSerials goes on from there.
func TestErroredStateStillUnlocks(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		w := newWork(b, exe, "ana-token")
		w.run("apply", "-input=false", "-auto-approve")
		b.methods()
		b.failing("POST")
		if out, err := w.try("apply", "-input=false", "-auto-approve", "-var=value=two"); err == nil {
			t.Fatalf("an upload that never works is a success:\n%s", out)
		}
		b.works("POST")
		if asked := b.methods(); !strings.HasSuffix(asked, "POST UNLOCK") {
			t.Errorf("asked %s", asked)
		}
		if _, err := os.Stat(filepath.Join(w.dir, "errored.tfstate")); err != nil {
			t.Error(err)
		}
		w.unlocked()
		w.output("one")
	})
}

// TestSkippedSerials: what is uploaded after a failed upload has skipped numbers, and is
// stored.
func TestSkippedSerials(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		w := newWork(b, exe, "ana-token")
		w.run("apply", "-input=false", "-auto-approve")
		before, err := b.state.Current(t.Context(), "shop", "web", "dev")
		if err != nil {
			t.Fatal(err)
		}
		b.failing("POST")
		if out, err := w.try("apply", "-input=false", "-auto-approve", "-var=value=two"); err == nil {
			t.Fatalf("an upload that never works is a success:\n%s", out)
		}
		b.works("POST")
		errored := filepath.Join(w.dir, "errored.tfstate")
		content, err := os.ReadFile(errored)
		if err != nil {
			t.Fatal(err)
		}
		var f map[string]any
		if err := json.Unmarshal(content, &f); err != nil {
			t.Fatal(err)
		}
		if f["serial"].(float64) < float64(before.Serial+2) { // where the engine itself did not skip one
			f["serial"] = before.Serial + 2
			if content, err = json.Marshal(f); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(errored, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		w.run("state", "push", "errored.tfstate")
		w.output("two")
		after, err := b.state.Current(t.Context(), "shop", "web", "dev")
		if err != nil || after.Serial < before.Serial+2 {
			t.Errorf("serial %d after %d, %v: none was skipped", after.Serial, before.Serial, err)
		}
		w.run("apply", "-input=false", "-auto-approve", "-var=value=three")
	})
}

// TestForcedForeignLineage: "state push -force" comes as an ordinary write, so only the
// server can refuse it; what is refused is kept.
func TestForcedForeignLineage(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		w := newWork(b, exe, "ana-token")
		w.run("apply", "-input=false", "-auto-approve")
		before := w.run("state", "pull")
		foreign := filepath.Join(w.dir, "foreign.tfstate")
		if err := os.WriteFile(foreign, []byte(`{"version":4,"terraform_version":"1.11.4","serial":99,"lineage":"somebody-elses","outputs":{},"resources":[]}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := w.try("state", "push", "-force", foreign); err == nil || !strings.Contains(out, "409") {
			t.Errorf("a foreign state was accepted: %v\n%s", err, out)
		}
		if after := w.run("state", "pull"); after != before {
			t.Errorf("the state changed:\n%s", after)
		}
		kept, err := b.state.RecoveredList(t.Context(), "shop", "web", "dev")
		if err != nil || len(kept) != 1 || kept[0].Lineage != "somebody-elses" {
			t.Errorf("kept aside: %+v, %v", kept, err)
		}
		w.unlocked()

		// Its own lineage and a greater serial is a write like any other.
		var own map[string]any
		if err := json.Unmarshal([]byte(before), &own); err != nil {
			t.Fatal(err)
		}
		own["serial"] = own["serial"].(float64) + 10
		next, err := json.Marshal(own)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(foreign, next, 0o600); err != nil {
			t.Fatal(err)
		}
		w.run("state", "push", foreign)
	})
}

// held makes bob hold the lock.
func held(b *backend) {
	b.Helper()
	if status, _, _ := b.do("LOCK", address, "bob-token", []byte(bobLock)); status != 200 {
		b.Fatalf("LOCK: %d", status)
	}
}

const bobLock = `{"ID":"l-bob","Operation":"OperationTypeApply","Who":"bob@desk","Created":"2026-01-01T00:00:00Z"}`

// TestLockConflictShowsHolder: who does not get the lock is told who has it. OpenTofu
// shows the holder; Terraform 1.11 shows its own ID as the lock's, which is why terrace
// state unlock needs none.
func TestLockConflictShowsHolder(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		w := newWork(b, exe, "ana-token")
		held(b)
		if out, err := w.try("plan", "-input=false"); err == nil || !strings.Contains(out, "l-bob") {
			t.Errorf("planned under somebody else's lock: %v\n%s", err, out)
		}
	})
}

// forced takes bob's lock away with the engine's own command.
func forced(t *testing.T, exe, body string) {
	b := newBackend(t)
	w := newWork(b, exe, "ana-token")
	held(b)
	w.run("force-unlock", "-force", "l-bob")
	if got := b.unlockBody(); got != body {
		t.Errorf("the unlock said %q, want %q", got, body)
	}
	w.unlocked()
	w.run("plan", "-input=false")
}

// TestForceUnlockWithID: OpenTofu says which lock it takes away.
func TestForceUnlockWithID(t *testing.T) {
	forced(t, testkit.Tofu(t), `{"ID":"l-bob","Operation":"","Info":"","Who":"","Version":"","Created":"0001-01-01T00:00:00Z","Path":""}`)
}

// TestEmptyBodyForceUnlock: Terraform does not. Where the machine has none, its request is
// what is tested.
func TestEmptyBodyForceUnlock(t *testing.T) {
	if exe, ok := testkit.Terraform(t); ok {
		forced(t, exe, "")
	}
	b := newBackend(t)
	held(b)
	if status, answer, _ := b.do("UNLOCK", address, "ana-token", nil); status != 200 {
		t.Errorf("%d %s", status, answer)
	}
	if status, _, _ := b.do("LOCK", address, "ana-token", []byte(anaLock)); status != 200 {
		t.Errorf("still locked: %d", status)
	}
}

// TestUnknownOutcome: the engine's message says what to do.
func TestUnknownOutcome(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		w := newWork(b, exe, "ana-token")
		if err := b.db.Update(t.Context(), func(tx core.Tx) error {
			return tx.PutInstance(core.InstanceState{Project: "shop", Stack: "web", Environment: "dev", Unknown: "r-lost"})
		}); err != nil {
			t.Fatal(err)
		}
		out, err := w.try("apply", "-input=false", "-auto-approve")
		if err == nil || !strings.Contains(strings.Join(strings.Fields(out), " "), "terrace run recover r-lost") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

// TestRunTokenWithEngine: reading and locking in plan, writing in apply only.
func TestRunTokenWithEngine(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		caller := state.Caller{Run: "r-1", Fence: 7, CanWrite: true, By: "run:r-1"}
		b.callers["run-token"] = caller // before anything asks
		status := func(to core.RunStatus) {
			t.Helper()
			if err := b.db.Update(t.Context(), func(tx core.Tx) error {
				run, err := tx.Run("r-1")
				if core.CodeOf(err) == core.NotFound {
					return tx.AddRun(core.Run{ID: "r-1", Project: "shop", Stack: "web", Environment: "dev", Kind: core.KindDeploy, Status: to,
						Release: core.Release{Project: "shop", Number: 1, Commit: "abc"}, Fence: caller.Fence, PhaseAt: tx.Now()})
				} else if err != nil {
					return err
				}
				from := run.Status
				run.Status, run.PhaseAt = to, tx.Now()
				return tx.UpdateRun(run, from)
			}); err != nil {
				t.Fatal(err)
			}
		}
		status(core.RunPlanning)
		w := newWork(b, exe, "run-token")
		w.run("plan", "-input=false", "-out=plan")
		out, err := w.try("apply", "-input=false", "plan")
		if err == nil || !strings.Contains(out, "403") {
			t.Errorf("a plan token wrote state: %v\n%s", err, out)
		}
		if _, err := os.Stat(filepath.Join(w.dir, "errored.tfstate")); err != nil {
			t.Errorf("the engine left no errored.tfstate: %v", err)
		}
		w.unlocked()
		if n := w.versions(); n != 0 {
			t.Errorf("%d versions", n)
		}
		status(core.RunApplying)
		w.run("plan", "-input=false", "-out=plan")
		w.run("apply", "-input=false", "plan")
		w.output("one")

		// The server took the run for lost while the engine worked.
		status(core.RunUnknown)
		if out, err := w.try("apply", "-input=false", "-auto-approve", "-lock=false", "-var=value=late"); err == nil {
			t.Errorf("a late apply succeeded:\n%s", out)
		}
	})
}

// TestRefusedUpload: what the engine could not store is in errored.tfstate and in the
// recovery slot.
func TestRefusedUpload(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		w := newWork(b, exe, "ana-token")
		w.run("apply", "-input=false", "-auto-approve")
		before := w.versions()
		out, err := w.try("apply", "-input=false", "-auto-approve", "-lock=false", "-var=value=two")
		if err == nil || !strings.Contains(out, "409") {
			t.Errorf("a write without the lock was accepted: %v\n%s", err, out)
		}
		if w.versions() != before {
			t.Error("a version was made")
		}
		kept, err := b.state.RecoveredList(t.Context(), "shop", "web", "dev")
		if err != nil || len(kept) == 0 {
			t.Fatalf("kept aside: %+v, %v", kept, err)
		}
		errored, err := os.ReadFile(filepath.Join(w.dir, "errored.tfstate"))
		if err != nil {
			t.Fatal(err)
		}
		person := state.Caller{By: "user:ana", Person: true, CanWrite: true}
		v, err := b.state.Promote(context.WithoutCancel(t.Context()), person, "shop", "web", "dev", kept[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		stored, _, err := b.state.Pull(t.Context(), person, "shop", "web", "dev", v.ID)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(withoutSerial(t, errored), withoutSerial(t, stored)); diff != "" {
			t.Errorf("recovered (-errored.tfstate +version):\n%s", diff)
		}
		w.output("two")
	})
}

// withoutSerial reads a state. tofu counts the serial up once more before it writes
// errored.tfstate.
func withoutSerial(t *testing.T, b []byte) map[string]any {
	t.Helper()
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil {
		t.Fatal(err)
	}
	delete(out, "serial")
	return out
}

// TestBackendFromEnvironment: with an empty backend block and TF_HTTP_… the engines
// keep neither address nor token, in .terraform or in a saved plan, and take both from
// the environment of the moment. So a runner needs no new init for a new token or
// port, and a stored plan holds no credential.
func TestBackendFromEnvironment(t *testing.T) {
	engines(t, func(t *testing.T, exe string) {
		b := newBackend(t)
		b.callers["second-token"] = b.callers["ana-token"] // before anything asks
		w := newWork(b, exe, "ana-token")
		w.run("plan", "-input=false", "-out=plan")
		nothingKept(t, w.dir, b.URL, "ana-token")

		second := httptest.NewServer(b.Config.Handler)
		t.Cleanup(second.Close)
		for i, v := range w.env {
			w.env[i] = strings.NewReplacer(b.URL, second.URL, "ana-token", "second-token").Replace(v)
		}
		b.mu.Lock()
		delete(b.callers, "ana-token")
		b.mu.Unlock()
		b.Close()
		w.run("apply", "-input=false", "plan")
		w.run("plan", "-input=false", "-var=value=two", "-out=plan")
		w.run("apply", "-input=false", "plan")
		w.output("two")
		nothingKept(t, w.dir, second.URL, "second-token")
	})
}

// nothingKept looks into every file of a folder, and into plan files, which are zips.
func nothingKept(t *testing.T, dir string, secrets ...string) {
	t.Helper()
	look := func(name string, r io.Reader) error {
		content, err := io.ReadAll(r)
		for _, secret := range secrets {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%s holds %s", name, secret)
			}
		}
		return err
	}
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := look(path, bytes.NewReader(content)); err != nil || d.Name() != "plan" {
			return err
		}
		plan, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			return err
		}
		for _, f := range plan.File {
			r, err := f.Open()
			if err == nil {
				err = look(path+"/"+f.Name, r)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}
