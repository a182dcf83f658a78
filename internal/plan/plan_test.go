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

const shop = `{"format_version":"1.2","resource_changes":[
 {"address":"x_server.a[0]","mode":"managed","type":"x_server","action_reason":"replace_because_cannot_update","change":{"actions":["create","delete"],
  "before":{"image":"v1","id":"1","tags":{"a b":"1"},"token":"hunter22"},"after":{"image":"v2","tags":{"a b":"2"},"token":"hunter23"},
  "after_unknown":{"id":true},"before_sensitive":{"token":true},"after_sensitive":{"token":true},"replace_paths":[["image"]]}},
 {"address":"x_db.d","mode":"managed","type":"x_db","change":{"actions":["no-op"],"before":{"password":"sw0rdfish"},"after":{"password":"sw0rdfish"},"after_sensitive":{"password":true}}},
 {"address":"x_lb.l","mode":"managed","type":"x_lb","change":{"actions":["update"],"before":{"servers":["a","b"],"big":12345678901234567890},"after":{"servers":["a","c","d"],"big":12345678901234567890},"after_unknown":{}}},
 {"address":"data.x_ami.i","mode":"data","type":"x_ami","change":{"actions":["read"],"before":null,"after":{"name":"n"},"after_unknown":{"id":true}}},
 {"address":"x_new.n","previous_address":"x_old.n","mode":"managed","type":"x_new","change":{"actions":["no-op"],"before":{"v":1},"after":{"v":1}}}],
 "output_changes":{"url":{"actions":["update"],"before":"u1","after":"u2","after_unknown":false,"before_sensitive":false,"after_sensitive":false},
  "key":{"actions":["create"],"before":null,"after":"s3cret-key","after_unknown":false,"before_sensitive":true,"after_sensitive":true}}}`

func TestParse(t *testing.T) {
	got, err := plan.Parse([]byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	want := wire.Plan{
		Changes: wire.Changes{Update: 1, Replace: 1},
		Resources: []wire.ResourceChange{
			{Address: "x_server.a[0]", Type: "x_server", Action: "replace", Order: "create_first", Reason: "replace_because_cannot_update", Attrs: []wire.AttrChange{
				{Path: "id", Before: `"1"`, Unknown: true},
				{Path: "image", Before: `"v1"`, After: `"v2"`, Forces: true},
				{Path: `tags["a b"]`, Before: `"1"`, After: `"2"`},
				{Path: "token", Before: plan.Masked, After: plan.Masked, Sensitive: true},
			}},
			{Address: "x_lb.l", Type: "x_lb", Action: "update", Attrs: []wire.AttrChange{
				{Path: "servers[1]", Before: `"b"`, After: `"c"`}, {Path: "servers[2]", After: `"d"`},
			}},
			{Address: "data.x_ami.i", Type: "x_ami", Action: "read", Attrs: []wire.AttrChange{{Path: "id", Unknown: true}, {Path: "name", After: `"n"`}}},
			{Address: "x_new.n", Type: "x_new", Action: "move", Reason: "was x_old.n", Previous: "x_old.n", Attrs: []wire.AttrChange{}},
		},
		Outputs: []wire.AttrChange{{Path: "key", After: plan.Masked, Sensitive: true}, {Path: "url", Before: `"u1"`, After: `"u2"`}},
	}
	if diff := cmp.Diff(want, got.Plan); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"hunter22", "hunter23", "s3cret-key", "sw0rdfish"}, got.Sensitive); diff != "" {
		t.Error("sensitive texts:", diff)
	}
	if got.NoChanges || got.Drift {
		t.Errorf("a plan that replaces a server, of a state that is true, has NoChanges %v and Drift %v", got.NoChanges, got.Drift)
	}
	shown, err := json.Marshal(got.Plan)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range got.Sensitive {
		if strings.Contains(string(shown), secret) {
			t.Errorf("%s is shown", secret)
		}
	}
}

func TestDigestSeesWhatAPlanDoesAndNothingElse(t *testing.T) {
	digest := func(s string) string {
		p, err := plan.Parse([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return p.Digest
	}
	same := strings.Replace(shop, `"format_version":"1.2"`, `"timestamp":"2026-01-01T00:00:00Z","format_version":"1.2"`, 1)
	if digest(shop) != digest(same) {
		t.Error("the time of planning changes the digest")
	}
	for old, replacement := range map[string]string{`"image":"v2"`: `"image":"v3"`, `"hunter23"`: `"hunter24"`, `["update"],"before":{"servers"`: `["delete"],"before":{"servers"`, `"after":"u2"`: `"after":"u3"`} {
		if digest(shop) == digest(strings.Replace(shop, old, replacement, 1)) {
			t.Errorf("%s for %s does not change the digest", replacement, old)
		}
	}
}

func TestNothingToDo(t *testing.T) {
	p, err := plan.Parse([]byte(`{"format_version":"1.2","resource_changes":[{"address":"a.b","mode":"managed","change":{"actions":["no-op"],"before":{},"after":{}}},
	 {"address":"data.a.b","mode":"data","change":{"actions":["read"],"after":{}}}],"output_changes":{"o":{"actions":["no-op"]}}}`))
	if err != nil || !p.NoChanges || p.Plan.Changes != (wire.Changes{}) {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestDrift(t *testing.T) {
	p, err := plan.Parse([]byte(`{"format_version":"1.2","resource_drift":[{"address":"a.b","mode":"managed","change":{"actions":["update"],"before":{"v":1},"after":{"v":2}}}]}`))
	if err != nil || !p.Drift || !p.NoChanges {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestBadPlans(t *testing.T) {
	for _, bad := range []string{"", "{", "[]", `{"format_version":"2.0"}`, `{"format_version":1}`, shop[:len(shop)/2], `{"format_version":"1.0","resource_changes":{}}`} {
		if _, err := plan.Parse([]byte(bad)); core.CodeOf(err) != core.Invalid {
			t.Errorf("%.40q: %v", bad, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(shop))
	f.Add([]byte(`{"format_version":"1.0","resource_changes":[{"change":{"actions":["create","delete"],"after_unknown":[true],"replace_paths":[[1,null,{}]]}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := plan.Parse(data)
		if err != nil && core.CodeOf(err) != core.Invalid {
			t.Fatalf("a code of its own: %v", err)
		}
		if err == nil && p.Digest == "" {
			t.Fatal("no digest")
		}
	})
}
