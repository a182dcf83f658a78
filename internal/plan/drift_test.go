package plan_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/plan"
	"github.com/terrace-cd/terrace/internal/wire"
)

const drifted = `{"format_version":"1.2","resource_changes":[],"resource_drift":[
 {"address":"x_server.a[0]","mode":"managed","type":"x_server","change":{"actions":["update"],"before":{"size":"small","token":"hunter22","big":12345678901234567890},
  "after":{"size":"large","token":"hunter23","big":12345678901234567891},"before_sensitive":{"token":true},"after_sensitive":{"token":true}}},
 {"address":"x_db.d","mode":"managed","type":"x_db","change":{"actions":["delete"],"before":{"password":"sw0rdfish"},"after":null,"before_sensitive":{"password":true},"after_sensitive":false}},
 {"address":"x_new.n","previous_address":"x_old.n","mode":"managed","type":"x_new","change":{"actions":["no-op"],"before":{"k":"same-s3cret"},"after":{"k":"same-s3cret"},"after_sensitive":{"k":true}}}],
 "output_changes":{"url":{"actions":["update"],"before":"u1","after":"u2"},"key":{"actions":["update"],"before":"k1-s3cret","after":"k2-s3cret","before_sensitive":true,"after_sensitive":true},
  "same":{"actions":["no-op"],"before":"x","after":"x"}}}`

func TestDriftIsMasked(t *testing.T) {
	looked, sensitive, err := plan.Drift([]byte(drifted))
	if err != nil {
		t.Fatal(err)
	}
	want := wire.Drift{
		Resources: []wire.DriftedResource{
			{Address: "x_server.a[0]", Type: "x_server", What: "changed", Attrs: []wire.AttrChange{
				{Path: "big", Before: "12345678901234567890", After: "12345678901234567891"},
				{Path: "size", Before: `"small"`, After: `"large"`},
				{Path: "token", Before: plan.Masked, After: plan.Masked, Sensitive: true},
			}},
			{Address: "x_db.d", Type: "x_db", What: "gone", Attrs: []wire.AttrChange{}},
		},
		Outputs: []wire.AttrChange{{Path: "key", Before: plan.Masked, After: plan.Masked, Sensitive: true}, {Path: "url", Before: `"u1"`, After: `"u2"`}},
	}
	if diff := cmp.Diff(want, looked.Drift); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"hunter22", "hunter23", "k1-s3cret", "k2-s3cret", "same-s3cret", "sw0rdfish"}, sensitive); diff != "" {
		t.Error("sensitive texts:", diff)
	}
	shown, err := json.Marshal(looked.Drift)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sensitive {
		if strings.Contains(string(shown), s) {
			t.Errorf("%q is shown: %s", s, shown)
		}
	}
	values := []wire.DriftValue{
		{Path: "big", Before: json.RawMessage("12345678901234567890"), After: json.RawMessage("12345678901234567891")},
		{Path: "size", Before: json.RawMessage(`"small"`), After: json.RawMessage(`"large"`)},
		{Path: "token", Before: json.RawMessage(`"hunter22"`), After: json.RawMessage(`"hunter23"`)},
	}
	if diff := cmp.Diff(values, looked.Values["x_server.a[0]"]); diff != "" {
		t.Error(diff)
	}
	if looked, _, err := plan.Drift([]byte(`{"format_version":"1.2"}`)); err != nil || looked.Drift.Resources == nil || len(looked.Values) != 0 {
		t.Errorf("nothing drifted: %+v %v", looked, err)
	}
	for _, bad := range []string{"", "[]", `{"format_version":"2.0"}`, `{"resource_drift":7}`} {
		if _, _, err := plan.Drift([]byte(bad)); core.CodeOf(err) != core.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzDrift(f *testing.F) {
	f.Add([]byte(drifted))
	f.Add([]byte(shop))
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _, _ = plan.Drift(data) // must return
	})
}
