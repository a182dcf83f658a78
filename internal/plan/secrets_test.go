package plan_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/plan"
)

func TestSecrets(t *testing.T) {
	t.Parallel()
	const document = `{
 "variables":{"token":{"value":"canary-variable"},"size":{"value":"plain"}},
 "configuration":{"root_module":{"variables":{"token":{"sensitive":true,"default":"canary-default"},"size":{}}}},
 "planned_values":{"outputs":{"key":{"sensitive":true,"value":"canary-output"},"url":{"sensitive":false,"value":"plain"}},
  "root_module":{"resources":[{"values":{"a":{"b":["plain","canary-planned"]}},"sensitive_values":{"a":{"b":[false,true]}}}]}},
 "prior_state":{"values":{"root_module":{"child_modules":[{"resources":[{"mode":"data","values":{"pin":987654,"name":"plain"},"sensitive_values":{"pin":true}}]}]}}},
 "resource_drift":[{"change":{"before":{"p":"canary-drift"},"after":{"p":"plain"},"before_sensitive":{"p":true},"after_sensitive":false}}],
 "resource_changes":[{"change":{"before":null,"after":{"all":"canary-whole"},"before_sensitive":false,"after_sensitive":true}}],
 "action_invocations":[{"config_values":{"x":"canary-action"},"config_sensitive":{"x":true}}],
 "odd":[null,1,{"values":[1],"sensitive_values":{"a":true}},{"before":"plain","before_sensitive":"true"}]}`
	var decoded map[string]any
	d := json.NewDecoder(strings.NewReader(document))
	d.UseNumber()
	if err := d.Decode(&decoded); err != nil {
		t.Fatal(err)
	}
	got := plan.Secrets(decoded)
	slices.Sort(got)
	want := []string{"987654", "canary-action", "canary-default", "canary-drift", "canary-output", "canary-planned", "canary-variable", "canary-whole"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := plan.Secrets(map[string]any{"configuration": 1, "variables": "x"}); len(got) != 0 {
		t.Errorf("%q", got)
	}
}
