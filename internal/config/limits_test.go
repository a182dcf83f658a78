package config

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

// gitLike is a tree whose files have identities, and that counts what is read.
type gitLike struct {
	files
	reads atomic.Int64
}

func (g *gitLike) BlobID(name string) string {
	// The content is the identity: what git would hash.
	if s, ok := g.files[name]; ok {
		return fmt.Sprintf("%d:%.60s", len(s), s)
	}
	return ""
}

func (g *gitLike) ReadFile(name string) ([]byte, error) {
	g.reads.Add(1)
	return g.files.ReadFile(name)
}

// large is a repository with n stacks, all different.
func large(n int) *gitLike {
	f := files{"terrace.hcl": `project "large" {}
environment "dev" {
  variables = { size = "small", servers = 1 }
}
environment "staging" {
  after     = ["dev"]
  variables = { size = "small", servers = 2 }
}
environment "production" {
  after     = ["staging"]
  variables = { size = "large", servers = 4 }
}
`}
	for i := range n {
		f[fmt.Sprintf("stacks/s%05d/main.tf", i)] = fmt.Sprintf("# stack %d\n", i) + `
variable "size" {
  type = string
}
variable "servers" {
  type        = number
  description = "How many."
}
variable "tags" {
  type    = map(string)
  default = {}
}
module "shared" {
  source  = "../../modules/shared"
  servers = var.servers
}
output "id" {
  value = module.shared.id
}
`
	}
	return &gitLike{files: f}
}

// TestCache: the second loading reads only what changed.
func TestCache(t *testing.T) {
	t.Parallel()
	tree := large(200)
	l := &Loader{Modules: NewModuleCache()}
	load := func() int64 {
		tree.reads.Store(0)
		if _, diags := l.Load(tree, "."); len(diags) > 0 {
			t.Fatal(Render(diags, tree, false))
		}
		return tree.reads.Load()
	}
	if got := load(); got != 201 {
		t.Errorf("the first loading read %d files, want 201", got)
	}
	if got := load(); got != 1 {
		t.Errorf("the second loading read %d files, want terrace.hcl alone", got)
	}
	tree.files["stacks/s00007/main.tf"] = "# now with a default\nvariable \"size\" {}\n"
	if got := load(); got != 2 {
		t.Errorf("after a change in one stack %d files were read, want 2", got)
	}
}

func TestCacheIsBounded(t *testing.T) {
	t.Parallel()
	c := NewModuleCache()
	for i := range 3 * cacheGeneration {
		c.put(fmt.Sprint(i), i)
		if c.get("0") == nil {
			t.Fatalf("what is in use is gone after %d", i)
		}
	}
	if n := len(c.young) + len(c.old); n > 2*cacheGeneration {
		t.Errorf("%d entries are kept", n)
	}
}

// BenchmarkLoad loads 10,000 stacks in three environments.
func BenchmarkLoad(b *testing.B) {
	tree := large(10_000)
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			if cfg, diags := Load(tree, "."); cfg == nil {
				b.Fatal(diags)
			}
		}
	})
	b.Run("cached", func(b *testing.B) {
		l := &Loader{Modules: NewModuleCache()}
		_, _ = l.Load(tree, ".") // fills the cache
		for b.Loop() {
			if cfg, diags := l.Load(tree, "."); cfg == nil {
				b.Fatal(diags)
			}
		}
	})
}

// TestHostile: files that would exhaust the stack, the memory or the patience of a
// server are refused before they are parsed or evaluated.
func TestHostile(t *testing.T) {
	t.Parallel()
	const n = maxOperators + 1
	repeat := strings.Repeat
	header := "project \"p\" {}\nenvironment \"dev\" {\n  variables = "
	const deep = "The file is nested too deeply"
	tests := map[string]struct{ src, want string }{
		"brackets":   {header + repeat("[", n), deep},
		"parens":     {header + repeat("(", n) + "1", deep},
		"braces":     {repeat("a {\n", n), deep},
		"not":        {header + repeat("!", n) + "true\n}\n", deep},
		"minus":      {header + repeat("-", n) + "1\n}\n", deep},
		"plus":       {header + "1" + repeat("+1", n) + "\n}\n", deep},
		"ternary":    {header + repeat("true?1:", n) + "1\n}\n", deep},
		"index":      {header + "a" + repeat("[0]", n) + "\n}\n", deep},
		"splat":      {header + "a" + repeat("[*]", n) + "\n}\n", deep},
		"template":   {header + repeat("\"${", n), deep},
		"directives": {header + "\"" + repeat("%{if true}", 2*maxDirectives) + repeat(" ", harmlessSize) + "\"\n}\n", deep},
		"too large":  {header + "\"" + repeat("a", maxFileSize) + "\"\n}\n", "The file is too large"},
		"loops":      {header + "{ a = [for a in range(1000) : [for b in range(1000) : [for c in range(1000) : a]]] }\n}\n", "Too many loops in one expression"},
		"format":     {header + "{ a = format(\"%999999999s\", \"\") }\n}\n", "Invalid function argument"},
		"indent":     {header + "{ a = indent(999999999, \"a\\nb\") }\n}\n", "Invalid function argument"},
		"not utf-8":  {header + "\"\xff\"\n}\n", "The file is not UTF-8"},
		"zero":       {header + "\"\x00\"\n}\n", ""},
		"one quote":  {header + "\"", ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tree := files{"terrace.hcl": tt.src}
			_, diags := Load(tree, ".")
			if !diags.HasErrors() || tt.want != "" && diags[0].Summary != tt.want {
				t.Errorf("want %q, got:\n%s", tt.want, Render(diags, tree, false))
			}
			if string(Format([]byte(tt.src))) != tt.src && diags[0].Summary == deep {
				t.Errorf("was formatted")
			}
			// The same in a root module and in a var file.
			tree = files{"terrace.hcl": "project \"p\" {}\nenvironment \"dev\" {}\nstack \"web\" {\n  var_files = [\"a.tfvars\"]\n}\n",
				"stacks/web/main.tf": tt.src, "a.tfvars": "a = " + strings.TrimPrefix(tt.src, header)}
			_, diags = Load(tree, ".")
			Render(diags, tree, false)
		})
	}
	for name, src := range map[string]string{
		"brackets": repeat("[", n), "objects": repeat(`{"a":`, n), "type": `{"variable":{"a":{"type":"` + repeat("list(", n) + `"}}}`,
		"default": `{"variable":{"a":{"default":"` + repeat("${", n) + `"}}}`,
	} {
		t.Run("json "+name, func(t *testing.T) {
			t.Parallel()
			tree := files{"terrace.hcl": "project \"p\" {}\nenvironment \"dev\" {}\nstack \"web\" {\n  var_files = [\"a.tfvars.json\"]\n}\n", "stacks/web/main.tf.json": src, "a.tfvars.json": src}
			_, diags := Load(tree, ".")
			Render(diags, tree, false)
		})
	}
}
