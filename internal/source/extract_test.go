package source

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// What could make a parser go down without end is not parsed, and what passes is.
func TestDepth(t *testing.T) {
	t.Parallel()
	file := `x = file("y")` + "\nz = "
	for name, c := range map[string]struct {
		repeat string
		most   int // repetitions that are let pass at most
	}{
		"brackets":    {"[", 500},
		"parentheses": {"(", 500},
		"objects":     {"{a=", 500},
		"templates":   {`"${`, 500},
		"not":         {"!", 2000},
		"minus":       {"- ", 2000},
		"conditions":  {"a?b:", 5000},
		"directives":  {`%{if a}`, 5000},
	} {
		deep := []byte(file + strings.Repeat(c.repeat, 200_000))
		if !tooDeep(deep) {
			t.Errorf("%s: 200,000 of them are parsed", name)
		}
		for _, f := range []form{nativeForm, jsonForm, templateForm} {
			if p := extract(f, append([]byte("file module "), deep...)); p.trouble == "" {
				t.Errorf("%s: no trouble", name)
			}
		}
		// The parser bears what is let pass.
		passes := []byte(file + strings.Repeat(c.repeat, c.most))
		if tooDeep(passes) {
			t.Errorf("%s: %d are too many", name, c.most)
		}
		extract(nativeForm, passes)
		extract(templateForm, passes)
		extract(jsonForm, []byte(`{"module": `+strings.Repeat("[", 490)))
	}
	if tooDeep([]byte(strings.Repeat("# "+strings.Repeat("-", 100)+"\n", 1000))) {
		t.Error("lines in comments are too deep")
	}
}

// Locals and modules that multiply what they mean do not take for ever.
func TestExplosions(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("locals {\n")
	for i := range 30 {
		name := string(rune('a' + i%26))
		b.WriteString("  " + name + strings.Repeat("x", i/26) + ` = true ? "` + strings.Repeat("${local."+string(rune('a'+(i+1)%26))+"}", 50) + `" : "y"` + "\n")
	}
	b.WriteString("  f = file(local.a)\n}\n")
	files := map[string]string{"terrace.hcl": defaultConfig, "stacks/web/main.tf": b.String()}
	var calls strings.Builder
	for i := range 400 {
		calls.WriteString("module \"m" + strings.Repeat("x", i) + "\" {\n  source = \"../MODULE\"\n  v = true ? \"a" + strings.Repeat("/", i%7) + "\" : \"${var.v}/b\"\n}\n")
	}
	for _, m := range []string{"a", "b", "c", "d"} {
		files["modules/"+m+"/main.tf"] = strings.ReplaceAll(calls.String(), "MODULE", string(m[0]+1)) + "variable \"v\" {}\nlocals {\n  x = file(\"${var.v}/" + m + "\")\n}\n"
	}
	files["stacks/web/more.tf"] = strings.ReplaceAll(calls.String(), "../MODULE", "../../modules/a")
	r, s := newRepository(t), newSource(t, Options{})
	head := r.commit("main", "x", files)
	r.fetch(s, "main")
	start := time.Now()
	tree, err := s.Tree(t.Context(), r.dir, head)
	if err != nil {
		t.Fatal(err)
	}
	m := s.pin(r.dir)
	defer s.unpin(m)
	sum, err := newGraph(tree, m, "tofu").summarise("stacks/web")
	if err != nil || len(sum.reads) > maxSummary+1 || len(sum.modules) != 5 {
		t.Errorf("%d reads, %d modules, %v", len(sum.reads), len(sum.modules), err)
	}
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestTemplates(t *testing.T) {
	t.Parallel()
	for src, want := range map[string][]string{
		`"a/b"`:                                  {"a/b"},
		`"${path.module}/x"`:                     {markModule + "/x"},
		`path.root`:                              {markRoot},
		`"${path.cwd}"`:                          {markRoot},
		`local.x`:                                {"\x03x\x03"},
		`local["x"]`:                             {"\x03x\x03"},
		`"${var.y}.json"`:                        {"\x04y\x04.json"},
		`local.x.y`:                              {unknown},
		`data.z.x`:                               {unknown},
		`"${each.key}/x"`:                        {markElement + "/x"},
		`true ? "a" : "b"`:                       {"a", "b"},
		`"${true ? "a" : "b"}-${c ? "d" : "e"}"`: {"a-d", "a-e", "b-d", "b-e"},
		`format("%s/%02d", "a", 1)`:              {unknown},
		`format("%s%%/%v", "a", 1)`:              {"a%/1"},
		`format("%")`:                            {unknown},
		`format("%s")`:                           {unknown},
		`join("-", ["a", "b"], ["c"])`:           {"a-b-c"},
		`join("-", local.list)`:                  {unknown},
		`basename("a/b.tpl")`:                    {"b.tpl"},
		`dirname("${path.module}/a/b")`:          {markModule + "/a"},
		`coalesce("a", var.x)`:                   {"a", "\x04x\x04"},
		`"a\u0001b"`:                             {"a" + unknown + "b"},
		`upper("x")`:                             {unknown},
		`null`:                                   {unknown},
		`7`:                                      {"7"},
		`"%{if a}x%{else}y%{endif}"`:             {"x", "y"},
		`"%{for a in b}x%{endfor}"`:              {unknown},
	} {
		e, diags := hclsyntax.ParseExpression([]byte(src), "", hcl.InitialPos)
		if diags.HasErrors() {
			t.Errorf("%s: %v", src, diags)
			continue
		}
		if got := templates(e); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, want %q", src, got, want)
		}
	}
}

func FuzzExtract(f *testing.F) {
	for _, seed := range []string{
		`module "x" { source = "../y" }`, `locals { a = file("${path.module}/x") }`, `{"module":{"x":[{"source":"./y","a":"${file(\"z\")}"}]}}`,
		"- src: ../a/b\n", `${file("x")}%{for a in b}${templatefile(a, {})}%{endfor}`, `variable "v" { default = "x" }`, "locals {\n a = <<E\n../x\nE\n}",
		`x = fileset("a", "**"), [for k in fileset(path.module, k) : k]`, `{"locals":{"a":"%{if`, "a = \"\x01\x03x\x03\x06y\"",
	} {
		for _, form := range []form{nativeForm, jsonForm, templateForm, yamlForm} {
			f.Add(byte(form), []byte(seed))
		}
	}
	f.Fuzz(func(t *testing.T, f byte, src []byte) {
		p := extract(form(f), src)
		record := p.encode()
		got, ok := decode(record)
		if !ok || got.encode() != record {
			t.Errorf("%q does not come back", record)
		}
		for _, r := range p.reads {
			locate(r.path, "stacks/web")
			for _, d := range substitute(r.path, markVariable, func(string) []string { return []string{"a", "../b"} }) {
				if at := locate(d, "stacks/web"); at.exact && !at.outside && (strings.HasPrefix(at.path, "../") || strings.HasPrefix(at.path, "/")) {
					t.Errorf("%q leads to %q", d, at.path)
				}
			}
		}
	})
}

func FuzzDecode(f *testing.F) {
	p := extract(nativeForm, []byte(`module "x" { source = "../y" }
locals { a = file("${path.module}/x") }`))
	f.Add(p.encode())
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
	f.Fuzz(func(t *testing.T, record string) {
		if p, ok := decode(record); ok && record != "" {
			again, ok := decode(p.encode())
			if !ok || !reflect.DeepEqual(p, again) {
				t.Errorf("%q", record)
			}
		}
	})
}
