package state

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/blob"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a service on a real database, real files and real encryption.
type bench struct {
	*testing.T
	*Service
	dir   string
	db    *store.DB
	blobs *blob.Folder
	ring  *seal.Keyring
}

func newBench(t *testing.T, options ...Option) *bench {
	t.Helper()
	b := &bench{T: t, dir: t.TempDir()}
	b.open(options...)
	if err := b.db.Update(t.Context(), func(tx core.Tx) error {
		if err := tx.AddProject(core.Project{Name: "shop"}); err != nil {
			return err
		}
		return tx.AddRelease(release)
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

var release = core.Release{Project: "shop", Number: 1, Commit: "abc"}

func (b *bench) open(options ...Option) {
	b.Helper()
	var err error
	if b.db, err = store.Open(b.Context(), filepath.Join(b.dir, "terrace.db")); err != nil {
		b.Fatal(err)
	}
	db := b.db
	b.Cleanup(func() { _ = db.Close() })
	if b.blobs, err = blob.Open(filepath.Join(b.dir, "blobs")); err != nil {
		b.Fatal(err)
	}
	if b.ring, err = seal.Open(filepath.Join(b.dir, "master.key")); err != nil {
		b.Fatal(err)
	}
	b.Service = New(b.db, b.blobs, b.ring, options...)
}

var ana = Caller{By: "user:ana", Person: true, CanWrite: true}

// body is a state file.
func body(lineage string, serial int64, resources ...string) []byte {
	f := map[string]any{"version": 4, "terraform_version": "1.12.6", "serial": serial, "lineage": lineage,
		"outputs": map[string]any{"url": map[string]any{"value": "http://x", "type": "string"},
			"password": map[string]any{"value": "hunter2", "type": "string", "sensitive": true}}}
	list := []any{}
	for _, r := range resources {
		list = append(list, map[string]any{"mode": "managed", "type": "terraform_data", "name": r, "provider": `provider["terraform.io/builtin/terraform"]`,
			"instances": []any{map[string]any{"schema_version": 0, "attributes": map[string]any{"secret": "hunter2"}}}})
	}
	f["resources"] = list
	out, err := json.Marshal(f)
	if err != nil {
		panic(err)
	}
	return out
}

func sum(b []byte) string {
	s := md5.Sum(b)
	return hex.EncodeToString(s[:])
}

func lockBody(id string) []byte {
	return []byte(`{"ID":"` + id + `","Operation":"OperationTypeApply","Who":"ana@laptop"}`)
}

// run adds a deploy run at web@dev and returns its caller.
func (b *bench) run(id string, status core.RunStatus) Caller {
	b.Helper()
	return b.runOf(core.KindDeploy, id, status)
}

func (b *bench) runOf(kind core.RunKind, id string, status core.RunStatus) Caller {
	b.Helper()
	c := Caller{Run: id, By: "run:" + id, CanWrite: true}
	b.update(func(tx core.Tx) (err error) {
		if c.Fence, err = tx.NextFence(); err != nil {
			return err
		}
		return tx.AddRun(core.Run{ID: id, Project: "shop", Stack: "web", Environment: "dev", Kind: kind, Status: status, Release: release,
			Attempt: 1, Fence: c.Fence, PhaseAt: tx.Now()})
	})
	return c
}

// move changes a run's status.
func (b *bench) move(id string, to core.RunStatus) {
	b.Helper()
	b.update(func(tx core.Tx) error {
		r, err := tx.Run(id)
		if err != nil {
			return err
		}
		from := r.Status
		r.Status, r.PhaseAt = to, tx.Now()
		return tx.UpdateRun(r, from)
	})
}

func (b *bench) update(f func(core.Tx) error) {
	b.Helper()
	if err := b.db.Update(b.Context(), f); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) lock(c Caller, id string) {
	b.Helper()
	if err := b.Lock(b.Context(), c, "shop", "web", "dev", lockBody(id)); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) unlock(c Caller, id string) {
	b.Helper()
	if err := b.Unlock(b.Context(), c, "shop", "web", "dev", lockBody(id)); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) write(c Caller, id string, content []byte) (core.StateVersion, error) {
	return b.Write(b.Context(), c, "shop", "web", "dev", id, sum(content), content)
}

func (b *bench) mustWrite(c Caller, id string, content []byte) core.StateVersion {
	b.Helper()
	v, err := b.write(c, id, content)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// current wants the current state to be content, nil for none.
func (b *bench) current(content []byte) {
	b.Helper()
	got, _, err := b.Get(b.Context(), ana, "shop", "web", "dev")
	if content == nil && core.CodeOf(err) == core.NotFound {
		return
	}
	if err != nil || !bytes.Equal(got, content) {
		b.Fatalf("the current state is %s, %v; want %s", got, err, content)
	}
}

// slot wants the recovery slot to hold these serials, newest first.
func (b *bench) slot(serials ...int64) {
	b.Helper()
	all, err := b.RecoveredList(b.Context(), "shop", "web", "dev")
	if err != nil {
		b.Fatal(err)
	}
	var got []int64
	for _, r := range all {
		got = append(got, r.Serial)
	}
	if diff := cmp.Diff(serials, got); diff != "" {
		b.Fatalf("recovery slot (-want +got):\n%s", diff)
	}
}

func wantCode(t *testing.T, err error, code core.Code, text string) {
	t.Helper()
	if core.CodeOf(err) != code || !strings.Contains(core.MessageOf(err), text) {
		t.Errorf("got %v (%s), want a %s error about %q", err, core.CodeOf(err), code, text)
	}
}

func TestWriteAndRead(t *testing.T) {
	b := newBench(t)
	b.current(nil)
	b.lock(ana, "l1")
	first := body("lin", 1, "a", "b")
	v := b.mustWrite(ana, "l1", first)
	if v.Serial != 1 || v.Lineage != "lin" || v.Resources != 2 || v.MD5 != sum(first) || v.Fence == 0 || v.By != "user:ana" || v.ID == 0 {
		t.Errorf("version %+v", v)
	}
	if again := b.mustWrite(ana, "l1", first); again.ID != v.ID {
		t.Errorf("the same bytes made a second version: %+v", again)
	}
	fifth := body("lin", 5, "a") // serials may be skipped
	b.mustWrite(ana, "l1", fifth)
	b.unlock(ana, "l1")
	b.current(fifth)
	if again := b.mustWrite(ana, "l1", fifth); again.Serial != 5 { // a reply lost, and the client unlocked meanwhile
		t.Errorf("repeated after unlocking: %+v", again)
	}

	versions, err := b.Versions(t.Context(), "shop", "web", "dev", 0)
	if err != nil || len(versions) != 2 || versions[0].Serial != 5 || !versions[0].Current || versions[1].Current {
		t.Errorf("versions %+v, %v", versions, err)
	}
	old, _, err := b.Pull(t.Context(), ana, "shop", "web", "dev", versions[1].ID)
	if err != nil || !bytes.Equal(old, first) {
		t.Errorf("pulled %s, %v", old, err)
	}
	if newest, _, err := b.Pull(t.Context(), ana, "shop", "web", "dev", 0); err != nil || !bytes.Equal(newest, fifth) {
		t.Errorf("pulled %s, %v", newest, err)
	}
	list, err := b.List(t.Context(), "shop")
	if err != nil || len(list) != 1 || list[0].Instance != "web@dev" {
		t.Errorf("list %+v, %v", list, err)
	}
	if _, err := b.List(t.Context(), "nowhere"); core.CodeOf(err) != core.NotFound {
		t.Errorf("list of no project: %v", err)
	}
	if v, err := b.Current(t.Context(), "shop", "web", "dev"); err != nil || v.Serial != 5 {
		t.Errorf("current %+v, %v", v, err)
	}
	b.slot()

	// Nothing of it is readable on disk (invariant I6).
	keys, err := b.blobs.List(t.Context())
	if err != nil || len(keys) != 2 {
		t.Fatalf("blobs %v, %v", keys, err)
	}
	for _, key := range keys {
		sealed, err := b.blobs.Get(t.Context(), key.Key)
		if err != nil || bytes.Contains(sealed, []byte("hunter2")) || bytes.Contains(sealed, []byte("lineage")) {
			t.Errorf("%s is readable, or %v", key.Key, err)
		}
	}
	if _, _, err := b.db.VerifyEvents(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestRefusals: each sentence of "what a write must satisfy".
func TestRefusals(t *testing.T) {
	b := newBench(t)
	b.lock(ana, "l1")
	now := body("lin", 5, "a")
	b.mustWrite(ana, "l1", now)
	for _, c := range []struct {
		name    string
		lock    string
		content []byte
		code    core.Code
		text    string
		kept    bool
	}{
		{"same serial, other bytes", "l1", body("lin", 5, "b"), core.Conflict, "with other content", true},
		{"older serial", "l1", body("lin", 4, "a"), core.Conflict, "older", true},
		{"foreign lineage", "l1", body("other", 6, "a"), core.Conflict, "lineage", true},
		{"foreign lineage, same serial", "l1", body("other", 5, "a"), core.Conflict, "lineage", true},
		{"no lock ID", "", body("lin", 6, "x"), core.Conflict, "no lock ID", true},
		{"somebody else's lock ID", "l2", body("lin", 6, "y"), core.Conflict, "lock that is gone", true},
		{"not JSON", "l1", []byte("<html>"), core.Invalid, "not a state file", false},
		{"empty", "l1", nil, core.Invalid, "empty", false},
		{"cut off", "l1", now[:len(now)-1], core.Invalid, "cut off", false},
		{"something behind it", "l1", append(bytes.Clone(now), "{}"...), core.Invalid, "not a state file", false},
		{"another JSON", "l1", []byte(`{"a":1}`), core.Invalid, "no version", false},
		{"a list", "l1", []byte(`[]`), core.Invalid, "not a state file", false},
		{"null", "l1", []byte(`null`), core.Invalid, "no version", false},
		{"old version", "l1", []byte(`{"version":3,"serial":6,"lineage":"lin"}`), core.Invalid, "version 3", false},
		{"no serial", "l1", []byte(`{"version":4,"lineage":"lin"}`), core.Invalid, "no serial", false},
		{"negative serial", "l1", []byte(`{"version":4,"serial":-1,"lineage":"lin"}`), core.Invalid, "no serial", false},
		{"fractional serial", "l1", []byte(`{"version":4,"serial":6.5,"lineage":"lin"}`), core.Invalid, "not a state file", false},
		{"no lineage", "l1", []byte(`{"version":4,"serial":6}`), core.Invalid, "no lineage", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			before, err := b.RecoveredList(t.Context(), "shop", "web", "dev")
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // refused again, kept once
				_, err := b.write(ana, c.lock, c.content)
				wantCode(t, err, c.code, c.text)
			}
			after, err := b.RecoveredList(t.Context(), "shop", "web", "dev")
			if err != nil {
				t.Fatal(err)
			}
			if kept := len(after)-len(before) == 1; kept != c.kept || len(after)-len(before) > 1 {
				t.Fatalf("the recovery slot went from %d to %d entries", len(before), len(after))
			}
			if c.kept {
				content, err := b.content(t.Context(), after[0].Blob)
				if err != nil || !bytes.Equal(content, c.content) || after[0].Reason == "" || after[0].By != "user:ana" {
					t.Errorf("kept %s, %+v, %v", content, after[0], err)
				}
			}
			b.current(now)
		})
	}
	_, err := b.Write(t.Context(), ana, "shop", "web", "dev", "l1", sum(now), body("lin", 6, "a"))
	wantCode(t, err, core.Invalid, "damaged")
	_, err = b.Write(t.Context(), ana, "shop", "web", "dev", "l1", "", body("lin", 6, "a")) // no digest was sent
	if err != nil {
		t.Error(err)
	}
	b.unlock(ana, "l1")
	_, err = b.write(ana, "l1", body("lin", 7))
	wantCode(t, err, core.Conflict, "not locked")
	reader := ana
	reader.CanWrite = false
	_, err = b.write(reader, "l1", body("lin", 8))
	wantCode(t, err, core.Denied, "only read")
	if versions, err := b.Versions(t.Context(), "shop", "web", "dev", 0); err != nil || len(versions) != 2 {
		t.Errorf("versions %+v, %v", versions, err)
	}
	for _, name := range []string{"", "..", "a/b", "-a", "a b"} {
		_, err := b.Write(t.Context(), ana, "shop", name, "dev", "l1", "", body("lin", 9))
		wantCode(t, err, core.Invalid, "cannot name a stack")
		_, err = b.Write(t.Context(), ana, "shop", "web", name, "l1", "", body("lin", 9))
		wantCode(t, err, core.Invalid, "cannot name a environment")
	}
	_, err = b.Write(t.Context(), ana, "nowhere", "web", "dev", "l1", "", body("lin", 9))
	wantCode(t, err, core.Invalid, "no project nowhere")
}

func TestLimit(t *testing.T) {
	content := body("lin", 1, "a")
	b := newBench(t, WithLimit(int64(len(content))))
	b.lock(ana, "l1")
	b.mustWrite(ana, "l1", content)
	_, err := b.write(ana, "l1", body("lin", 2, "a", "b"))
	wantCode(t, err, core.Invalid, "at most")
	b.current(content)
}

// TestLargeState: 100 MB are accepted when they are valid.
func TestLargeState(t *testing.T) {
	b := newBench(t)
	b.lock(ana, "l1")
	if v := b.mustWrite(ana, "l1", append(body("lin", 1, "a"), bytes.Repeat([]byte(" "), 100<<20)...)); v.Size < 100<<20 {
		t.Errorf("version %+v", v)
	}
}

// TestEncryptedState: with OpenTofu's own encryption only serial and lineage are readable.
func TestEncryptedState(t *testing.T) {
	b := newBench(t)
	b.lock(ana, "l1")
	v := b.mustWrite(ana, "l1", []byte(`{"serial":1,"lineage":"lin","meta":{},"encrypted_data":"AAAA","encryption_version":"v0"}`))
	if v.Resources != 1 {
		t.Errorf("an encrypted state counts as %d resources, want 1: it must not be taken for empty", v.Resources)
	}
	if shown, err := b.Show(t.Context(), "shop", "web", "dev"); err != nil || len(shown.Resources) != 0 {
		t.Errorf("shown %+v, %v", shown, err)
	}
}

// TestRunToken: reading during plan, writing during apply, its own instance alone,
// its newest attempt alone.
func TestRunToken(t *testing.T) {
	b := newBench(t)
	r := b.run("r-1", core.RunPlanning)
	b.lock(r, "plan")
	if _, _, err := b.Get(t.Context(), r, "shop", "web", "dev"); core.CodeOf(err) != core.NotFound {
		t.Errorf("reading in plan: %v", err)
	}
	_, err := b.write(r, "plan", body("lin", 1))
	wantCode(t, err, core.Denied, "only while it applies")
	b.slot()
	b.unlock(r, "plan")

	for _, other := range [][3]string{{"shop", "db", "dev"}, {"shop", "web", "production"}, {"blog", "web", "dev"}} {
		_, _, err := b.Get(t.Context(), r, other[0], other[1], other[2])
		wantCode(t, err, core.Denied, "web@dev of shop alone")
		wantCode(t, b.Lock(t.Context(), r, other[0], other[1], other[2], lockBody("x")), core.Denied, "alone")
		wantCode(t, b.Unlock(t.Context(), r, other[0], other[1], other[2], lockBody("x")), core.Denied, "alone")
		_, err = b.Write(t.Context(), r, other[0], other[1], other[2], "x", "", body("lin", 1))
		wantCode(t, err, core.Denied, "alone")
	}
	wantCode(t, b.Delete(t.Context(), r, "shop", "web", "dev"), core.Denied, "person")
	wantCode(t, b.ForceUnlock(t.Context(), r, "shop", "web", "dev", ""), core.Denied, "person")
	_, err = b.Push(t.Context(), r, "shop", "web", "dev", body("lin", 1))
	wantCode(t, err, core.Denied, "person")
	_, _, err = b.Pull(t.Context(), r, "shop", "web", "dev", 0)
	wantCode(t, err, core.Denied, "person")
	_, err = b.Promote(t.Context(), r, "shop", "web", "dev", 1)
	wantCode(t, err, core.Denied, "person")

	b.move("r-1", core.RunApplying)
	b.lock(r, "apply")
	first := body("lin", 1, "a")
	if v := b.mustWrite(r, "apply", first); v.Run != "r-1" || v.By != "run:r-1" {
		t.Errorf("version %+v", v)
	}
	wantCode(t, b.Unlock(t.Context(), ana, "shop", "web", "dev", nil), core.Conflict, "needs its lock")
	wantCode(t, b.ForceUnlock(t.Context(), ana, "shop", "web", "dev", ""), core.Conflict, "needs its lock")

	// A stale fence: another attempt took over.
	late := r
	late.Fence--
	_, err = b.write(late, "apply", body("lin", 2, "late"))
	wantCode(t, err, core.Conflict, "stale fence")
	_, _, err = b.Get(t.Context(), late, "shop", "web", "dev")
	wantCode(t, err, core.Denied, "took over")
	err = b.Lock(t.Context(), late, "shop", "web", "dev", lockBody("apply"))
	var locked *Locked
	if !errors.As(err, &locked) || !strings.Contains(string(locked.Info), "took over") {
		t.Errorf("a late LOCK: %v", err)
	}
	b.slot(2)

	// The run is over: its lock goes, and what comes late is kept.
	b.move("r-1", core.RunFailed)
	b.update(func(tx core.Tx) error {
		run, err := tx.Run("r-1")
		if err != nil {
			return err
		}
		return b.ReleaseRunLocks(tx, run)
	})
	_, err = b.write(r, "apply", body("lin", 3, "later"))
	wantCode(t, err, core.Conflict, "too late")
	b.slot(3, 2)
	b.current(first)
	b.lock(ana, "free")

	gone := Caller{Run: "r-gone", By: "run:r-gone", CanWrite: true}
	_, _, err = b.Get(t.Context(), gone, "shop", "web", "dev")
	wantCode(t, err, core.Denied, "gone")
}

func TestRecovery(t *testing.T) {
	b := newBench(t)
	r := b.run("r-1", core.RunApplying)
	b.lock(r, "apply")
	b.mustWrite(r, "apply", body("lin", 1, "a"))
	b.unlock(r, "apply") // after a failed upload the engine unlocks all the same
	for _, s := range [][]byte{body("lin", 4, "a", "b", "c"), body("lin", 3, "a", "b"), body("other", 9)} {
		if err := b.Keep(t.Context(), r, "shop", "web", "dev", "the upload failed", s); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Keep(t.Context(), r, "shop", "web", "dev", "the upload failed", body("lin", 1, "a")); err != nil { // came through after all
		t.Fatal(err)
	}
	wantCode(t, b.Keep(t.Context(), r, "shop", "web", "dev", "x", []byte("junk")), core.Invalid, "not a state file")
	wantCode(t, b.Keep(t.Context(), r, "shop", "db", "dev", "x", body("lin", 1)), core.Denied, "alone")
	b.slot(9, 3, 4)
	_, err := b.Promote(t.Context(), ana, "shop", "web", "dev", 1)
	wantCode(t, err, core.Conflict, "may still write")

	b.move("r-1", core.RunUnknown)
	b.update(func(tx core.Tx) error {
		return tx.PutInstance(core.InstanceState{Project: "shop", Stack: "web", Environment: "dev", Unknown: "r-1"})
	})
	wantCode(t, b.Lock(t.Context(), ana, "shop", "web", "dev", lockBody("x")), core.Conflict, "terrace run recover r-1")

	lost := core.Run{ID: "r-1", Project: "shop", Stack: "web", Environment: "dev"}
	for range 2 { // the second time there is nothing left to do
		if err := b.Recover(t.Context(), lost); err != nil {
			t.Fatal(err)
		}
		b.current(body("lin", 4, "a", "b", "c"))
	}
	versions, err := b.Versions(t.Context(), "shop", "web", "dev", 0)
	if err != nil || len(versions) != 3 || versions[0].Serial != 4 || versions[1].Serial != 3 || versions[0].Run != "r-1" {
		t.Errorf("versions %+v, %v", versions, err)
	}
	shown, err := b.Show(t.Context(), "shop", "web", "dev")
	if err != nil || len(shown.Recovered) != 3 || shown.Recovered[0].Used || !shown.Recovered[1].Used || !shown.Recovered[2].Used {
		t.Errorf("recovery slot %+v, %v", shown.Recovered, err)
	}
	_, err = b.Promote(t.Context(), ana, "shop", "web", "dev", shown.Recovered[0].ID)
	wantCode(t, err, core.Conflict, "does not continue")
	_, err = b.Promote(t.Context(), ana, "shop", "web", "dev", shown.Recovered[1].ID)
	wantCode(t, err, core.Conflict, "used already")
	_, err = b.Promote(t.Context(), ana, "shop", "web", "dev", 999)
	wantCode(t, err, core.NotFound, "no entry 999")
	// The state is put right by hand, still before the outcome is known.
	if _, err := b.Push(t.Context(), ana, "shop", "web", "dev", body("lin", 5, "a")); err != nil {
		t.Error(err)
	}
	deploying := b.runOf(core.KindDeploy, "r-2", core.RunPlanning)
	wantCode(t, b.Lock(t.Context(), deploying, "shop", "web", "dev", lockBody("x")), core.Conflict, "recover it first")
	b.move("r-2", core.RunErrored)
	recovering := b.runOf(core.KindRecover, "r-3", core.RunPlanning)
	b.lock(recovering, "recover")
	b.mustWrite(recovering, "recover", body("lin", 6, "a")) // what it found
	b.move("r-3", core.RunChecking)
	_, err = b.write(recovering, "recover", body("lin", 7, "a"))
	wantCode(t, err, core.Denied, "only while it applies")
	b.current(body("lin", 6, "a"))
}

func TestPush(t *testing.T) {
	b := newBench(t)
	first := body("lin", 1, "a")
	v, err := b.Push(t.Context(), ana, "shop", "web", "dev", first)
	if err != nil || v.Fence == 0 {
		t.Fatalf("%+v, %v", v, err)
	}
	if again, err := b.Push(t.Context(), ana, "shop", "web", "dev", first); err != nil || again.ID != v.ID {
		t.Errorf("pushed again: %+v, %v", again, err)
	}
	for _, c := range []struct {
		content []byte
		text    string
	}{{body("lin", 1), "other content"}, {body("lin", 0), "older"}, {body("other", 2), "lineage"}} {
		_, err := b.Push(t.Context(), ana, "shop", "web", "dev", c.content)
		wantCode(t, err, core.Conflict, c.text)
	}
	b.lock(ana, "l1")
	_, err = b.Push(t.Context(), ana, "shop", "web", "dev", body("lin", 2))
	wantCode(t, err, core.Conflict, "terrace state unlock web@dev")
	b.slot() // the person has the file
	b.current(first)
	b.unlock(ana, "l1")
	if _, err := b.Push(t.Context(), ana, "shop", "web", "dev", body("lin", 2)); err != nil {
		t.Error(err)
	}
}

func TestShow(t *testing.T) {
	b := newBench(t)
	empty, err := b.Show(t.Context(), "shop", "web", "dev")
	if err != nil || empty.Current != nil || empty.Lock != nil || empty.Instance != "web@dev" {
		t.Errorf("%+v, %v", empty, err)
	}
	b.lock(ana, "l1")
	content := []byte(`{"version":4,"serial":1,"lineage":"lin",
		"outputs":{"b":{"value":"hunter2","type":"string","sensitive":true},"a":{"value":[1,{"x":2}],"type":"any"},"n":{"value":null,"type":"string"}},
		"resources":[
		{"mode":"managed","type":"t","name":"plain","provider":"p","instances":[{"attributes":{"password":"hunter2"}}]},
		{"mode":"managed","type":"t","name":"tainted","provider":"p","instances":[{"status":"tainted"}]},
		{"mode":"managed","type":"t","name":"many","provider":"p","module":"module.m[\"x\"]","instances":[{"index_key":0},{"index_key":"k"},{"index_key":0,"deposed":"d1"}]},
		{"mode":"managed","type":"t","name":"none","provider":"p","instances":[]},
		{"mode":"data","type":"d","name":"looked","provider":"p","instances":[{}]}]}`)
	if v := b.mustWrite(ana, "l1", content); v.Resources != 5 {
		t.Errorf("%d resources, want 5", v.Resources)
	}
	shown, err := b.Show(t.Context(), "shop", "web", "dev")
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, r := range shown.Resources {
		a := r.Address
		if r.Tainted {
			a += " tainted"
		}
		addresses = append(addresses, a)
	}
	if diff := cmp.Diff([]string{"t.plain", "t.tainted tainted", `module.m["x"].t.many[0]`, `module.m["x"].t.many["k"]`, `module.m["x"].t.many[0] (deposed d1)`, "data.d.looked"}, addresses); diff != "" {
		t.Error(diff)
	}
	out, err := json.Marshal(shown)
	if err != nil || bytes.Contains(out, []byte("hunter2")) {
		t.Errorf("a secret is shown: %s, %v", out, err)
	}
	if want := `"outputs":[{"name":"a","value":[1,{"x":2}]},{"name":"b","sensitive":true,"value":null},{"name":"n","value":null}]`; !bytes.Contains(out, []byte(want)) {
		t.Errorf("shown %s, want %s", out, want)
	}
	if shown.Lock == nil || shown.Lock.ID != "l1" || shown.Current == nil || !shown.Current.Current {
		t.Errorf("shown %+v", shown)
	}
	if _, err := b.Show(t.Context(), "nowhere", "web", "dev"); core.CodeOf(err) != core.NotFound {
		t.Errorf("no project: %v", err)
	}
}

func TestDelete(t *testing.T) {
	b := newBench(t)
	if err := b.Delete(t.Context(), ana, "shop", "web", "dev"); err != nil { // nothing there
		t.Fatal(err)
	}
	b.lock(ana, "l1")
	b.mustWrite(ana, "l1", body("lin", 1, "a"))
	wantCode(t, b.Delete(t.Context(), ana, "shop", "web", "dev"), core.Conflict, "1 resources")
	b.mustWrite(ana, "l1", body("lin", 2))
	wantCode(t, b.Delete(t.Context(), ana, "shop", "web", "dev"), core.Conflict, "locked by")
	b.unlock(ana, "l1")
	for range 2 {
		if err := b.Delete(t.Context(), ana, "shop", "web", "dev"); err != nil {
			t.Fatal(err)
		}
	}
	b.current(nil)
	versions, err := b.Versions(t.Context(), "shop", "web", "dev", 0)
	if err != nil || len(versions) != 3 {
		t.Fatalf("versions %+v, %v", versions, err)
	}
	_, _, err = b.Pull(t.Context(), ana, "shop", "web", "dev", versions[0].ID)
	wantCode(t, err, core.NotFound, "was deleted")
	b.lock(ana, "l2")
	b.mustWrite(ana, "l2", body("another", 1, "a")) // the next one sets the lineage
	b.current(body("another", 1, "a"))
}

func TestRetention(t *testing.T) {
	b := newBench(t, WithRetention(1))
	b.update(func(tx core.Tx) error { // what was stored before retention was asked for
		for i := range 101 {
			v := core.StateVersion{Project: "shop", Stack: "web", Environment: "dev", Lineage: "lin", Serial: int64(i), Blob: fmt.Sprint("states/", i)}
			if err := b.blobs.Put(t.Context(), v.Blob, nil); err != nil {
				return err
			}
			if _, err := tx.AddStateVersion(v); err != nil {
				return err
			}
		}
		return nil
	})
	b.lock(ana, "l1")
	for i := 101; i < 104; i++ {
		b.mustWrite(ana, "l1", body("lin", int64(i), fmt.Sprint(i)))
	}
	versions, err := b.Versions(t.Context(), "shop", "web", "dev", 0)
	if err != nil || len(versions) != 100 || versions[99].Serial != 4 {
		t.Errorf("%d versions, %v", len(versions), err)
	}
	keys, err := b.blobs.List(t.Context())
	if err != nil || len(keys) != 100 {
		t.Errorf("%d blobs, %v", len(keys), err)
	}
}

// TestHangUp: the body is here in full; that the client is gone does not drop it.
func TestHangUp(t *testing.T) {
	b := newBench(t)
	b.lock(ana, "l1")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	content := body("lin", 1)
	if _, err := b.Write(ctx, ana, "shop", "web", "dev", "l1", "", content); err != nil {
		t.Fatal(err)
	}
	b.current(content)
}

// TestDamagedBlob: a state that cannot be opened is an error, never "no state".
func TestDamagedBlob(t *testing.T) {
	b := newBench(t)
	b.lock(ana, "l1")
	v := b.mustWrite(ana, "l1", body("lin", 1))
	second := b.mustWrite(ana, "l1", body("lin", 2))
	one, err := b.blobs.Get(t.Context(), v.Blob)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.blobs.Delete(t.Context(), second.Blob); err != nil {
		t.Fatal(err)
	}
	_, _, err = b.Get(t.Context(), ana, "shop", "web", "dev")
	wantCode(t, err, core.Internal, "missing")
	if err := b.blobs.Put(t.Context(), second.Blob, one); err != nil { // swapped for another
		t.Fatal(err)
	}
	_, _, err = b.Get(t.Context(), ana, "shop", "web", "dev")
	wantCode(t, err, core.Internal, "another place")
}

func FuzzParse(f *testing.F) {
	s := New(nil, nil, nil)
	f.Add(body("lin", 1, "a"))
	f.Add([]byte(`{"version":4,"serial":1e3,"lineage":"x","resources":[{"instances":[{"index_key":[]}]}]}`))
	f.Add([]byte(`{"version":4,"serial":9223372036854775808,"lineage":"x"}`))
	f.Add([]byte(`{"Version":4,"SERIAL":1,"lineage":"x","outputs":{"a":null}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		parsed, err := s.parse(b)
		if err != nil {
			if core.CodeOf(err) != core.Invalid {
				t.Errorf("%s error: %v", core.CodeOf(err), err)
			}
			return
		}
		if !json.Valid(b) || *parsed.Serial < 0 || parsed.Lineage == "" || parsed.size != int64(len(b)) || parsed.resources() < 0 {
			t.Errorf("accepted %q", b)
		}
		for _, r := range parsed.Resources {
			for _, i := range r.Instances {
				_ = r.address(i)
			}
		}
	})
}

func FuzzLockInfo(f *testing.F) {
	f.Add(lockBody("x"))
	f.Add([]byte(`{"id":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		info, err := readLockInfo(b)
		if err == nil && (info.ID == "" || !json.Valid(b)) || err != nil && core.CodeOf(err) != core.Invalid {
			t.Errorf("%q: %+v, %v", b, info, err)
		}
	})
}

// BenchmarkWrite is LOCK, POST and UNLOCK of a small state.
func BenchmarkWrite(b *testing.B) {
	dir := b.TempDir()
	db, err := store.Open(b.Context(), filepath.Join(dir, "terrace.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	blobs, err := blob.Open(filepath.Join(dir, "blobs"))
	if err != nil {
		b.Fatal(err)
	}
	ring, err := seal.Open(filepath.Join(dir, "master.key"))
	if err != nil {
		b.Fatal(err)
	}
	s := New(db, blobs, ring)
	if err := db.Update(b.Context(), func(tx core.Tx) error { return tx.AddProject(core.Project{Name: "shop"}) }); err != nil {
		b.Fatal(err)
	}
	serial := int64(0)
	for b.Loop() {
		serial++
		content := body("lin", serial, "a", "b", "c")
		if err := s.Lock(b.Context(), ana, "shop", "web", "dev", lockBody("l")); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Write(b.Context(), ana, "shop", "web", "dev", "l", sum(content), content); err != nil {
			b.Fatal(err)
		}
		if err := s.Unlock(b.Context(), ana, "shop", "web", "dev", lockBody("l")); err != nil {
			b.Fatal(err)
		}
	}
}
