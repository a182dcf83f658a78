package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// TestLoadGuardrails shows what administrators read about each kind of mistake.
func TestLoadGuardrails(t *testing.T) {
	golden(t, "guardrails", func(t *testing.T, in files) string {
		g, diags := LoadGuardrails(in)
		if (g == nil) != diags.HasErrors() {
			t.Errorf("guardrails and errors at once, or neither")
		}
		out := Render(diags, in, false)
		if g == nil {
			return out
		}
		for _, e := range g.Environments {
			out += fmt.Sprintf("environment %s of %v:", e.Pattern, e.Projects)
			if a := e.Approval; a != nil {
				out += fmt.Sprintf(" approval %d from %v others %v", a.Count, a.From, a.Others)
			}
			for _, w := range e.Windows {
				out += fmt.Sprintf(" window %s-%s %s", w.From, w.To, w.Zone)
			}
			for _, f := range e.Freezes {
				out += fmt.Sprintf(" freeze %s to %s: %s", f.From.Format(core.WallLayout), f.To.Format(core.WallLayout), f.Reason)
			}
			for name, n := range map[string]*int{"max_destroy": e.MaxDestroy} {
				if n != nil {
					out += fmt.Sprintf(" %s %d", name, *n)
				}
			}
			out += "\n"
		}
		for _, s := range g.Stacks {
			out += fmt.Sprintf("stack %s in %v: %+v\n", s.Pattern, s.Reach, s.Protection)
		}
		for _, a := range g.Allow {
			out += fmt.Sprintf("allow %+v\n", a)
		}
		for _, p := range g.Policies {
			out += fmt.Sprintf("policy %s in %v: %v\n", p.Name, p.Reach, p.Files)
		}
		return out
	})
}

func guardrails(t *testing.T, text string) *Guardrails {
	t.Helper()
	in := files{GuardrailsFile: text}
	g, diags := LoadGuardrails(in)
	if diags.HasErrors() {
		t.Fatal(Render(diags, in, false))
	}
	return g
}

const team = `
user "ana" {
  emails = ["ana@example.com", "Ana@Example.org"]
}
group "platform" {
  members = ["user:ana", "user:ben"]
}
role "viewer" {
  members = ["user:eve"]
}
role "operator" {
  members      = ["group:platform"]
  projects     = ["shop-*"]
  environments = ["prod*", "staging"]
}
role "developer" {
  members = ["user:ben"]
}
role "admin" {
  members = ["user:root"]
}
`

func TestRolesOfUsers(t *testing.T) {
	t.Parallel()
	g := guardrails(t, team)
	for _, c := range []struct{ user, project, environment, want string }{
		{"user:ana", "shop-eu", "production", "viewer developer operator"},
		{"user:ana", "shop-eu", "dev", ""},
		{"user:ana", "blog", "production", ""},
		{"user:ana", "shop-eu", "", ""}, // not in all of its environments
		{"user:ben", "blog", "dev", "viewer developer"},
		{"user:ben", "shop-eu", "staging", "viewer developer operator"},
		{"user:ben", "shop-eu", "", "viewer developer"},
		{"user:eve", "blog", "production", "viewer"},
		{"user:root", "", "", "viewer developer operator admin"},
		{"user:mallory", "blog", "dev", ""},
		{"user:", "blog", "dev", ""},
		{"group:platform", "shop-eu", "production", ""},
	} {
		var got []string
		for _, r := range g.Roles(c.user, c.project, c.environment) {
			got = append(got, string(r))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s in %s of %s: %v, want %s", c.user, c.environment, c.project, got, c.want)
		}
	}
	if !g.Roled() {
		t.Error("roles are not seen")
	}
	var none Guardrails
	if got := none.Roles("user:anybody", "blog", "dev"); !slices.Contains(got, core.RoleAdmin) || none.Roled() {
		t.Errorf("without roles: %v", got)
	}
}

func TestMembersAndAuthors(t *testing.T) {
	t.Parallel()
	g := guardrails(t, team)
	for who, want := range map[string][]string{"group:platform": {"user:ana", "user:ben"}, "user:eve": {"user:eve"}, "group:nobody": nil, "platform": nil} {
		if diff := cmp.Diff(want, g.Members(who)); diff != "" {
			t.Errorf("%s: %s", who, diff)
		}
	}
	for author, want := range map[string]string{
		"Ana <ana@example.com>": "user:ana", "Ana A. <ANA@EXAMPLE.ORG>": "user:ana", "ana@example.com": "user:ana", "Ana <ana@example.com> ": "user:ana",
		"Ben <ben@example.com>": "", "": "", "<>": "", "ana@example.com <eve@example.com>": "", "x <y> <ana@example.com>": "user:ana",
	} {
		if got := g.UserOf(author); got != want {
			t.Errorf("%q is %q, want %q", author, got, want)
		}
	}
	if got := (&Guardrails{}).UserOf("Ana <ana@example.com>"); got != "" {
		t.Errorf("without guardrails: %q", got)
	}
}

func TestTheStrictestExceptionRuleDecides(t *testing.T) {
	t.Parallel()
	g := guardrails(t, `
exceptions {
  max = "24h"
}
exceptions {
  environments  = ["prod*"]
  max           = "4h"
  second_person = true
}
skip {
  projects      = ["shop"]
  second_person = true
}
`)
	for _, c := range []struct {
		environment string
		second      bool
		most        time.Duration
	}{{"dev", false, 24 * time.Hour}, {"production", true, 4 * time.Hour}} {
		if got, want := g.ExceptionRule("shop", c.environment), (core.ExceptionRule{Second: c.second, Most: c.most}); got != want {
			t.Errorf("%s: %+v, want %+v", c.environment, got, want)
		}
	}
	if !g.SkipTakesSecond("shop", "dev") || g.SkipTakesSecond("blog", "dev") {
		t.Error("skip")
	}
	if got := (&Guardrails{}).ExceptionRule("shop", "dev"); got != (core.ExceptionRule{}) {
		t.Errorf("without guardrails: %+v", got)
	}
}

func TestGuardrailsDigest(t *testing.T) {
	t.Parallel()
	in := files{GuardrailsFile: "policy \"p\" {\n  files = [\"*.rego\"]\n}\n", "a.rego": "package main\n", "other.txt": "x"}
	digest := func() string {
		g, diags := LoadGuardrails(in)
		if diags.HasErrors() {
			t.Fatal(diags)
		}
		return g.Digest
	}
	first := digest()
	in["other.txt"] = "y"
	if digest() != first {
		t.Error("a file that no policy names is part of the digest")
	}
	in["a.rego"] = "package main\n# more\n"
	if digest() == first {
		t.Error("a changed policy does not show")
	}
}

// FuzzLoadGuardrails: whatever an administrator writes, there are guardrails or problems
// with places, and what is accepted can be asked.
func FuzzLoadGuardrails(f *testing.F) {
	f.Add(team, "package main")
	f.Add("environment \"prod*\" {\n  approval {\n    from = [\"group:x\"]\n  }\n}\nallow {\n  providers = [\"*\"]\n}", "\x00")
	f.Add("policy \"p\" {\n  files = [\"policies/**\"]\n}\nexceptions {\n  max = \"1h\"\n}", "")
	f.Fuzz(func(t *testing.T, text, policy string) {
		in := files{GuardrailsFile: text, "policies/a.rego": policy}
		g, diags := LoadGuardrails(in)
		if (g == nil) != diags.HasErrors() {
			t.Fatalf("guardrails %v with %v", g, diags)
		}
		for _, d := range diags {
			if d.Subject == nil || d.Subject.Filename == "" || d.Summary == "" {
				t.Errorf("a problem without a place: %v", d)
			}
		}
		if out := Render(diags, in, false); strings.ContainsAny(out, "\x1b\x07\x00") {
			t.Errorf("control characters: %q", out)
		}
		if g == nil {
			return
		}
		if len(g.Digest) != 64 {
			t.Errorf("the digest is %q", g.Digest)
		}
		for _, e := range g.Environments {
			e.Covers("shop", "production")
		}
		g.Roles("user:ana", "shop", "production")
		g.UserOf(policy)
		g.Members(text)
	})
}
