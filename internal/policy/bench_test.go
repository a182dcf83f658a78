package policy_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/policy"
)

// BenchmarkJudge has a set of ordinary rules judge a plan of 0.9 MB: 1,150 resources.
func BenchmarkJudge(b *testing.B) {
	const tags = `{"owner":"team-a","cost":"4711","zone":"eu-1","description":"a resource as there are many, with an ordinary number of attributes"}`
	plan := map[string]any{"format_version": "1.2"}
	var changes []any
	for i := range 1150 {
		after := map[string]any{"size": "small", "name": fmt.Sprintf("server-%d", i), "tags": json.RawMessage(tags), "ports": []int{22, 80, 443}, "disks": []any{json.RawMessage(tags), json.RawMessage(tags), json.RawMessage(tags)}}
		changes = append(changes, map[string]any{"address": fmt.Sprintf("module.web[%d].democloud_server.it", i), "type": "democloud_server", "mode": "managed", "name": "it",
			"change": map[string]any{"actions": []string{"create"}, "before": nil, "after": after, "after_unknown": map[string]any{"id": true}}})
	}
	plan["resource_changes"] = changes
	text, err := json.Marshal(plan)
	if err != nil {
		b.Fatal(err)
	}
	if len(text) < 850_000 || len(text) > 950_000 {
		b.Fatalf("the plan has %d bytes", len(text))
	}
	p := set("sizes.rego", sizes, "tags.rego", `package main

required := {"owner", "cost", "zone"}

deny_tags contains msg if {
	some r in input.resource_changes
	missing := required - {t | some t, _ in r.change.after.tags}
	count(missing) > 0
	msg := sprintf("%s has no tags %v", [r.address, missing])
}

warn_ports contains msg if {
	some r in input.resource_changes
	some port in r.change.after.ports
	port > 1024
	msg := sprintf("%s opens %d", [r.address, port])
}
`)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		decoded, err := policy.Decode(text)
		if err != nil {
			b.Fatal(err)
		}
		d, err := policy.NewDocument(decoded, about)
		if err != nil {
			b.Fatal(err)
		}
		if checks := policy.Judge(b.Context(), p, d); len(checks) != 1 || checks[0].Verdict != guard.Pass {
			b.Fatalf("%+v", checks)
		}
	}
}
