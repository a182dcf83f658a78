package source

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// A symbolic link that leads out of the repository makes the release invalid when
// something uses it, and is nobody's business when nothing does.
func TestLinksThatLeave(t *testing.T) {
	t.Parallel()
	base := map[string]string{
		"terrace.hcl":         defaultConfig,
		"stacks/web/main.tf":  "module \"net\" {\n  source = \"../../modules/net\"\n}\noutput \"a\" {\n  value = []\n}\n",
		"modules/net/main.tf": "", "ansible/web.yml": "", "shared/x": "",
	}
	ansible := defaultConfig + "\nstack \"web\" {\n  ansible {\n    playbook  = \"ansible/web.yml\"\n    inventory = { web = output.a }\n  }\n}\n"
	for name, c := range map[string]struct {
		files map[string]string
		bad   bool
	}{
		"in the stack":           {map[string]string{"stacks/web/hosts": asLink + "/etc/hosts"}, true},
		"relative":               {map[string]string{"stacks/web/deep/x": asLink + "../../../../etc/hosts"}, true},
		"through another link":   {map[string]string{"stacks/web/x": asLink + "y/hosts", "stacks/web/y": asLink + "/etc"}, true},
		"in a module":            {map[string]string{"modules/net/x": asLink + "/etc/hosts"}, true},
		"a module's folder":      {map[string]string{"stacks/web/more.tf": "module \"o\" {\n  source = \"./out\"\n}\n", "stacks/web/out": asLink + "/usr/share"}, true},
		"a configuration file":   {map[string]string{"stacks/web/x.tf": asLink + "/etc/hosts"}, true},
		"read by name":           {map[string]string{"stacks/web/more.tf": "locals {\n  x = file(\"../../shared/out\")\n}\n", "shared/out": asLink + "/etc/passwd"}, true},
		"in a linked folder":     {map[string]string{"stacks/web/s": asLink + "../../shared", "shared/out": asLink + "/etc/passwd"}, true},
		"beside the playbook":    {map[string]string{"terrace.hcl": ansible, "ansible/files/x": asLink + "/etc/passwd"}, true},
		"elsewhere":              {map[string]string{"shared/out": asLink + "/etc/passwd", "docs/x": asLink + "../../x"}, false},
		"inside":                 {map[string]string{"stacks/web/s": asLink + "../../shared/x"}, false},
		"a playbook that is one": {map[string]string{"terrace.hcl": strings.Replace(ansible, "web.yml", "out.yml", 1), "ansible/out.yml": asLink + "/etc/passwd"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, s := newRepository(t), newSource(t, Options{})
			files := maps.Clone(base)
			maps.Copy(files, c.files)
			head := r.commit("main", "x", files)
			r.fetch(s, "main")
			cfg, diags, err := s.Config(t.Context(), r.dir, head, ".")
			if err != nil {
				t.Fatal(err)
			}
			if diags.HasErrors() != c.bad || (cfg == nil) != c.bad {
				t.Errorf("diagnostics %v", diags)
			}
			_, err = s.AllContents(t.Context(), r.dir, head, ".", "dev")
			if bad := core.CodeOf(err) == core.Invalid; bad != c.bad || !bad && err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSubmodulesCountByTheirCommit(t *testing.T) {
	t.Parallel()
	r, s := newRepository(t), newSource(t, Options{})
	digests := map[string]bool{}
	for _, commit := range []string{strings.Repeat("1", 40), strings.Repeat("2", 40)} {
		head := r.commit("main", "x", map[string]string{"terrace.hcl": defaultConfig, "stacks/web/main.tf": "", "stacks/web/vendor": asSubmodule + commit})
		r.fetch(s, "main")
		digests[contents(t, s, r, head)["web"].Digest] = true
	}
	if len(digests) != 2 {
		t.Error("another commit of a submodule makes no difference")
	}
}

func TestInvalidConfiguration(t *testing.T) {
	t.Parallel()
	r, s := newRepository(t), newSource(t, Options{})
	head := r.commit("main", "x", map[string]string{"terrace.hcl": "project {", "stacks/web/main.tf": ""})
	r.fetch(s, "main")
	cfg, diags, err := s.Config(t.Context(), r.dir, head, "")
	if cfg != nil || !diags.HasErrors() || err != nil {
		t.Errorf("%v, %v, %v", cfg, diags, err)
	}
	if _, err := s.AllContents(t.Context(), r.dir, head, "", "dev"); core.CodeOf(err) != core.Invalid {
		t.Errorf("got %v", err)
	}
}

// What was looked through is remembered over a restart, and a damaged file of it costs
// time, never correctness.
func TestParsesSurviveARestart(t *testing.T) {
	t.Parallel()
	repo := filepath.Join(t.TempDir(), "big.git")
	if err := testkit.BigRepo(t.Context(), repo, 60, 20); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	digests := func() (map[string]string, int) {
		t.Helper()
		s, err := New(dir, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		head, err := s.Fetch(t.Context(), repo, "main")
		if err != nil {
			t.Fatal(err)
		}
		s.parses.has(parseKey{}) // loads
		known := len(s.parses.young)
		all, err := s.AllContents(t.Context(), repo, head, ".", "dev")
		if err != nil {
			t.Fatal(err)
		}
		s.relax() // and what it forgets comes back the same
		again, err := s.AllContents(t.Context(), repo, head, ".", "dev")
		if err != nil || !maps.EqualFunc(all, again, func(a, b Content) bool { return a.Digest == b.Digest }) {
			t.Errorf("after relax: %v", err)
		}
		out := map[string]string{}
		for stack, c := range all {
			out[stack] = c.Digest
		}
		return out, known
	}
	first, known := digests()
	if known != 0 || len(first) != 60 {
		t.Errorf("%d parses known, %d stacks", known, len(first))
	}
	second, all := digests()
	if all == 0 || !maps.Equal(first, second) {
		t.Errorf("%d parses known after a restart", all)
	}
	file := filepath.Join(dir, "parses")
	sound, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"truncated":      sound[:len(sound)/2],
		"empty":          {},
		"only a header":  []byte(parsesHeader),
		"older":          []byte(strings.Replace(string(sound), parsesHeader, "terrace parses 0\n", 1)),
		"a flipped byte": flip(sound, len(sound)/3),
		"rubbish":        []byte(strings.Repeat("\xff\x00rubbish", 1000)),
	} {
		if err := os.WriteFile(file, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if got, known := digests(); !maps.Equal(first, got) || known >= all {
			t.Errorf("%s: %d of %d parses known, digests equal: %t", name, known, all, maps.Equal(first, got))
		}
		if got, known := digests(); !maps.Equal(first, got) || known != all {
			t.Errorf("%s: %d of %d parses known at the next start", name, known, all)
		}
	}
	remove(t, file)
	if err := os.Mkdir(file, 0o700); err != nil { // it cannot be written at all
		t.Fatal(err)
	}
	if got, _ := digests(); !maps.Equal(first, got) {
		t.Error("without a file the digests differ")
	}
}

func flip(b []byte, i int) []byte {
	out := append([]byte(nil), b...)
	out[i] ^= 0x40
	return out
}

func TestParsesAreBounded(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "parses")
	p := newParses(path, 10_000)
	record := strings.Repeat("x", 100)
	for i := range 2000 {
		p.put(parseKey{0, byte(i), byte(i >> 8)}, record)
		if i%50 == 0 {
			p.flush()
		}
	}
	p.flush()
	if n := len(p.young) + len(p.old); n > 200 {
		t.Errorf("%d records in memory", n)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 30_000 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
	again := newParses(path, 10_000)
	if got, ok := again.get(parseKey{0, byte(1999 & 0xff), byte(1999 >> 8)}); !ok || got != record {
		t.Errorf("%q, %t", got, ok)
	}
}

// A thousand stacks: one that changes a module changes exactly its users, and nothing
// large is kept.
func TestManyStacks(t *testing.T) {
	t.Parallel()
	repo := filepath.Join(t.TempDir(), "big.git")
	if err := testkit.BigRepo(t.Context(), repo, 1000, 50); err != nil {
		t.Fatal(err)
	}
	s := newSource(t, Options{})
	all := func() map[string]Content {
		head, err := s.Fetch(t.Context(), repo, "main")
		if err != nil {
			t.Fatal(err)
		}
		all, err := s.AllContents(t.Context(), repo, head, ".", "dev")
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	before := all()
	if err := testkit.CommitFile(t.Context(), repo, "modules/m007/main.tf", testkit.ModuleText(7, 1)); err != nil {
		t.Fatal(err)
	}
	after := all()
	changed := 0
	for stack, c := range after {
		_, uses := c.Parts["module modules/m007"]
		if uses != (c.Digest != before[stack].Digest) {
			t.Errorf("%s: uses the module: %t, changed: %t", stack, uses, c.Digest != before[stack].Digest)
		}
		if uses {
			changed++
		}
	}
	if changed == 0 || changed == len(after) {
		t.Errorf("%d of %d changed", changed, len(after))
	}
	s.relax()
	runtime.KeepAlive(before)
}
