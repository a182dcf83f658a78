package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func key(b byte) []byte { return bytes.Repeat([]byte{b}, KeySize) }

func newQueue(t *testing.T, dir string) *Queue {
	t.Helper()
	q, err := OpenQueue(dir, key(1), []byte("wrapped"))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// What was pushed is there in its order for whoever opens the folder with the key.
func TestAQueueIsReadBySomebodyElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q := newQueue(t, dir)
	for _, e := range []Entry{{Method: "POST", Lock: "l-1", MD5: "m1", Body: []byte("one")}, {Method: "POST", Lock: "l-1", MD5: "m2", Body: []byte("two\nlines")}, {Method: "UNLOCK", Body: []byte(`{"ID":"l-1"}`)}} {
		if err := q.Push(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Keep(Finish, []byte(`{"status":"succeeded"}`)); err != nil {
		t.Fatal(err)
	}
	left, err := Read(dir)
	if err != nil || left.States != 3 || string(left.Wrapped) != "wrapped" {
		t.Fatalf("left %+v, %v", left, err)
	}
	other, err := left.Queue(key(1))
	if err != nil {
		t.Fatal(err)
	}
	if state, ok, err := other.State(); err != nil || !ok || string(state) != "two\nlines" {
		t.Errorf("the newest state is %q, %t, %v", state, ok, err)
	}
	if report, err := other.Kept(Finish); err != nil || string(report) != `{"status":"succeeded"}` {
		t.Errorf("kept %q, %v", report, err)
	}
	if report, err := other.Kept(Applied); err != nil || report != nil {
		t.Errorf("kept %q, %v of what never was", report, err)
	}
	want := []Entry{{Method: "POST", Lock: "l-1", MD5: "m1", Body: []byte("one")}, {Method: "POST", Lock: "l-1", MD5: "m2", Body: []byte("two\nlines")}, {Method: "UNLOCK", Body: []byte(`{"ID":"l-1"}`)}}
	for i, w := range want {
		e, ok, err := other.First()
		if err != nil || !ok || e.Method != w.Method || e.Lock != w.Lock || e.MD5 != w.MD5 || !bytes.Equal(e.Body, w.Body) {
			t.Fatalf("entry %d is %+v, %t, %v", i, e, ok, err)
		}
		if err := other.Drop(); err != nil {
			t.Fatal(err)
		}
	}
	if _, ok, err := other.First(); ok || err != nil {
		t.Errorf("there is more: %v", err)
	}
	// Numbers are not used again while there is anything that they could be mixed up with.
	if err := q.Push(Entry{Method: "POST", Body: []byte("three")}); err != nil {
		t.Fatal(err)
	}
	if names, err := entries(q.dir); err != nil || len(names) != 1 || names[0] != "00000004.write" {
		t.Errorf("the entries are %q, %v", names, err)
	}
}

// Nothing of what is spooled can be read, changed or moved without the key.
func TestWhatIsSpooledIsSealed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q := newQueue(t, dir)
	if err := q.Push(Entry{Method: "POST", Lock: "l", Body: []byte("the secret state")}); err != nil {
		t.Fatal(err)
	}
	if err := q.Keep(Finish, []byte("the secret output")); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(q.dir, "00000001.write")
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(filepath.Join(q.dir, Finish))
	if err != nil || bytes.Contains(append(kept, whole...), []byte("secret")) {
		t.Errorf("it is there in clear: %q %q %v", whole, kept, err)
	}
	wants := func(what string, content []byte) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if e, ok, err := newQueue(t, dir).First(); err == nil {
			t.Errorf("%s: it opens as %+v, %t", what, e, ok)
		}
	}
	for i := range whole {
		flipped := bytes.Clone(whole)
		flipped[i] ^= 1
		wants("a bit is flipped", flipped)
	}
	for _, n := range []int{0, 1, len(whole) / 2, len(whole) - 1} {
		wants("it is cut off", whole[:n])
	}
	wants("another file in its place", kept)
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if other, err := readQueue(dir, key(2)); err != nil {
		t.Error(err)
	} else if _, _, err := other.First(); err == nil {
		t.Error("it opens with another key")
	}
	if err := os.Rename(file, filepath.Join(q.dir, "00000002.write")); err != nil {
		t.Fatal(err)
	}
	if _, _, err := newQueue(t, dir).First(); err == nil {
		t.Error("it opens under another number")
	}
	if _, err := readQueue(dir, key(1)[1:]); err == nil {
		t.Error("a short key is accepted")
	}
}

// A write that does not reach the disk is not accepted, and leaves nothing behind.
func TestAFullDiskLeavesNothingHalfWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	q := newQueue(t, dir)
	if err := q.Push(Entry{Method: "POST", Body: []byte("one")}); err != nil {
		t.Fatal(err)
	}
	folder := q.dir
	q.dir = filepath.Join(dir, "gone") // no file can be made there
	if err := q.Push(Entry{Method: "POST", Body: []byte("two")}); err == nil {
		t.Error("it was accepted")
	}
	q.dir = folder
	if err := q.Push(Entry{Method: "POST", Body: []byte("three")}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"one", "three"} {
		if e, ok, err := q.First(); err != nil || !ok || string(e.Body) != want {
			t.Errorf("%+v, %t, %v; want %s", e, ok, err, want)
		}
		if err := q.Drop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAStateInAWorkTreeIsRescued(t *testing.T) {
	t.Parallel()
	dir, tree := t.TempDir(), t.TempDir()
	file := filepath.Join(tree, "errored.tfstate")
	if err := Rescue(dir); err != nil { // it never applied
		t.Error(err)
	}
	if err := NoteUnsaved(dir, file); err != nil {
		t.Fatal(err)
	}
	if err := Rescue(dir); err != nil { // there is no such state
		t.Error(err)
	}
	if err := os.WriteFile(file, []byte("the state"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it may be repeated
		if err := Rescue(dir); err != nil {
			t.Fatal(err)
		}
		if left, err := Read(dir); err != nil || string(left.Unsaved) != "the state" {
			t.Fatalf("left %+v, %v", left, err)
		}
	}
	left, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := left.DropUnsaved(); err != nil {
		t.Fatal(err)
	}
	if left, err := Read(dir); err != nil || left.Unsaved != nil {
		t.Errorf("left %+v, %v", left, err)
	}
	if left, err := Read(filepath.Join(dir, "gone")); err != nil || left.States != 0 || left.Log.End() != 0 {
		t.Errorf("a folder that is gone left %+v, %v", left, err)
	}
}
