package policy_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/policy"
	"github.com/terrace-cd/terrace/internal/wire"
)

var update = flag.Bool("update", false, "write the golden files")

const aPlan = `{"format_version":"1.2","resource_changes":[
 {"address":"democloud_server.web[0]","type":"democloud_server","change":{"actions":["create"],"after":{"size":"huge","tags":{}}}},
 {"address":"democloud_database.main","type":"democloud_database","change":{"actions":["update"],"before":{"size":1},"after":{"size":12345678901234567890}}}],
 "configuration":{"root_module":{}}}`

var about = wire.About{Project: "shop", Environment: "production", Stack: "web", Instance: "web@production", Kind: "deploy",
	Release: wire.AboutRelease{Number: 12, Commit: "9f3c", Author: "Ana", Message: "Larger servers"},
	Actions: map[string]int{"create": 1, "update": 1, "delete": 0}}

func document(t testing.TB) policy.Document {
	t.Helper()
	decoded, err := policy.Decode([]byte(aPlan))
	if err != nil {
		t.Fatal(err)
	}
	d, err := policy.NewDocument(decoded, about)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// set makes a policy of files: name, text, name, text.
func set(files ...string) wire.Policy {
	p := wire.Policy{Name: "policies", From: "terrace.hcl of release 12"}
	for i := 0; i < len(files); i += 2 {
		p.Files = append(p.Files, wire.PolicyFile{Path: "policies/" + files[i], Text: files[i+1]})
	}
	return p
}

const sizes = `package main

deny contains msg if {
	some r in input.resource_changes
	r.change.after.size == "huge"
	msg := sprintf("%s is huge", [r.address])
}
`

// TestMessages keeps what policies say as golden files: what, where, why, and what to do.
func TestMessages(t *testing.T) {
	t.Parallel()
	many := `package main
deny contains sprintf("number %04d", [i]) if some i in numbers.range(1, 500)
warn contains "and this"
`
	for name, p := range map[string]wire.Policy{
		"denies":        set("sizes.rego", sizes),
		"passes":        set("none.rego", "package main\n\ndeny contains \"x\" if input.resource_changes[_].type == \"nothing\"\n"),
		"two-files":     set("sizes.rego", sizes, "zone.rego", "package main\n\ndeny contains \"there is no zone\" if not input.zone\n\nwarn_size contains msg if {\n\tmsg := \"think of the cost\"\n}\n"),
		"old-language":  set("old.rego", "package main\n\nviolation[{\"msg\": msg, \"resource\": r.address, \"limit\": 3}] {\n\tr := input.resource_changes[_]\n\tr.type == \"democloud_database\"\n\tmsg := \"too large\"\n}\n\nwarn[msg] { msg = input.terrace.release.message }\n"),
		"what-is-known": set("t.rego", "package main\n\nwarn contains sprintf(\"%s %s %s %s %d %s %d %d\", [t.project, t.environment, t.stack, t.kind, t.release.number, t.release.author, t.actions.create, t.actions.delete]) if t := input.terrace\n"),
		"exception":     set("e.rego", "package main\n\ndeny_open contains \"a port is open\"\ndeny_other contains \"another\"\n\nexception contains rules if rules := [\"open\"]\n"),
		"exception-all": set("e.rego", "package main\n\ndeny contains \"a port is open\"\n\nexception contains [\"\"]\n"),
		"namespace":     {Name: "policy sizes", From: "the guardrails", Namespaces: []string{"terraform.sizes"}, Files: []wire.PolicyFile{{Path: "sizes.rego", Text: strings.Replace(sizes, "package main", "package terraform.sizes", 1)}}},
		"library":       set("lib/sizes.rego", "package lib.sizes\n\nhuge(r) if r.change.after.size == \"huge\"\n", "main.rego", "package main\n\nimport data.lib.sizes\n\ndeny contains \"huge\" if {\n\tsome r in input.resource_changes\n\tsizes.huge(r)\n}\n"),
		"numbers":       set("n.rego", "package main\n\nwarn contains sprintf(\"%v\", [input.resource_changes[1].change.after.size])\n"),
		"only-true":     set("b.rego", "package main\n\ndeny if input.resource_changes\n\ndefault warn := false\n"),
		"many":          set("m.rego", many),

		"broken-syntax":       set("b.rego", "package main\n\ndeny contains msg if {\n"),
		"broken-reference":    set("b.rego", "package main\n\ndeny contains msg if {\n\tmsg := missing\n}\n\nwarn contains 1 + undefined_too\n"),
		"broken-empty":        set("b.rego", "\n"),
		"broken-package":      set("b.rego", "package terraform.security\n\ndeny contains \"x\"\n"),
		"broken-conflict":     set("b.rego", "package main\n\ndeny := [\"a\"] if true\ndeny := [\"b\"] if true\n"),
		"broken-message":      set("b.rego", "package main\n\ndeny contains {\"message\": \"x\"}\n"),
		"broken-number":       set("b.rego", "package main\n\ndeny contains 17\n"),
		"broken-object":       set("b.rego", "package main\n\ndeny[\"a\"] := 1\n"),
		"broken-text":         set("b.rego", "package main\n\ndeny := \"a text\"\n"),
		"broken-recursion":    set("b.rego", "package main\n\ndeny contains x if some x in deny\n"),
		"broken-network":      set("b.rego", "package main\n\ndeny contains msg if msg := http.send({\"method\": \"GET\", \"url\": \"http://127.0.0.1\"}).body\n"),
		"built-in-that-fails": set("f.rego", "package main\n\ndeny contains \"too many\" if to_number(input.terrace.stack) > 3\n"),
	} {
		var got strings.Builder
		for _, c := range policy.Bound(policy.Judge(t.Context(), p, document(t))) {
			_, _ = fmt.Fprintf(&got, "%s: %s: %s\n", c.Verdict, c.Name, c.Message)
			if c.Rule != "" || c.Resource != "" || c.Details != nil {
				_, _ = fmt.Fprintf(&got, "  rule %q file %q resource %q details %v\n", c.Rule, c.File, c.Resource, c.Details)
			}
		}
		golden(t, name, got.String())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// What a policy could reach beside the plan is not there.
func TestNothingButThePlan(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret.json")
	if err := os.WriteFile(secret, []byte(`{"type":"string"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, call := range []string{
		`http.send({"method": "GET", "url": "http://127.0.0.1:1"})`, `opa.runtime()`, `net.lookup_ip_addr("localhost")`, `rand.intn("a", 10)`, `uuid.rfc4122("a")`, `time.now_ns()`,
		`json.match_schema({}, {"$ref": "file://` + secret + `"})`, `json.verify_schema({"$ref": "http://127.0.0.1:1"})`, `io.jwt.encode_sign({}, {}, {})`, `graph.reachable_paths({}, {"a"})`,
	} {
		checks := policy.Judge(t.Context(), set("a.rego", "package main\n\ndeny contains \"x\" if y := "+call+"\n"), document(t))
		if len(checks) != 1 || checks[0].Verdict != "deny" || !strings.Contains(checks[0].Message, "policies do not have") {
			t.Errorf("%s: %+v", call, checks)
		}
	}
	// What only computes is there.
	for _, call := range []string{`net.cidr_contains("10.0.0.0/8", "10.1.2.3")`, `regex.match("a", "a")`, `time.parse_rfc3339_ns("2026-01-01T00:00:00Z") > 0`, `json.unmarshal("{}") == {}`, `crypto.sha256("a") != ""`} {
		checks := policy.Judge(t.Context(), set("a.rego", "package main\n\ndeny contains \"it holds\" if "+call+"\n"), document(t))
		if len(checks) != 1 || !strings.Contains(checks[0].Message, "it holds") {
			t.Errorf("%s: %+v", call, checks)
		}
	}
}

// A policy that does not end, or grows without bounds, is stopped and denies.
func TestBounds(t *testing.T) {
	t.Parallel()
	doubling := "package main\n\nt0 := \"0123456789abcdef\"\n"
	for i := range 40 {
		doubling += fmt.Sprintf("t%d := concat(\"\", [t%d, t%d])\n", i+1, i, i)
	}
	for name, c := range map[string]struct{ text, says string }{
		"loop":   {"package main\n\nr := numbers.range(1, 3000)\n\ndeny contains \"x\" if {\n\tsome a in r\n\tsome b in r\n\tsome c in r\n\ta * b * c == -1\n}\n", "did not end within 1s"},
		"range":  {"package main\n\ndeny contains \"x\" if count(numbers.range(1, 1000000000)) == 0\n", "was stopped"},
		"walk":   {"package main\n\ndeny contains \"x\" if {\n\tsome i in numbers.range(1, 100000)\n\tsome j in numbers.range(1, 100000)\n\twalk(input, [p, v])\n\tp == [i, j, v]\n}\n", "was stopped"},
		"text":   {doubling + "\ndeny contains t40\n", "needed more than 64 MiB"},
		"hidden": {"package main\n\ndeny contains \"x\" if count({[a, b, c] | some a in numbers.range(1, 2000); some b in numbers.range(1, 2000); some c in numbers.range(1, 2000)}) == 0\n", "was stopped"},
	} {
		s, err := policy.Compile(set("a.rego", c.text))
		if err != nil {
			t.Fatal(name, err)
		}
		limits := policy.Limits{Time: time.Second, Memory: 64 << 20}
		if name == "text" {
			limits.Time = time.Minute
		}
		policy.SetLimits(s, limits)
		begun := time.Now()
		checks := s.Judge(t.Context(), document(t))
		if len(checks) != 1 || checks[0].Verdict != "deny" || !strings.Contains(checks[0].Message, c.says) {
			t.Errorf("%s: %+v", name, checks)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if checks := policy.Judge(ctx, set("a.rego", sizes), document(t)); len(checks) != 1 || checks[0].Verdict != "deny" {
		t.Errorf("cancelled: %+v", checks)
	}
}

func TestTooLargeASet(t *testing.T) {
	t.Parallel()
	_, err := policy.Compile(set("a.rego", sizes+"# "+strings.Repeat("x", policy.MaxBytes)))
	if core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "1024 KiB") {
		t.Error(err)
	}
}

func TestDigest(t *testing.T) {
	t.Parallel()
	a, b := set("a.rego", sizes, "b.rego", "package b"), set("b.rego", "package b", "a.rego", sizes)
	if policy.Digest(a) != policy.Digest(b) {
		t.Error("the order of files counts")
	}
	b.From = "terrace.hcl of release 11, which is there now"
	if policy.Digest(a) == policy.Digest(b) || !policy.Same(a, b) {
		t.Error("where it is from is a part of the digest, not of what it says")
	}
	b.Files[0].Text += " "
	if policy.Same(a, b) {
		t.Error("the text does not count")
	}
	b = set("a.rego", sizes, "b.rego", "package b")
	b.Namespaces = []string{"main"}
	if !policy.Same(a, b) {
		t.Error("main is what no namespace means")
	}
	b.Namespaces = []string{"other"}
	if policy.Same(a, b) {
		t.Error("namespaces do not count")
	}
}

func TestDocumentIsAnObject(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "[]", "null", "{", "12"} {
		if _, err := policy.Decode([]byte(bad)); core.CodeOf(err) != core.Invalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// FuzzCompile: whatever is in a file, there is a verdict.
func FuzzCompile(f *testing.F) {
	f.Add(sizes)
	f.Add("package main\n\ndeny[msg] { msg := input }")
	f.Add("package main\n\ndeny.a.b contains 1 if true else := 3")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := policy.Compile(set("a.rego", text))
		if err != nil {
			return
		}
		policy.SetLimits(s, policy.Limits{Time: time.Second, Memory: 64 << 20})
		if len(s.Judge(t.Context(), document(t))) == 0 {
			t.Errorf("no verdict of %q", text)
		}
	})
}
