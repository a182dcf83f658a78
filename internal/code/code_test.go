package code

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/parity"
	"github.com/terrace-cd/terrace/internal/statefile"
)

// files is a tree in memory.
type files map[string]string

func (f files) ReadFile(name string) ([]byte, error) {
	if text, ok := f[name]; ok {
		return []byte(text), nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (f files) Files() ([]string, error) { return slices.Sorted(maps.Keys(f)), nil }

func open(t testing.TB, tree files, variables map[string]cty.Value, state string) *Stack {
	t.Helper()
	r, err := NewReader(tree, "tofu")
	if err != nil {
		t.Fatal(err)
	}
	if state == "" {
		state = "{}"
	}
	f, err := statefile.Read([]byte(state))
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Open("stack", variables, f)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const state = `{"resources": [
  {"mode": "managed", "type": "cloud_server", "name": "web", "instances": [
    {"index_key": 0, "attributes": {"id": "srv-0", "size": "small", "key": "secret", "tags": {"a": "x"}}, "sensitive_attributes": [[{"type": "get_attr", "value": "key"}]]},
    {"index_key": 1, "attributes": {"id": "srv-1", "size": "small", "key": "secret", "tags": {"a": "x"}}}]},
  {"mode": "managed", "type": "cloud_host", "name": "h", "instances": [
    {"index_key": "a.b", "attributes": {"id": "h-a"}}, {"index_key": "c", "attributes": {"id": "h-c"}}]},
  {"mode": "data", "type": "cloud_image", "name": "base", "instances": [{"attributes": {"id": "img-1"}}]},
  {"mode": "managed", "type": "cloud_thing", "name": "t", "instances": [{"attributes": {"id": "t-1"}}]}]}`

// Each expression of one attribute gives a value, and follows from some roots.
func TestExpressions(t *testing.T) {
	t.Parallel()
	const unknown = "(unknown)"
	for expression, want := range map[string]struct {
		value any
		roots string
	}{
		`"plain"`:                            {"plain", ""},
		`var.size`:                           {"large", "var.size"},
		`"x-${var.size}-${var.count}"`:       {"x-large-2", "var.count var.size"},
		`var.count > 1 ? "many" : "one"`:     {"many", "var.count"},
		`var.fallback`:                       {"default", "var.fallback"},
		`local.a`:                            {"large!", "var.size"},
		`local.map.one`:                      {"large", "var.size"},
		`local.map["two"]`:                   {"fixed", ""},
		`local.map`:                          {map[string]any{"one": "large", "two": "fixed"}, "var.size"},
		`local.self`:                         {unknown, ""},
		`var.object.deep.er`:                 {"x", "var.object.deep.er"},
		`cloud_server.web[*].id`:             {[]any{"srv-0", "srv-1"}, "cloud_server.web.id"},
		`cloud_server.web[1].id`:             {"srv-1", "cloud_server.web[1].id"},
		`cloud_server.web[var.count - 1].id`: {"srv-1", "cloud_server.web.id var.count"},
		`[for s in cloud_server.web : "${s.id}/${s.tags.a}"]`:       {[]any{"srv-0/x", "srv-1/x"}, "cloud_server.web.# cloud_server.web.id cloud_server.web.tags.a"},
		`{ for k, h in cloud_host.h : k => h.id if k != var.size }`: {map[string]any{"a.b": "h-a", "c": "h-c"}, "cloud_host.h.# cloud_host.h.id var.size"},
		`cloud_host.h["a.b"].id`:                                    {"h-a", `cloud_host.h["a.b"].id`},
		`data.cloud_image.base.id`:                                  {"img-1", "data.cloud_image.base.id"},
		`cloud_server.absent.id`:                                    {unknown, "cloud_server.absent.id"},
		`length(cloud_server.web)`:                                  {json.Number("2"), "cloud_server.web"},
		`cidrsubnet("10.0.0.0/16", 8, var.count)`:                   {"10.0.2.0/24", "var.count"},
		`cidrhost("10.0.0.0/24", -2)`:                               {"10.0.0.254", ""},
		`templatefile("x", { s = var.size })`:                       {unknown, "var.size"},
		`timestamp()`:                                               {unknown, ""},
		`module.pool.size`:                                          {"LARGE", "var.size"},
		`module.pool.id`:                                            {unknown, "module.pool.cloud_server.inner.id"},
		`module.many["a"].size`:                                     {"A-LARGE", "var.size"},
		`module.elsewhere.x`:                                        {unknown, "?module.elsewhere var.size"},
		`path.module`:                                               {".", ""},
		`sensitive(var.size)`:                                       {"large", "var.size"},
		`{ (var.size) = 1 }`:                                        {map[string]any{"large": json.Number("1")}, "var.size"},
		`jsonencode({ a = [var.count] })`:                           {`{"a":[2]}`, "var.count"},
		`sum([var.count, 1])`:                                       {json.Number("3"), "var.count"},
		`one([])`:                                                   {nil, ""},
		`var.nobody`:                                                {unknown, "var.nobody"},
		`self.id`:                                                   {unknown, ""},
		`this is not valid because of nothing ? 1 : 2`:              {unknown, ""},
		`try(cloud_server.web[7].id, "none")`:                       {"none", "cloud_server.web[7].id"},
		`[for i in range(3) : i]`:                                   {[]any{json.Number("0"), json.Number("1"), json.Number("2")}, ""},
		`merge(var.object, { b = 1 })`:                              {map[string]any{"b": json.Number("1"), "deep": map[string]any{"er": "x"}}, "var.object"},
		`"%{for s in cloud_server.web}${s.id};%{endfor}"`:           {"srv-0;srv-1;", "cloud_server.web.# cloud_server.web.id"},
		`(cloud_server.web)[0].id`:                                  {"srv-0", "cloud_server.web[0].id"},
		`[for a in [for b in [for c in range(1000) : c] : b] : a]`:  {unknown, ""},
		`cloud_server.web[*].tags.a`:                                {[]any{"x", "x"}, "cloud_server.web.tags.a"},
		`values({ for k, v in { a = var.size } : k => v })[0]`:      {"large", "var.size"},
		`join(",", [for k in sort(keys(var.object)) : k])`:          {"deep", "var.object"},
	} {
		t.Run(expression, func(t *testing.T) {
			t.Parallel()
			tree := files{"stack/main.tf": `
variable "size" {}
variable "count" { type = number }
variable "fallback" { default = "default" }
variable "object" {}
locals {
  a    = "${var.size}!"
  map  = { one = var.size, two = "fixed" }
  self = local.other
  other = local.self
}
resource "cloud_server" "web" { count = 2 }
resource "cloud_host" "h" { for_each = toset(["a.b", "c"]) }
data "cloud_image" "base" {}
module "pool" {
  source = "../modules/pool"
  size   = var.size
}
module "many" {
  for_each = { a = "A-${var.size}" }
  source   = "../modules/pool"
  size     = each.value
}
module "elsewhere" {
  source = "acme/x/y"
  in     = var.size
}
resource "cloud_thing" "t" {
  x = ` + expression + `
}
`, "modules/pool/main.tf": `
variable "size" { type = string }
resource "cloud_server" "inner" {}
output "size" { value = upper(var.size) }
output "id" { value = cloud_server.inner.id }
`}
			if strings.Contains(expression, "not valid") {
				tree["stack/main.tf"] = strings.Replace(tree["stack/main.tf"], expression, "bogus_function(1)", 1)
			}
			s := open(t, tree, map[string]cty.Value{"size": cty.StringVal("large"), "count": cty.StringVal("2"),
				"object": cty.ObjectVal(map[string]cty.Value{"deep": cty.ObjectVal(map[string]cty.Value{"er": cty.StringVal("x")})})}, state)
			if !s.Writes("cloud_thing.t", "x") || s.Writes("cloud_thing.t", "y") || s.Writes("cloud_thing.u", "x") {
				t.Error("what is written is not known")
			}
			e := s.Expression("cloud_thing.t", "x")
			got := e.Value
			if _, ok := got.(parity.Unknown); ok {
				got = unknown
			}
			if diff := cmp.Diff(want.value, got); diff != "" {
				t.Errorf("value (-want +got)\n%s", diff)
			}
			var roots []string
			for _, r := range e.Roots {
				text := strings.Trim(r.Name+"."+r.Path, ".")
				switch r.Kind {
				case parity.RootVariable:
					text = "var." + text
				case parity.RootOpaque:
					text = "?" + text
				case parity.RootResource:
				}
				roots = append(roots, text)
			}
			slices.Sort(roots)
			if got := strings.Join(roots, " "); got != want.roots {
				t.Errorf("roots %q, want %q", got, want.roots)
			}
		})
	}
}

// Parts of a value have roots of their own, as far as they are written apart.
func TestParts(t *testing.T) {
	t.Parallel()
	s := open(t, files{"stack/main.tf": `
variable "a" {}
variable "b" {}
locals {
  tags = { Name = var.a, "x.y" = var.b }
}
resource "cloud_thing" "t" {
  tags = local.tags
  list = [var.a, { deep = var.b }]
  both = merge(local.tags, { z = 1 })
}`}, nil, state)
	for path, want := range map[string]string{"tags:Name": "a", "tags:x.y": "b", "tags:": "a b", "list:[0]": "a", "list:[1].deep": "b", "both:Name": "a b"} {
		name, rest, _ := strings.Cut(path, ":")
		var got []string
		for _, r := range s.Expression("cloud_thing.t", name).In(rest) {
			got = append(got, r.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

func TestSensitiveSpreads(t *testing.T) {
	t.Parallel()
	s := open(t, files{"stack/main.tf": `
variable "password" {
  type      = string
  sensitive = true
}
resource "cloud_server" "web" { count = 2 }
resource "cloud_thing" "t" {
  a = "x${var.password}"
  b = cloud_server.web[0].key
  c = cloud_server.web[0].size
  d = nonsensitive(var.password)
  nested { e = var.password }
}`}, map[string]cty.Value{"password": cty.StringVal("x")}, state)
	for name, want := range map[string]bool{"a": true, "b": true, "c": false, "d": false, "nested": true} {
		if got := s.Expression("cloud_thing.t", name).Sensitive; got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if !s.Variables()["password"].Sensitive {
		t.Error("the variable is not")
	}
}

func TestBlocksAndKeys(t *testing.T) {
	t.Parallel()
	s := open(t, files{"stack/main.tf": `
variable "ports" { default = [80, 443] }
variable "n" { default = 2 }
resource "cloud_thing" "t" {
  rule { port = 22 }
  dynamic "rule" {
    for_each = var.ports
    iterator = p
    content {
      port = p.value
      key  = p.key
      dynamic "from" {
        for_each = ["a"]
        content { name = "${from.value}-${p.value}" }
      }
    }
  }
  lifecycle { ignore_changes = [rule] }
}
resource "cloud_many" "m" { count = var.n }
resource "cloud_none" "n" { count = 0 }
resource "cloud_unclear" "u" { count = length(templatefile("x", {})) }
module "m" {
  for_each = toset(["x", "y"])
  source   = "./m"
  n        = var.n
}`, "stack/m/main.tf": `
variable "n" {}
resource "cloud_inner" "i" { count = var.n }`}, nil, state)
	e := s.Expression("cloud_thing.t", "rule")
	number := func(n string) json.Number { return json.Number(n) }
	want := []any{map[string]any{"port": number("22")},
		map[string]any{"port": number("80"), "key": number("0"), "from": []any{map[string]any{"name": "a-80"}}},
		map[string]any{"port": number("443"), "key": number("1"), "from": []any{map[string]any{"name": "a-443"}}}}
	if diff := cmp.Diff(any(want), e.Value); diff != "" || !e.Blocks || s.Writes("cloud_thing.t", "lifecycle") {
		t.Errorf("%v %s", e.Blocks, diff)
	}
	if len(e.Roots) != 1 || e.Roots[0].Name != "ports" {
		t.Error(e.Roots)
	}
	for block, want := range map[string]string{"cloud_many.m": "cloud_many.m[0] cloud_many.m[1]", "cloud_none.n": "", "cloud_thing.t": "cloud_thing.t",
		"module.m.cloud_inner.i": `module.m["x"].cloud_inner.i[0] module.m["x"].cloud_inner.i[1] module.m["y"].cloud_inner.i[0] module.m["y"].cloud_inner.i[1]`} {
		keys := s.Keys(block)
		if got := strings.Join(slices.Sorted(maps.Keys(keys.Addresses)), " "); !keys.Known || got != want {
			t.Errorf("%s: %v %s", block, keys.Known, got)
		}
		if _, ok := s.Block(block); !ok {
			t.Errorf("%s is not there", block)
		}
	}
	if s.Keys("cloud_unclear.u").Known {
		t.Error("what cannot be evaluated is known")
	}
	for _, absent := range []string{"cloud_no.x", "module.m.cloud_no.x", "module.no.cloud_no.x", "module.m", ""} {
		if _, ok := s.Block(absent); ok {
			t.Errorf("%q is there", absent)
		}
	}
}

// The same code in JSON, and changed by an override file, says the same.
func TestJSONAndOverrides(t *testing.T) {
	t.Parallel()
	s := open(t, files{"stack/main.tf.json": `{"variable": {"a": {}, "b": {}}, "resource": {"cloud_thing": {"t": {"x": "${var.a}", "y": "fixed", "count": 1}}}}`,
		"stack/z_override.tf": `resource "cloud_thing" "t" {
  y = var.b
}`}, map[string]cty.Value{"a": cty.StringVal("A"), "b": cty.StringVal("B")}, `{"resources":[{"mode":"managed","type":"cloud_thing","name":"t","instances":[{"index_key":0,"attributes":{}}]}]}`)
	for name, want := range map[string]string{"x": "A", "y": "B"} {
		if e := s.Expression("cloud_thing.t[0]", name); e.Value != want || len(e.Roots) != 1 {
			t.Errorf("%s: %v %v", name, e.Value, e.Roots)
		}
	}
	if !s.Keys("cloud_thing.t").Addresses["cloud_thing.t[0]"] {
		t.Error(s.Keys("cloud_thing.t"))
	}
}

func TestProviders(t *testing.T) {
	t.Parallel()
	s := open(t, files{"stack/main.tf": `
variable "region" {}
provider "cloud" { region = var.region }
provider "cloud" {
  alias  = "west"
  region = "w"
}
resource "cloud_a" "a" {}
resource "cloud_b" "b" { provider = cloud.west }
module "m" {
  source    = "./m"
  providers = { cloud = cloud.west }
}`, "stack/m/main.tf": `resource "cloud_c" "c" {}`}, map[string]cty.Value{"region": cty.StringVal("e")}, "")
	for address, want := range map[string]any{"cloud_a.a": "e", "cloud_b.b": "w", "module.m.cloud_c.c": "w"} {
		found := false
		for name, e := range s.Given(address) {
			found = found || strings.HasSuffix(name, ": region") && e.Value == want
		}
		if !found {
			t.Errorf("%s: %v", address, s.Given(address))
		}
	}
}

// Code that multiplies what it means comes to an end, soon and in little memory.
func TestExplosions(t *testing.T) {
	t.Parallel()
	var doubling, calls strings.Builder
	for i := range 60 {
		_, _ = fmt.Fprintf(&doubling, "locals {\n l%d = \"%s\"\n}\n", i, strings.Repeat(fmt.Sprintf("${local.l%d}", i+1), 40))
	}
	doubling.WriteString("locals {\n l60 = \"0123456789\"\n}\n")
	for i := range 200 {
		_, _ = fmt.Fprintf(&calls, "module \"m%d\" {\n source = \".\"\n count = 4000\n}\n", i)
	}
	for name, text := range map[string]string{
		"strings": doubling.String() + "resource \"cloud_thing\" \"t\" {\n x = local.l0\n}\n",
		"loops":   "resource \"cloud_thing\" \"t\" {\n x = [for a in range(1000) : [for b in range(1000) : \"${join(\"\", [for c in range(1000) : \"long\"])}\"]]\n}\n",
		"modules": calls.String() + "resource \"cloud_thing\" \"t\" {\n x = 1\n}\n",
		"counts":  "resource \"cloud_thing\" \"t\" {\n count = 1000000000\n}\n",
		"format":  "resource \"cloud_thing\" \"t\" {\n x = format(\"%999999999d\", 1)\n}\n",
	} {
		started := time.Now()
		s := open(t, files{"stack/main.tf": text}, nil, state)
		s.Expression("cloud_thing.t", "x")
		s.Keys("cloud_thing.t")
		s.Keys("module.m0.module.m1.module.m2.cloud_thing.t")
		if took := time.Since(started); took > 20*time.Second {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func TestUnreadable(t *testing.T) {
	t.Parallel()
	for name, tree := range map[string]files{"nothing": {}, "broken": {"stack/main.tf": "resource {"}, "deep": {"stack/main.tf": "x = " + strings.Repeat("[", 100_000)}} {
		r, err := NewReader(tree, "tofu")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Open("stack", nil, statefile.File{}); core.CodeOf(err) != core.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzCode(f *testing.F) {
	f.Add(`resource "cloud_thing" "t" { x = var.a }`)
	f.Add(`locals { a = [for x in cloud_server.web : x.id...] }` + "\n" + `resource "cloud_thing" "t" { x = local.a[*] }`)
	f.Add(`module "m" { source = "." }` + "\n" + `resource "cloud_thing" "t" { x = module.m[*].y["z"] }`)
	f.Add("variable \"x\" {\n  type = object({ a = optional(string, \"b\") })\n  default = {}\n}\nresource \"cloud_thing\" \"t\" {\n dynamic \"x\" {\n for_each = var.x\n content {\n y = x.value\n}\n}\n}")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := NewReader(files{"stack/main.tf": text}, "tofu")
		if err != nil {
			t.Fatal(err)
		}
		parsed, err := statefile.Read([]byte(state))
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.Open("stack", map[string]cty.Value{"a": cty.StringVal("A")}, parsed)
		if err != nil {
			return
		}
		s.Variables()
		for address := range parsed.Instances() {
			s.Keys(statefile.WithoutKeys(address))
			s.Given(address)
			for _, name := range []string{"x", "id", "name"} {
				if e := s.Expression(address, name); e.In != nil {
					e.In("a.b[0]")
				}
			}
		}
		for name := range s.root.module.outputs {
			s.Output(name)
		}
	})
}
