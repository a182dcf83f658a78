package modules

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/seal"
	"github.com/terrace-cd/terrace/internal/service/guardrails"
	"github.com/terrace-cd/terrace/internal/service/runs"
	"github.com/terrace-cd/terrace/internal/service/wanted"
	"github.com/terrace-cd/terrace/internal/source"
	"github.com/terrace-cd/terrace/internal/store"
	"github.com/terrace-cd/terrace/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const host = "modules.example.com"

// bench is a registry on a real database, and a project that uses it.
type bench struct {
	*Service
	t       *testing.T
	modules *testkit.Repo
	project *testkit.Repo
	before  map[string][]core.ResolvedModule
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "terrace.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	sources, err := source.New(filepath.Join(t.TempDir(), "mirrors"), source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sources.Close() })
	key, err := seal.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := seal.DigestKey(key.Secret)
	if err != nil {
		t.Fatal(err)
	}
	ring := seal.NewKeyring(nil)
	if err := ring.Set([]seal.Key{key}, digest); err != nil {
		t.Fatal(err)
	}
	s := &Service{Store: db, Source: sources, Seal: ring, Wanted: &wanted.Evaluator{Store: db, Source: sources, Seal: ring, Rails: &guardrails.Service{Store: db}}, Log: slog.New(slog.DiscardHandler), Host: host}
	b := &bench{Service: s, t: t, modules: testkit.Git(t), project: testkit.Git(t)}
	b.project.Write("terrace.hcl", "project \"shop\" {\n  stacks = [\"net\"]\n}\nenvironment \"dev\" {}\n")
	return b
}

// tag commits a module and gives it a tag.
func (b *bench) tag(tag, path, code string) string {
	b.t.Helper()
	b.modules.Write(path+"/main.tf", code)
	commit := b.modules.Commit(tag)
	b.modules.Run("tag", "--force", tag)
	b.modules.Run("push", "-q", "--force", "origin", "HEAD", "--tags")
	return commit
}

func (b *bench) add(address, path, tags string) Listed {
	b.t.Helper()
	l, err := b.Add(b.t.Context(), "user:ana", core.Module{Address: address, Repo: b.modules.Remote, Path: path, Tags: tags})
	if err != nil {
		b.t.Fatal(err)
	}
	return l
}

// push commits the stack's code as a release and returns what it gets, as "MODULE CONSTRAINT
// -> VERSION".
func (b *bench) push(code string) []string {
	b.t.Helper()
	b.project.Write("net/main.tf", code)
	commit := b.project.Commit("A commit")
	b.project.Push()
	p := core.Project{Name: "shop", Repo: b.project.Remote, Branch: "main", Path: "."}
	if _, err := b.Source.Fetch(b.t.Context(), p.Repo, p.Branch); err != nil {
		b.t.Fatal(err)
	}
	cfg, err := b.Wanted.Config(b.t.Context(), p, commit)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.before, err = b.Resolve(b.t.Context(), p, cfg, commit, b.before); err != nil {
		b.t.Fatal(err)
	}
	var out []string
	for _, m := range b.before["net"] {
		line := strings.Join(strings.Fields(m.Module+" "+m.Constraint+" -> "+m.Version), " ")
		if m.In != "" {
			line += " in " + m.In
		}
		out = append(out, line)
	}
	return out
}

func calls(constraints ...string) string {
	var b strings.Builder
	for i, c := range constraints {
		fmt.Fprintf(&b, "module \"m%d\" {\n  source  = \"%s/team/vpc/aws\"\n  version = %q\n}\n", i, host, c)
	}
	return b.String()
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// A version is a commit for ever: a tag that moves, goes or comes back changes nothing, and
// each of it is told once.
func TestTagsThatMove(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	first := b.tag("v1.0.0", ".", "# one")
	b.tag("v1.1.0", ".", "# two")
	if l := b.add("team/vpc/aws", "", ""); l.Newest() != "1.1.0" || len(l.Versions) != 2 {
		t.Fatalf("it has %+v", l.Versions)
	}
	moved := b.tag("v1.0.0", ".", "# evil")
	b.modules.Run("push", "-q", "origin", ":refs/tags/v1.1.0")
	for range 2 {
		if err := b.Refresh(t.Context(), "team/vpc/aws"); err != nil {
			t.Fatal(err)
		}
	}
	l, err := b.Get(t.Context(), "team/vpc/aws")
	if err != nil {
		t.Fatal(err)
	}
	if v := l.Versions[1]; v.Commit != first || v.Moved != moved {
		t.Errorf("1.0.0 is %+v", v)
	}
	if v := l.Versions[0]; !v.Gone || l.Newest() != "1.0.0" {
		t.Errorf("1.1.0 is %+v, the newest is %s", v, l.Newest())
	}
	b.modules.Run("push", "-q", "origin", "refs/tags/v1.1.0")
	if err := b.Refresh(t.Context(), "team/vpc/aws"); err != nil {
		t.Fatal(err)
	}
	var kinds []string
	if err := b.Store.View(t.Context(), func(tx core.Tx) error {
		events, err := tx.Events("", 0, 100)
		for _, e := range events {
			kinds = append(kinds, e.Kind+" "+e.On+" "+e.Data["version"])
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	same(t, "events", kinds, "module.added team/vpc/aws ", "module.versions team/vpc/aws ", "module.gone team/vpc/aws 1.1.0", "module.moved team/vpc/aws 1.0.0", "module.back team/vpc/aws 1.1.0")
	p, err := b.Source.Package(t.Context(), b.modules.Remote, l.Versions[1].Commit, ".")
	if err != nil || len(p.Archive) == 0 {
		t.Errorf("the commit of a moved tag cannot be had: %v", err)
	}
}

// What a stack calls as before stays what it was; what it calls otherwise is looked for anew.
func TestReleasesKeepWhatTheyGot(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.tag("v1.0.0", ".", "# one")
	b.add("team/vpc/aws", ".", "v*")
	same(t, "first", b.push(calls("~> 1.0")), "team/vpc/aws ~> 1.0 -> 1.0.0")
	b.tag("v1.1.0", ".", "# two")
	if err := b.Refresh(t.Context(), "team/vpc/aws"); err != nil {
		t.Fatal(err)
	}
	same(t, "a commit about something else", b.push("# more\n"+calls("~> 1.0")), "team/vpc/aws ~> 1.0 -> 1.0.0")
	b.tag("v1.2.0", ".", "# three")
	same(t, "a raised constraint, for a tag that nobody read yet", b.push(calls("~> 1.2")), "team/vpc/aws ~> 1.2 -> 1.2.0")
	same(t, "nothing fits", b.push(calls("~> 2.0")), "team/vpc/aws ~> 2.0 ->")
	b.tag("v2.0.0", ".", "# four")
	same(t, "until something does", b.push(calls("~> 2.0")+"# again"), "team/vpc/aws ~> 2.0 -> 2.0.0")
	same(t, "no module of the registry", b.push("# none"))
	same(t, "none of that name", b.push(strings.ReplaceAll(calls("~> 2.0"), "vpc", "dns")), "team/dns/aws ~> 2.0 ->")
	same(t, "another registry", b.push(strings.ReplaceAll(calls("~> 2.0"), host, "other.example.com")))
}

// Two calls of one module get what the engine would give them: each the newest of what is
// served, whichever call it is served for.
func TestTwoCallsOfOneModule(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.tag("v1.0.0", ".", "# one")
	b.add("team/vpc/aws", ".", "v*")
	b.push(calls("~> 1.0"))
	b.tag("v1.1.0", ".", "# two")
	b.tag("v1.2.0", ".", "# three")
	same(t, "both", b.push(calls("~> 1.0", "1.1.0")), "team/vpc/aws 1.1.0 -> 1.1.0", "team/vpc/aws ~> 1.0 -> 1.1.0")
}

// What modules of the registry call is resolved with them, and kept with them.
func TestModulesThatCallModules(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	inner := strings.ReplaceAll(calls("~> 1.0"), "team/vpc", "team/inner")
	b.tag("inner/v1.0.0", "inner", "# one")
	b.tag("vpc/v1.0.0", "vpc", inner)
	b.add("team/inner/aws", "inner", "inner/v*")
	b.add("team/vpc/aws", "vpc", "vpc/v*")
	want := []string{"team/inner/aws ~> 1.0 -> 1.0.0 in team/vpc/aws 1.0.0", "team/vpc/aws ~> 1.0 -> 1.0.0"}
	same(t, "first", b.push(calls("~> 1.0")), want...)
	b.tag("inner/v1.1.0", "inner", "# two")
	same(t, "kept", b.push(calls("~> 1.0")+"#"), want...)
	b.tag("vpc/v1.1.0", "vpc", inner+"# changed")
	same(t, "the outer one is raised, what it calls as before stays", b.push(calls("~> 1.1")),
		"team/inner/aws ~> 1.0 -> 1.0.0 in team/vpc/aws 1.1.0", "team/vpc/aws ~> 1.1 -> 1.1.0")
	b.tag("vpc/v1.2.0", "vpc", strings.ReplaceAll(inner, "~> 1.0", "~> 1.1"))
	same(t, "the outer one asks for more", b.push(calls("~> 1.2")),
		"team/inner/aws ~> 1.1 -> 1.1.0 in team/vpc/aws 1.2.0", "team/vpc/aws ~> 1.2 -> 1.2.0")
	b.tag("vpc/v2.0.0", "vpc", strings.ReplaceAll(calls("~> 2.0"), "m0", "itself"))
	same(t, "one that calls itself ends", b.push(calls("~> 2.0")),
		"team/vpc/aws ~> 2.0 -> 2.0.0", "team/vpc/aws ~> 2.0 -> 2.0.0 in team/vpc/aws 2.0.0")
}

func TestBadModules(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.tag("v1.0.0", ".", "# one")
	good := core.Module{Address: "team/vpc/aws", Repo: b.modules.Remote}
	for name, change := range map[string]func(*core.Module){
		"an address of two parts":      func(m *core.Module) { m.Address = "team/vpc" },
		"a host":                       func(m *core.Module) { m.Address = "example.com/team/vpc/aws" },
		"a system with capitals":       func(m *core.Module) { m.Address = "team/vpc/AWS" },
		"a namespace of dots":          func(m *core.Module) { m.Address = "../vpc/aws" },
		"an option as namespace":       func(m *core.Module) { m.Address = "--team/vpc/aws" },
		"a NUL":                        func(m *core.Module) { m.Address = "te\x00am/vpc/aws" },
		"tags without a star":          func(m *core.Module) { m.Tags = "v1" },
		"tags with two":                func(m *core.Module) { m.Tags = "v*.*" },
		"tags that are an option":      func(m *core.Module) { m.Tags = "--upload-pack=*" },
		"tags with a space":            func(m *core.Module) { m.Tags = "v *" },
		"no repository":                func(m *core.Module) { m.Repo = "" },
		"a repository that runs":       func(m *core.Module) { m.Repo = "ext::sh -c true" },
		"a repository with a password": func(m *core.Module) { m.Repo = "https://me:secret@example.com/x.git" },
		"a repository that is none":    func(m *core.Module) { m.Repo = t.TempDir() },
		"a folder outside":             func(m *core.Module) { m.Path = "../x" },
		"an absolute folder":           func(m *core.Module) { m.Path = "/etc" },
		"a folder that is an option":   func(m *core.Module) { m.Path = "--x" },
		"a folder with a query":        func(m *core.Module) { m.Path = "x?archive=zip" },
		"a folder with a line break":   func(m *core.Module) { m.Path = "x\ny" },
	} {
		m := good
		change(&m)
		if _, err := b.Add(t.Context(), "user:ana", m); core.CodeOf(err) != core.Invalid {
			t.Errorf("%s is let through: %v", name, err)
		}
	}
	b.add("team/vpc/aws", ".", "v*")
	if _, err := b.Add(t.Context(), "user:ana", good); core.CodeOf(err) != core.Conflict {
		t.Errorf("an address is taken twice: %v", err)
	}
}

// An archive is had with an address that was given out for it, and not for long.
func TestLinks(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.tag("v1.0.0", ".", "# one")
	b.tag("v1.1.0", ".", "# two")
	b.add("team/vpc/aws", ".", "v*")
	now := time.Unix(1_800_000_000, 0)
	link, folder, err := b.Link(t.Context(), "team/vpc/aws", "1.0.0", now)
	if err != nil || folder != "" {
		t.Fatal(folder, err)
	}
	until, signature, _ := strings.Cut(link, "-")
	open := func(version, link string, now time.Time) error {
		_, err := b.Open(context.Background(), "team/vpc/aws", version, link, now)
		return err
	}
	if err := open("1.0.0", link, now.Add(linkLife)); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"too late":        open("1.0.0", link, now.Add(linkLife+time.Second)),
		"another version": open("1.1.0", link, now),
		"a later end":     open("1.0.0", until+"0-"+signature, now),
		"no signature":    open("1.0.0", until+"-", now),
		"nothing":         open("1.0.0", "", now),
		"another name":    open("1.0.0", until+"-"+strings.Repeat("0", 64), now),
	} {
		if core.CodeOf(err) != core.Denied {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := b.Link(t.Context(), "team/vpc/aws", "9.0.0", now); core.CodeOf(err) != core.NotFound {
		t.Errorf("a version that is none: %v", err)
	}
}

// A run gets what its release got, and nothing else of the registry.
func TestRunsGetTheModulesOfTheirRelease(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.tag("v1.0.0", ".", "# one")
	b.add("team/vpc/aws", ".", "v*")
	b.add("team/other/aws", ".", "v*")
	b.push(calls("~> 1.0"))
	b.tag("v1.1.0", ".", "# two")
	if err := b.Refresh(t.Context(), "team/vpc/aws"); err != nil {
		t.Fatal(err)
	}
	release := core.Release{Project: "shop", Number: 1, Commit: b.project.Head()}
	if err := b.Store.Update(t.Context(), func(tx core.Tx) error {
		for _, err := range []error{
			tx.AddProject(core.Project{Name: "shop", Repo: b.project.Remote, Branch: "main", Path: ".", Created: tx.Now()}),
			tx.AddRelease(release),
			tx.PutReleaseModules("shop", release.Commit, b.before),
			tx.AddRun(core.Run{ID: "r-1", Project: "shop", Stack: "net", Environment: "dev", Kind: core.KindDeploy, Status: core.RunPlanning, Release: release, Fence: 3, Created: tx.Now()}),
		} {
			if err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	service := &runs.Service{Store: b.Store, Wanted: b.Wanted, Source: b.Source}
	mine := runs.Caller{Run: "r-1", Fence: 3}
	if a, err := service.Module(t.Context(), mine, "r-1", "team/vpc/aws", "1.0.0"); err != nil || len(a.Archive) == 0 {
		t.Errorf("it does not get its own: %v", err)
	}
	for name, c := range map[string]struct {
		caller          runs.Caller
		module, version string
		want            core.Code
	}{
		"a newer version":        {mine, "team/vpc/aws", "1.1.0", core.Denied},
		"another module":         {mine, "team/other/aws", "1.0.0", core.Denied},
		"one that there is not":  {mine, "team/none/aws", "1.0.0", core.Denied},
		"a version that climbs":  {mine, "team/vpc/aws", "../1.0.0", core.Denied},
		"another run's":          {runs.Caller{Run: "r-2", Fence: 3}, "team/vpc/aws", "1.0.0", core.Denied},
		"an attempt of before":   {runs.Caller{Run: "r-1", Fence: 2}, "team/vpc/aws", "1.0.0", core.Conflict},
		"with nothing in a name": {mine, "", "", core.Denied},
	} {
		if _, err := service.Module(t.Context(), c.caller, "r-1", c.module, c.version); core.CodeOf(err) != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Remove(t.Context(), "user:ana", "team/vpc/aws"); core.CodeOf(err) != core.Conflict || !strings.Contains(core.MessageOf(err), "used by shop") {
		t.Errorf("what is used can be removed: %v", err)
	}
	if err := b.Remove(t.Context(), "user:ana", "team/other/aws"); err != nil {
		t.Error(err)
	}
	uses, err := b.Uses(t.Context(), "shop")
	if err != nil || len(uses) != 1 || uses[0].Instance != "net@dev" || uses[0].Version != "1.0.0" || uses[0].Newest != "1.1.0" || !uses[0].Upgrade || uses[0].Applied != "" {
		t.Errorf("uses: %+v, %v", uses, err)
	}
}
