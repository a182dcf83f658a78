package plan_test

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/plan"
	"github.com/terrace-cd/terrace/internal/wire"
)

const fleet = `{"format_version":"1.2","resource_changes":[
 {"address":"module.m[\"x\"].server.a[0]","module_address":"module.m[\"x\"]","mode":"managed","type":"server","name":"a","index":0,"change":{"actions":["no-op"],
  "after":{"id":"i-1","tags":{}},"after_unknown":{},"after_sensitive":{"tags":{}}}},
 {"address":"server.b","mode":"managed","type":"server","name":"b","change":{"actions":["delete","create"],"after":{"ip":"10.0.0.2"},"after_unknown":{"id":true},"after_sensitive":{"token":true}}},
 {"address":"server.c","mode":"managed","type":"server","name":"c","change":{"actions":["delete"],"after":null,"after_unknown":{},"after_sensitive":false}},
 {"address":"server.b","deposed":"abcd","mode":"managed","type":"server","name":"b","change":{"actions":["delete"],"after":null}},
 {"address":"server.new","previous_address":"server.old","mode":"managed","type":"server","name":"new","change":{"actions":["no-op"],"after":{"id":"i-5"}}},
 {"address":"data.server.d","mode":"data","type":"server","name":"d","change":{"actions":["read"],"after":{}}},
 {"address":"disk.e","mode":"managed","type":"disk","name":"e","change":{"actions":["create"],"after":{}}}],
 "prior_state":{"values":{"root_module":{"resources":[
   {"address":"server.c","mode":"managed","type":"server","name":"c","values":{"id":"i-3"}},
   {"address":"server.old","mode":"managed","type":"server","name":"old","values":{"id":"i-5"}},
   {"address":"data.server.d","mode":"data","type":"server","name":"d","values":{}}],
  "child_modules":[{"address":"module.left","resources":[
   {"address":"module.left.server.out","mode":"managed","type":"server","name":"out","values":{"id":"i-4"},"sensitive_values":{"id":true}},
   {"address":"module.left.server.out","deposed_key":"ef","mode":"managed","type":"server","name":"out","values":{"id":"i-0"}}]}]}}}}`

// TestResources: what will be there, whether the plan is about it or leaves it out.
func TestResources(t *testing.T) {
	t.Parallel()
	got, err := plan.Resources([]byte(fleet), []string{"server"})
	if err != nil {
		t.Fatal(err)
	}
	raw := func(s string) json.RawMessage { return json.RawMessage(s) }
	want := []wire.PlannedResource{
		{Address: "module.left.server.out", Type: "server", Name: "out", Module: "module.left", Values: raw(`{"id":"i-4"}`), Sensitive: raw(`{"id":true}`)},
		{Address: `module.m["x"].server.a[0]`, Type: "server", Name: "a", Key: raw("0"), Module: `module.m["x"]`, Values: raw(`{"id":"i-1","tags":{}}`), Unknown: raw("{}"), Sensitive: raw(`{"tags":{}}`)},
		{Address: "server.b", Type: "server", Name: "b", Values: raw(`{"ip":"10.0.0.2"}`), Unknown: raw(`{"id":true}`), Sensitive: raw(`{"token":true}`)},
		{Address: "server.new", Type: "server", Name: "new", Values: raw(`{"id":"i-5"}`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, err := plan.Resources([]byte("no JSON"), nil); got != nil || err != nil {
		t.Errorf("of no types: %v, %v", got, err)
	}
	if _, err := plan.Resources([]byte("no JSON"), []string{"server"}); core.CodeOf(err) != core.Invalid {
		t.Error(err)
	}
}
