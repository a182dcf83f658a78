package state

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// seen is what a runner reports of a state file in the stack's own backend.
func seen(b *bench, state []byte) wire.OwnState {
	b.Helper()
	f, err := b.parse(state)
	if err != nil {
		b.Fatal(err)
	}
	var with struct{ Outputs json.RawMessage }
	if err := json.Unmarshal(state, &with); err != nil {
		b.Fatal(err)
	}
	return wire.OwnState{Backend: "s3", Lineage: f.Lineage, Serial: *f.Serial, Resources: f.resources(), Digest: core.ResourcesDigest(state), Outputs: with.Outputs}
}

func (b *bench) see(id string, o wire.OwnState) {
	b.Helper()
	b.update(func(tx core.Tx) error {
		run, err := tx.Run(id)
		if err != nil {
			return err
		}
		return b.See(tx, run, o)
	})
}

func (b *bench) strange(id string, o wire.OwnState) (why string) {
	b.Helper()
	b.update(func(tx core.Tx) error {
		run, err := tx.Run(id)
		if err != nil {
			return err
		}
		why, err = b.Strange(b.Context(), tx, run, o)
		return err
	})
	return why
}

var nothing = wire.OwnState{Backend: "s3"}

// TestStrange: what a run may plan from in the stack's own backend, and what not.
func TestStrange(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("r-1", core.RunChecking)
	two := seen(b, body("mine", 5, "a", "b"))
	moved := two
	moved.Lineage, moved.Serial = "new", 1
	check := func(what string, o wire.OwnState, words ...string) {
		t.Helper()
		why := b.strange("r-1", o)
		if (why == "") != (len(words) == 0) {
			t.Errorf("%s: %q", what, why)
		}
		for _, word := range words {
			if !strings.Contains(why, word) {
				t.Errorf("%s: %q is not in %q", what, word, why)
			}
		}
	}
	check("nothing anywhere", nothing)
	check("a state, the first time", two)

	if _, err := b.Push(t.Context(), ana, "shop", "web", "dev", body("mine", 5, "a", "b")); err != nil {
		t.Fatal(err)
	}
	check("nothing there, all in Terrace", nothing, "web@dev is in Terrace", "no state", "terrace state pull web@dev", "a second time")
	check("something else there", seen(b, body("other", 9, "a")), "another state")
	check("the same there", two)
	check("a later one", seen(b, body("mine", 6, "a")))
	check("an older one", seen(b, body("mine", 4, "a")), "an older state (serial 4)")
	check("moved, with a new lineage", moved)

	b.see("r-1", two)
	check("the same again", two)
	check("a later one", seen(b, body("mine", 7)))
	check("gone back", seen(b, body("mine", 3, "a")), "went back", "terrace state forget web@dev")
	check("gone", nothing, "is not where it was", "no state", "r-1", "2 resources")
	check("another", seen(b, body("other", 9, "a")), "another state")
	check("moved, with a new lineage", moved)

	if err := b.Forget(t.Context(), ana, "shop", "web", "dev", "why not"); core.CodeOf(err) != core.Conflict {
		t.Errorf("forgetting while a run is under way: %v", err)
	}
	b.move("r-1", core.RunFailed)
	if err := b.Forget(t.Context(), Caller{Run: "r-1"}, "shop", "web", "dev", ""); core.CodeOf(err) != core.Denied {
		t.Errorf("a run that forgets: %v", err)
	}
	if err := b.Forget(t.Context(), ana, "shop", "web", "dev", "why not"); err != nil {
		t.Fatal(err)
	}
	check("another, after it was forgotten", seen(b, body("other", 9, "a")))
	if err := b.Forget(t.Context(), ana, "shop", "web", "dev", ""); core.CodeOf(err) != core.NotFound {
		t.Errorf("forgetting twice: %v", err)
	}
	// What was destroyed may go.
	b.see("r-1", seen(b, body("mine", 20)))
	check("gone, after everything was destroyed", nothing)
}

// TestTakeOver: the built-in state takes over only as the continuation of the other.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.run("r-1", core.RunChecking)
	take := func() (err error) {
		b.update(func(tx core.Tx) error {
			run, runErr := tx.Run("r-1")
			err = TakeOver(tx, run, "")
			return runErr
		})
		return err
	}
	if err := take(); err != nil {
		t.Fatalf("with nothing anywhere: %v", err)
	}
	if _, err := b.Push(t.Context(), ana, "shop", "web", "dev", body("before", 2, "a")); err != nil {
		t.Fatal(err)
	}
	own := seen(b, body("mine", 5, "a", "b"))
	b.see("r-1", own)

	t.Run("people are told where it is", func(t *testing.T) {
		_, _, pull := b.Pull(t.Context(), ana, "shop", "web", "dev", 0)
		_, _, get := b.Get(t.Context(), ana, "shop", "web", "dev")
		_, show := b.Show(t.Context(), "shop", "web", "dev")
		for what, err := range map[string]error{"pull": pull, "get": get, "show": show, "unlock": b.ForceUnlock(t.Context(), ana, "shop", "web", "dev", ""),
			"lock": b.Lock(t.Context(), ana, "shop", "web", "dev", lockBody("x"))} {
			if core.CodeOf(err) != core.Conflict || !strings.Contains(err.Error(), "own backend (s3)") {
				t.Errorf("%s: %v", what, err)
			}
		}
		// What was before is history, and can be looked at.
		old, err := b.Versions(t.Context(), "shop", "web", "dev", 0)
		if err != nil || len(old) != 1 {
			t.Fatalf("%+v %v", old, err)
		}
		if _, _, err := b.Pull(t.Context(), ana, "shop", "web", "dev", old[0].ID); err != nil {
			t.Error(err)
		}
		if all, err := b.List(t.Context(), "shop"); err != nil || len(all) != 0 {
			t.Errorf("%+v %v", all, err)
		}
	})

	t.Run("not with another or an older state", func(t *testing.T) {
		err := take()
		if core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "terrace state import web@dev") || !strings.Contains(err.Error(), "a second time") {
			t.Errorf("%v", err)
		}
		for what, file := range map[string][]byte{"another": body("other", 9, "a"), "an older one": body("mine", 4, "a"), "the one from before": body("before", 3, "a")} {
			if _, err := b.Push(t.Context(), ana, "shop", "web", "dev", file); core.CodeOf(err) != core.Conflict {
				t.Errorf("pushing %s: %v", what, err)
			}
		}
	})

	t.Run("with its continuation", func(t *testing.T) {
		if _, err := b.Push(t.Context(), ana, "shop", "web", "dev", body("mine", 5, "a", "b")); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Show(t.Context(), "shop", "web", "dev"); err != nil {
			t.Errorf("what is about to take over cannot be seen: %v", err)
		}
		b.see("r-1", seen(b, body("mine", 6, "a", "b"))) // the other one goes on
		if err := take(); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "an older one") {
			t.Errorf("%v", err)
		}
		if _, err := b.Push(t.Context(), ana, "shop", "web", "dev", body("mine", 6, "a", "b")); err != nil {
			t.Fatal(err)
		}
		if err := take(); err != nil {
			t.Fatal(err)
		}
		b.update(func(tx core.Tx) error {
			if _, err := tx.OwnState("shop", "web", "dev"); core.CodeOf(err) != core.NotFound {
				t.Errorf("it is still known: %v", err)
			}
			return nil
		})
		if content, _, err := b.Get(t.Context(), c, "shop", "web", "dev"); err != nil || !bytes.Equal(content, body("mine", 6, "a", "b")) {
			t.Errorf("the run reads %s %v", content, err)
		}
	})
}

// TestOwnOutputs: outputs are sealed, keep their flags, and belong to the run that saw them.
func TestOwnOutputs(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.run("r-1", core.RunChecking)
	outputs := func() (file []byte, ok bool) {
		t.Helper()
		b.update(func(tx core.Tx) (err error) {
			file, ok, err = OwnOutputs(tx, b.ring, "shop", "web", "dev")
			return err
		})
		return file, ok
	}
	if _, ok := outputs(); ok {
		t.Error("there are outputs before anything was seen")
	}
	b.see("r-1", nothing)
	if file, ok := outputs(); !ok || file != nil {
		t.Errorf("of an empty backend: %s %v", file, ok)
	}
	o := seen(b, body("mine", 1, "a"))
	o.Outputs = json.RawMessage(`{"password":{"value":"hunter2","type":"string","sensitive":true}}`)
	b.see("r-1", o)
	if file, _ := outputs(); string(file) != `{"version":4,"outputs":{"password":{"value":"hunter2","type":"string","sensitive":true}}}` {
		t.Errorf("%s", file)
	}
	b.update(func(tx core.Tx) error {
		sealed, err := tx.RunDoc("r-1", OutputsDoc)
		if err == nil && bytes.Contains(sealed, []byte("hunter2")) {
			t.Error("the outputs are not sealed")
		}
		return err
	})
	if n := 0; !t.Failed() {
		b.update(func(tx core.Tx) (err error) { n, err = Resources(tx, "shop", "web", "dev"); return err })
		if n != 1 {
			t.Errorf("%d resources", n)
		}
	}
	o.Instances = json.RawMessage(`[{"mode":"managed","type":"server","name":"a","instances":[]}]`)
	b.see("r-1", o)
	if file, _ := outputs(); !strings.HasSuffix(string(file), `,"resources":[{"mode":"managed","type":"server","name":"a","instances":[]}]}`) {
		t.Errorf("with resources: %s", file)
	}
	o.Outputs = json.RawMessage(`{`)
	if err := b.db.Update(t.Context(), func(tx core.Tx) error {
		run, err := tx.Run("r-1")
		if err != nil {
			return err
		}
		return b.See(tx, run, o)
	}); core.CodeOf(err) != core.Invalid {
		t.Errorf("outputs that are no JSON: %v", err)
	}
}

// TestKeepForTheStacksOwnBackend: what could not be stored there waits in the slot, also
// when it never got a lineage, and nothing here makes it current.
func TestKeepForTheStacksOwnBackend(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := b.run("r-1", core.RunApplying)
	if err := b.Keep(t.Context(), c, "shop", "web", "dev", "no backend", body("", 0, "a")); core.CodeOf(err) != core.Invalid {
		t.Errorf("without a lineage, for the built-in backend: %v", err)
	}
	b.see("r-1", nothing)
	for range 2 { // said again after a lost reply
		if err := b.Keep(t.Context(), c, "shop", "web", "dev", "no backend", body("", 0, "a")); err != nil {
			t.Fatal(err)
		}
	}
	b.move("r-1", core.RunUnknown)
	lost := core.Run{ID: "r-1", Project: "shop", Stack: "web", Environment: "dev"}
	if err := b.Recover(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	slot, err := b.Recovered(t.Context(), "shop", "web", "dev")
	if err != nil || len(slot) != 1 || slot[0].Used || slot[0].Run != "r-1" {
		t.Fatalf("%+v %v", slot, err)
	}
	if content, err := b.PullRecovered(t.Context(), ana, "shop", "web", "dev", slot[0].ID); err != nil || !bytes.Equal(content, body("", 0, "a")) {
		t.Errorf("%s %v", content, err)
	}
	if _, err := b.PullRecovered(t.Context(), c, "shop", "web", "dev", slot[0].ID); core.CodeOf(err) != core.Denied {
		t.Errorf("a run pulls an entry: %v", err)
	}
	if _, err := b.PullRecovered(t.Context(), ana, "shop", "web", "dev", 99); core.CodeOf(err) != core.NotFound {
		t.Errorf("an entry that is not there: %v", err)
	}
	_, err = b.Show(t.Context(), "shop", "web", "dev")
	if !strings.Contains(core.MessageOf(err), "terrace state recovered web@dev") {
		t.Errorf("show: %v", err)
	}
	stored := seen(b, body("mine", 1, "a"))
	stored.Recovered = slot[0].ID
	b.see("r-1", stored)
	if slot, err = b.Recovered(t.Context(), "shop", "web", "dev"); err != nil || !slot[0].Used {
		t.Errorf("%+v %v", slot, err)
	}
}
