package state

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

var ann = Caller{By: "user:ann", Person: true, CanWrite: true}

func (b *bench) pushed(text string) core.StateVersion {
	b.Helper()
	v, err := b.Push(b.Context(), ann, "shop", "web", "dev", []byte(text))
	if err != nil {
		b.Fatal(err)
	}
	return v
}

const (
	before = `{"version":4,"serial":1,"lineage":"l","outputs":{"url":{"value":"https://a"},"key":{"value":"sssh-the-old-one","sensitive":true}},"resources":[
		{"mode":"managed","type":"t","name":"a","instances":[{"index_key":0,"attributes":{"size":1,"tags":{"x":"1"},"password":"p1","login":"user:sssh-the-old-one","hidden":{"in":"one"},"big":12345678901234567890},
			"sensitive_attributes":[[{"type":"get_attr","value":"hidden"}]]}]},
		{"mode":"managed","type":"t","name":"gone","instances":[{"attributes":{}}]},
		{"module":"module.m","mode":"managed","type":"t","name":"worn","instances":[{"attributes":{}}]}]}`
	after = `{"version":4,"serial":2,"lineage":"l","outputs":{"url":{"value":"https://b"},"key":{"value":"sssh-the-new-one","sensitive":true},"new":{"value":[1]}},"resources":[
		{"mode":"managed","type":"t","name":"a","instances":[{"index_key":0,"attributes":{"size":2,"tags":{"y":"2"},"password":"p2","login":"user:sssh-the-new-one","hidden":{"in":"two"},"big":12345678901234567891},
			"sensitive_attributes":[[{"type":"get_attr","value":"hidden"}]]}]},
		{"mode":"managed","type":"t","name":"came","instances":[{"attributes":{}}]},
		{"module":"module.m","mode":"managed","type":"t","name":"worn","instances":[{"status":"tainted","attributes":{}}]}]}`
)

// TestDiff: what differs is told by resource and attribute; what is sensitive is not, also
// where a value of it is in something else.
func TestDiff(t *testing.T) {
	b := newBench(t)
	b.pushed(before)
	b.pushed(after)
	d, err := b.Diff(t.Context(), "shop", "web", "dev", 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	want := []wire.StateChange{
		{Address: "module.m.t.worn", Action: "tainted"},
		{Address: "t.a[0]", Action: "changed", Attributes: []wire.StateAttribute{
			{Path: "big", Before: raw("12345678901234567890"), After: raw("12345678901234567891")},
			{Path: "hidden.in", Sensitive: true},
			{Path: "login", Sensitive: true},
			{Path: "password", Sensitive: true},
			{Path: "size", Before: raw("1"), After: raw("2")},
			{Path: "tags.x", Before: raw(`"1"`)},
			{Path: "tags.y", After: raw(`"2"`)},
		}},
		{Address: "t.came", Action: "added"},
		{Address: "t.gone", Action: "removed"},
	}
	if diff := cmp.Diff(want, d.Resources); diff != "" {
		t.Error(diff)
	}
	outputs := []wire.StateAttribute{{Path: "key", Sensitive: true}, {Path: "new", After: raw("[1]")}, {Path: "url", Before: raw(`"https://a"`), After: raw(`"https://b"`)}}
	if diff := cmp.Diff(outputs, d.Outputs); diff != "" {
		t.Error(diff)
	}
	if text, err := json.Marshal(d); err != nil || strings.Contains(string(text), "sssh") || strings.Contains(string(text), "two") {
		t.Errorf("a secret is told: %s, %v", text, err)
	}
	if d, err := b.Diff(t.Context(), "shop", "web", "dev", d.To.ID, d.To.ID); err != nil || len(d.Resources)+len(d.Outputs) != 0 {
		t.Errorf("one version with itself: %+v, %v", d, err)
	}
	if d, err := b.Diff(t.Context(), "shop", "web", "dev", 0, d.From.ID); err != nil || d.From != nil || len(d.Resources) != 3 {
		t.Errorf("the first version: %+v, %v", d, err)
	}
	if _, err := b.Diff(t.Context(), "shop", "web", "dev", 77, 0); core.CodeOf(err) != core.NotFound {
		t.Errorf("a version that is not there: %v", err)
	}
	if _, err := b.Diff(t.Context(), "shop", "none", "dev", 0, 0); core.CodeOf(err) != core.NotFound {
		t.Errorf("an instance without a state: %v", err)
	}
}

// TestRestore: an older version, byte for byte but for its serial, which continues.
func TestRestore(t *testing.T) {
	b := newBench(t)
	old, now := b.pushed(before), b.pushed(after)
	if _, err := b.Restore(t.Context(), ann, "shop", "web", "dev", now.ID, ""); core.CodeOf(err) != core.Conflict {
		t.Errorf("the current one: %v", err)
	}
	if _, err := b.Restore(t.Context(), Caller{Run: "r", CanWrite: true}, "shop", "web", "dev", old.ID, ""); core.CodeOf(err) != core.Denied {
		t.Errorf("by a run: %v", err)
	}
	v, err := b.Restore(t.Context(), ann, "shop", "web", "dev", old.ID, "why")
	if err != nil || v.Serial != 3 {
		t.Fatalf("%+v, %v", v, err)
	}
	content, _, err := b.Pull(t.Context(), ann, "shop", "web", "dev", 0)
	if want := strings.Replace(before, `"serial":1`, `"serial":3`, 1); err != nil || string(content) != want {
		t.Errorf("it is\n%s\nwant\n%s\n%v", content, want, err)
	}
	// The current version is lost: that is what it is for.
	if err := b.blobs.Delete(t.Context(), v.Blob); err != nil {
		t.Fatal(err)
	}
	if v, err := b.Restore(t.Context(), ann, "shop", "web", "dev", now.ID, ""); err != nil || v.Serial != 4 {
		t.Errorf("%+v, %v", v, err)
	}
	if err := b.Lock(t.Context(), ann, "shop", "web", "dev", []byte(`{"ID":"l"}`)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Restore(t.Context(), ann, "shop", "web", "dev", old.ID, ""); core.CodeOf(err) != core.Conflict {
		t.Errorf("under a lock: %v", err)
	}
	for _, text := range []string{` { "outputs":{"serial":{"value":7}}, "serial" :  5 ,"lineage":"l","version":4}`, `{"serial":0,"version":4,"lineage":"l"}`} {
		got, err := withSerial([]byte(text), 12)
		if want := strings.NewReplacer(`"serial" :  5`, `"serial" :  12`, `"serial":0`, `"serial":12`).Replace(text); err != nil || string(got) != want {
			t.Errorf("%s became %s, %v", text, got, err)
		}
	}
}

// TestImport: for an instance that has no state, or an empty one, and no other.
func TestImport(t *testing.T) {
	b := newBench(t)
	bring := func(text string) error {
		_, err := b.Import(t.Context(), ann, "shop", "web", "dev", "s3", []byte(text))
		return err
	}
	if err := bring(`{"version":3}`); core.CodeOf(err) != core.Invalid {
		t.Errorf("an old format: %v", err)
	}
	b.pushed(`{"version":4,"serial":40,"lineage":"empty","outputs":{},"resources":[]}`)
	for range 2 { // the answer to the first may be lost
		if err := bring(before); err != nil {
			t.Fatal(err)
		}
	}
	if err := bring(after); core.CodeOf(err) != core.Conflict || !strings.Contains(err.Error(), "has a state already") {
		t.Errorf("over a state in use: %v", err)
	}
	b.pushed(after) // it goes on from there
}

// TestDiscard: what is discarded stays in the slot and is not offered any more.
func TestDiscard(t *testing.T) {
	b := newBench(t)
	b.pushed(before)
	if err := b.Keep(t.Context(), ann, "shop", "web", "dev", "a test", []byte(after)); err != nil {
		t.Fatal(err)
	}
	all, err := b.RecoveredList(t.Context(), "shop", "web", "dev")
	if err != nil || len(all) != 1 || all[0].Used {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := b.Discard(t.Context(), ann, "shop", "web", "dev", all[0].ID+1, ""); core.CodeOf(err) != core.NotFound {
		t.Errorf("an entry that is not there: %v", err)
	}
	for range 2 {
		if err := b.Discard(t.Context(), ann, "shop", "web", "dev", all[0].ID, "not needed"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Promote(t.Context(), ann, "shop", "web", "dev", all[0].ID); core.CodeOf(err) != core.Conflict {
		t.Errorf("used after it was discarded: %v", err)
	}
	if all, err := b.RecoveredList(t.Context(), "shop", "web", "dev"); err != nil || len(all) != 1 || fmt.Sprint(all[0].Used) != "true" {
		t.Errorf("%+v, %v", all, err)
	}
}
