package check_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/policy"
	"github.com/terrace-cd/terrace/internal/redact"
	"github.com/terrace-cd/terrace/internal/step/check"
	"github.com/terrace-cd/terrace/internal/wire"
)

const plan = `{"format_version":"1.2",
 "variables":{"token":{"value":"canary-variable"}},"configuration":{"root_module":{"variables":{"token":{"sensitive":true}}}},
 "resource_changes":[{"address":"a.b","change":{"actions":["create"],"after":{"password":"canary-new","pin":13371337,"name":"plain"},"after_sensitive":{"password":true,"pin":true}}}],
 "prior_state":{"values":{"root_module":{"resources":[{"values":{"key":"canary-old"},"sensitive_values":{"key":true}}]}}}}`

func set(from string, files ...string) wire.Policy {
	p := wire.Policy{Name: "policies", From: from}
	for i := 0; i < len(files); i += 2 {
		p.Files = append(p.Files, wire.PolicyFile{Path: files[i], Text: files[i+1]})
	}
	return p
}

func run(t *testing.T, policies ...wire.Policy) check.Result {
	t.Helper()
	r, err := check.Run(t.Context(), check.Options{Policies: policies, Plan: []byte(plan), About: wire.About{Instance: "web@production"}, Mask: redact.New([]string{"canary-secret"})})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Policies see real values, and none of what they say of them leaves the phase.
func TestNothingSensitiveLeaves(t *testing.T) {
	t.Parallel()
	r := run(t, set("release 1", "leak.rego", `package main

deny contains sprintf("%s %s %v %s", [input.variables.token.value, c.password, c.pin, c.name]) if c := input.resource_changes[0].change.after
deny contains base64.encode(input.prior_state.values.root_module.resources[0].values.key)
deny contains json.marshal(input)
warn contains {"msg": "details", "resource": "canary-secret", "canary-new": [{"x": "a canary-old b"}], "pin": input.resource_changes[0].change.after.pin}
`), set("release 2", "conflict.rego", "package main\n\ndeny := input.variables.token.value if true\n"),
		set("release 3", "builtin.rego", "package main\n\ndeny contains \"x\" if to_number(input.variables.token.value) > 1\n"))
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"canary", "13371337", "Y2FuYXJ5"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("%s leaves: %s", secret, text)
		}
	}
	if !strings.Contains(string(text), "plain") || !strings.Contains(string(text), redact.Mask) {
		t.Errorf("what is not secret is gone: %s", text)
	}
}

// Two releases have most policies in common: what both say is said once. What only the one
// that is there says is not lost.
func TestEachThingIsSaidOnce(t *testing.T) {
	t.Parallel()
	const name = "package main\n\ndeny contains \"no owner\"\n"
	entering := set("terrace.hcl of release 2", "name.rego", "# moved down a line\n"+name)
	there := set("terrace.hcl of release 1, which is there now", "name.rego", name, "size.rego", "package main\n\ndeny_size contains \"too large\"\n")
	r := run(t, entering, there)
	var got []string
	for _, c := range r.Checks {
		got = append(got, c.Verdict+" "+c.Message)
	}
	want := []string{
		"deny web@production: no owner (main.deny in name.rego:4, terrace.hcl of release 2)",
		"deny web@production: too large (main.deny_size in size.rego:3, terrace.hcl of release 1, which is there now)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	judged := []wire.Judged{{Name: "policies", From: entering.From, Digest: policy.Digest(entering)}, {Name: "policies", From: there.From, Digest: policy.Digest(there)}}
	if diff := cmp.Diff(judged, r.Judged); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutPolicies(t *testing.T) {
	t.Parallel()
	if r := run(t); r.Checks != nil || r.Judged != nil {
		t.Errorf("%+v", r)
	}
	o := check.Options{Policies: []wire.Policy{set("x", "a.rego", "package main\n\ndeny contains \"x\"\n")}, Plan: []byte("[]"), Mask: redact.New(nil)}
	if _, err := check.Run(t.Context(), o); core.CodeOf(err) != core.Invalid {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.Plan = []byte(plan)
	if r, err := check.Run(ctx, o); err == nil || r.Judged != nil {
		t.Errorf("a run that is over has verdicts: %+v, %v", r, err)
	}
}
