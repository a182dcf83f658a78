package guardrails

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/service/bus"
	"github.com/terrace-cd/terrace/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a service on a real database, with the tokens that are given.
func bench(t *testing.T, tokens ...core.Token) *Service {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "terrace.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if err := db.Update(t.Context(), func(tx core.Tx) error {
		for _, token := range tokens {
			token.Kind, token.Hash, token.Created = core.TokenPerson, token.ID, tx.Now()
			if err := tx.AddToken(token); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return &Service{Store: db, Bus: bus.New()}
}

var root = core.Token{ID: "tok-1", Name: "admin", User: "admin", Role: core.RoleAdmin}

func text(s string) map[string]string { return map[string]string{config.GuardrailsFile: s} }

func (s *Service) set(t *testing.T, files map[string]string) core.Guardrails {
	t.Helper()
	g, _, err := s.Set(t.Context(), "user:admin", files, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// rule is a policy that judges.
const rule = "package main\n\ndeny contains \"no\" if input.never\n"

func TestVersions(t *testing.T) {
	t.Parallel()
	s := bench(t, root)
	if g, err := s.Current(t.Context()); err != nil || g.Digest != "" || len(g.Environments) > 0 {
		t.Errorf("before there are any: %+v, %v", g, err)
	}
	if g, err := s.Read(t.Context(), 0); err != nil || g.Version != 0 {
		t.Errorf("before there are any: %+v, %v", g, err)
	}
	one := s.set(t, map[string]string{config.GuardrailsFile: "policy \"p\" {\n  files = [\"*.rego\"]\n}\n", "a.rego": rule})
	if one.Version != 1 || one.By != "user:admin" || one.Digest == "" {
		t.Errorf("the first is %+v", one)
	}
	g, err := s.Current(t.Context())
	if err != nil || g.Digest != one.Digest || len(g.PoliciesOf("shop", "dev")) != 1 || g.Bundle["a.rego"] != rule {
		t.Errorf("read: %+v, %v", g, err)
	}
	if again, err := s.Current(t.Context()); err != nil || again != g {
		t.Errorf("a version is read twice: %v", err)
	}
	if same := s.set(t, one.Files); same.Version != 1 {
		t.Errorf("the same again is version %d", same.Version)
	}
	two := s.set(t, text(""))
	if g, err := s.Current(t.Context()); err != nil || g.Digest != two.Digest || two.Version != 2 || len(g.Policies) != 0 {
		t.Errorf("the second: %+v, %v", g, err)
	}
	old, err := s.Read(t.Context(), 1)
	if diff := cmp.Diff(one, old); err != nil || diff != "" {
		t.Errorf("the first, later: %v\n%s", err, diff)
	}
	history, err := s.History(t.Context())
	if err != nil || len(history) != 2 || history[0].Version != 2 || history[1].Files != nil {
		t.Errorf("history: %+v, %v", history, err)
	}
	var kinds []string
	if err := s.Store.View(t.Context(), func(tx core.Tx) error {
		events, err := tx.Events("", 0, 100)
		for _, e := range events {
			kinds = append(kinds, e.Kind+" "+e.On+" "+e.By+" "+e.Data["digest"])
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{"guardrails.set version 1 user:admin " + one.Digest, "guardrails.set version 2 user:admin " + two.Digest}
	if diff := cmp.Diff(want, kinds); diff != "" {
		t.Errorf("events: %s", diff)
	}
}

// Every project hears of a change.
func TestAChangeWakesEveryProject(t *testing.T) {
	t.Parallel()
	s := bench(t, root)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	shop, blog := s.Bus.Listen(ctx, "shop"), s.Bus.Listen(ctx, "blog")
	s.set(t, text("# one\n"))
	for _, woken := range []<-chan struct{}{shop, blog} {
		select {
		case <-woken:
		case <-time.After(10 * time.Second):
			t.Fatal("a project sleeps on")
		}
	}
	s.set(t, text("# one\n"))
	select {
	case <-shop:
		t.Error("what changes nothing wakes a project")
	default:
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	s := bench(t, root)
	s.set(t, text("# one\n"))
	version := func(n int64) *int64 { return &n }
	for name, c := range map[string]struct {
		files map[string]string
		onTop *int64
		code  core.Code
		says  string
	}{
		"no file":       {map[string]string{}, nil, core.Invalid, "There is no guardrails.hcl"},
		"two mistakes":  {text("environs \"x\" {}\nallow {\n  engines = [\"x\"]\n}\n"), nil, core.Invalid, "Unknown engine \"x\"\n  guardrails.hcl:3:14, in allow\n    3 |   engines = [\"x\"]"},
		"broken policy": {map[string]string{config.GuardrailsFile: "policy \"p\" {\n  files = [\"*.rego\"]\n}\n", "a.rego": "package main\n\ndeny contains \"no\" if {\n"}, nil, core.Invalid, "a.rego:4: unexpected eof"},
		"no rule":       {map[string]string{config.GuardrailsFile: "policy \"p\" {\n  files = [\"*.rego\"]\n}\n", "a.rego": "package main\n"}, nil, core.Invalid, "judges nothing"},
		"unused":        {map[string]string{config.GuardrailsFile: "", "a.rego": ""}, nil, core.Invalid, "no policy names the file a.rego"},
		"climbing":      {map[string]string{config.GuardrailsFile: "", "../../etc/passwd": ""}, nil, core.Invalid, "cannot name a file"},
		"control":       {map[string]string{config.GuardrailsFile: "", "a\x1b[31m.rego": ""}, nil, core.Invalid, "cannot name a file"},
		"not text":      {text("# \xff"), nil, core.Invalid, "not UTF-8"},
		"too large":     {text(strings.Repeat("#", maxSize+1)), nil, core.Invalid, "at most"},
		"an older base": {text("# two\n"), version(0), core.Conflict, "the guardrails are at version 1, which user:admin set, and not at 0"},
		"a newer base":  {text("# two\n"), version(7), core.Conflict, "and not at 7"},
	} {
		_, _, err := s.Set(t.Context(), "user:ana", c.files, c.onTop)
		if core.CodeOf(err) != c.code || !strings.Contains(core.MessageOf(err), c.says) {
			t.Errorf("%s: %v", name, err)
		}
		if strings.ContainsAny(core.MessageOf(err), "\x1b\x00") {
			t.Errorf("%s: control characters: %q", name, core.MessageOf(err))
		}
	}
	if g, err := s.Read(t.Context(), 0); err != nil || g.Version != 1 {
		t.Errorf("something was stored: %+v, %v", g, err)
	}
	if _, _, err := s.Set(t.Context(), "user:ana", text("# two\n"), version(1)); err != nil {
		t.Errorf("on top of the newest: %v", err)
	}
}

func TestNobodyIsLockedOut(t *testing.T) {
	t.Parallel()
	ana := core.Token{ID: "tok-2", Name: "ana's laptop", User: "ana"}
	gone := core.Token{ID: "tok-3", Name: "gone", User: "gone", Role: core.RoleAdmin, Expires: time.Unix(1, 0)}
	revoked := core.Token{ID: "tok-4", Name: "revoked", User: "revoked", Role: core.RoleAdmin, Revoked: true}
	narrow := core.Token{ID: "tok-5", Name: "narrow", User: "narrow", Role: core.RoleAdmin, Project: "shop"}
	s := bench(t, ana, gone, revoked, narrow)
	role := func(members, more string) map[string]string {
		return text("role \"admin\" {\n  members = [" + members + "]\n" + more + "}\n")
	}
	for name, files := range map[string]map[string]string{
		"somebody else": role(`"user:ben"`, ""), "nobody": role("", ""), "in one project": role(`"user:ana"`, "  projects = [\"shop\"]\n"),
		"expired and revoked": role(`"user:gone", "user:revoked"`, ""), "another role": text("role \"operator\" {\n  members = [\"user:ana\"]\n}\n"),
	} {
		if _, _, err := s.Set(t.Context(), "user:ana", files, nil); core.CodeOf(err) != core.Conflict || !strings.Contains(core.MessageOf(err), "nobody would be an admin any more") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, warnings, err := s.Set(t.Context(), "user:ana", role(`"user:ana"`, ""), nil); err != nil || len(warnings) > 0 {
		t.Errorf("an admin stays: %v, %v", err, warnings)
	}
	s = bench(t, root, ana)
	_, warnings, err := s.Set(t.Context(), "user:admin", role(`"user:ben"`, ""), nil)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], `user:ana has no role now: what the token "ana's laptop" lets in`) {
		t.Errorf("beside an admin's own token: %v, %q", err, warnings)
	}
}

// A version that this program does not understand stops what depends on it, and not an
// admin who sets another.
func TestAVersionThatIsNotUnderstood(t *testing.T) {
	t.Parallel()
	s := bench(t, root)
	if err := s.Store.Update(t.Context(), func(tx core.Tx) error {
		return tx.AddGuardrails(core.Guardrails{Version: 1, Digest: "d", Files: text("from_the_future = true\n"), By: "user:admin", Created: tx.Now()})
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Current(t.Context()); core.CodeOf(err) != core.Internal || !strings.Contains(core.MessageOf(err), `"from_the_future"`) {
		t.Errorf("got %v", err)
	}
	s.set(t, text("# of today\n"))
	if _, err := s.Current(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	s := bench(t, root)
	s.set(t, text("user \"ana\" {\n  emails = [\"ana@example.com\"]\n}\ngroup \"g\" {\n  members = [\"user:ana\"]\n}\nrole \"operator\" {\n  members = [\"group:g\"]\n}\n"))
	roles, err := s.Roles(t.Context(), "user:ana", "shop", "dev")
	if err != nil || len(roles) != 3 || roles[2] != core.RoleOperator {
		t.Errorf("roles: %v, %v", roles, err)
	}
	if members, err := s.Members(t.Context(), "group:g"); err != nil || len(members) != 1 {
		t.Errorf("members: %v, %v", members, err)
	}
	if user, err := s.UserOf(t.Context(), "Ana <ana@example.com>"); err != nil || user != "user:ana" {
		t.Errorf("author: %v, %v", user, err)
	}
}
