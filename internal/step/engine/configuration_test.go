package engine

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func writeFiles(t testing.TB, files map[string]string) (dir string) {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		file := filepath.Join(root, "stack", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(root, "stack")
}

func read(t testing.TB, files map[string]string) *configuration {
	t.Helper()
	c, err := readConfiguration(Tofu, writeFiles(t, files))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const (
	cloud = "registry.opentofu.org/terrace-cd/democloud"
	sleep = "registry.opentofu.org/hashicorp/time"
	needs = "terraform {\n  required_providers {\n    democloud = {\n      source = \"terrace-cd/democloud\"\n      version = \"~> 1.0\"\n    }\n  }\n}\n"
	uses  = "resource \"democloud_network\" \"n\" {}\n"
)

// Which providers have one configuration, by what the code says.
func TestSingle(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"nothing":                {map[string]string{"a.tf": ""}, nil},
		"builtin":                {map[string]string{"a.tf": `resource "terraform_data" "d" {}`}, nil},
		"none at all":            {map[string]string{"a.tf": needs + uses}, []string{cloud}},
		"implied":                {map[string]string{"a.tf": `data "time_static" "x" {}`}, []string{sleep}},
		"one block":              {map[string]string{"a.tf": needs + uses + `provider "democloud" {}`}, []string{cloud}},
		"one block and another":  {map[string]string{"a.tf": needs + uses + "provider \"democloud\" {}\nresource \"time_sleep\" \"x\" {}"}, []string{sleep, cloud}},
		"one of two has aliases": {map[string]string{"a.tf": needs + uses + "provider \"democloud\" {}\nprovider \"democloud\" {\n  alias = \"x\"\n}\nresource \"time_sleep\" \"x\" {}"}, []string{sleep}},
		"only an alias":          {map[string]string{"a.tf": needs + "provider \"democloud\" {\n  alias = \"x\"\n}\n"}, nil},
		"each":                   {map[string]string{"a.tf": needs + "provider \"democloud\" {\n  for_each = toset([\"a\"])\n}\n"}, nil},
		"chosen by key":          {map[string]string{"a.tf": needs + "resource \"democloud_network\" \"n\" {\n  provider = democloud.x[each.key]\n}\n"}, nil},
		"in a module":            {map[string]string{"a.tf": needs + "module \"m\" { source = \"./m\" }", "m/m.tf": needs + uses}, []string{cloud}},
		"a module's own":         {map[string]string{"a.tf": needs + "module \"m\" { source = \"./m\" }", "m/m.tf": needs + uses + `provider "democloud" {}`}, nil},
		"a module's module's":    {map[string]string{"a.tf": needs + "module \"m\" { source = \"./m\" }", "m/m.tf": needs + "module \"m\" { source = \"../n\" }", "n/n.tf": needs + `provider "democloud" {}`}, nil},
		"configuration aliases":  {map[string]string{"a.tf": strings.Replace(needs, "version ", "configuration_aliases = [democloud.a]\nversion ", 1) + uses}, nil},
		"two names":              {map[string]string{"a.tf": strings.Replace(needs, "required_providers {", "required_providers {\n other = { source = \"terrace-cd/democloud\" }\n", 1) + uses}, nil},
		"other names in modules": {map[string]string{"a.tf": needs + "module \"m\" {\n source = \"./m\"\n providers = { dc = democloud }\n}\nprovider \"democloud\" {}", "m/m.tf": strings.Replace(needs, "democloud = {", "dc = {", 1) + "resource \"dc_network\" \"n\" {}"}, []string{cloud}},
		"an override file":       {map[string]string{"a.tf": needs + `provider "democloud" {}`, "a_override.tf": `provider "democloud" {}`}, nil},
		"json":                   {map[string]string{"a.tf": needs + uses, "b.tf.json": `{"provider":{"democloud":[{"alias":"x"},{}]}}`}, nil},
		"json without alias":     {map[string]string{"a.tf": needs + uses, "b.tf.json": `{"provider":{"democloud":{"tenant":"x"}}}`}, []string{cloud}},
		"json resource":          {map[string]string{"b.tf.json": `{"resource":{"time_sleep":{"x":{"provider":"time"}}}}`}, []string{sleep}},
		"broken":                 {map[string]string{"a.tf": needs + uses, "b.tf": "{"}, nil},
		"unknown kind of block":  {map[string]string{"a.tf": needs + uses, "b.tf": `wormhole "x" {}`}, nil},
		"opentofu's own files":   {map[string]string{"a.tf": needs + uses, "b.tofu": "provider \"democloud\" {\n  alias = \"x\"\n}\n"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := read(t, test.files)
			var got []string
			for _, a := range slices.Sorted(maps.Keys(c.single())) {
				got = append(got, string(a))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// What changes the digest of init's inputs, and what does not.
func TestInputs(t *testing.T) {
	base := map[string]string{
		"a.tf":   needs + uses + "module \"m\" {\n  source = \"./m\"\n  x = 1\n}\nprovider \"democloud\" {\n  tenant = \"a\"\n}\n",
		"m/m.tf": needs + "variable \"x\" {}\nmodule \"r\" {\n  source  = \"git::https://example.com/r.git?ref=v1\"\n}\n",
	}
	sum := func(files map[string]string) string {
		t.Helper()
		s, ok := read(t, files).inputs()
		if !ok {
			t.Errorf("it cannot be said for %v", files)
		}
		return s
	}
	before := sum(base)
	for name, test := range map[string]struct {
		file, from, to string
		same           bool
	}{
		"an input of a module":     {"a.tf", "x = 1", "x = 2", true},
		"a provider's settings":    {"a.tf", `tenant = "a"`, `tenant = "b"`, true},
		"a resource":               {"a.tf", `"n" {}`, `"other" {}`, true},
		"a comment":                {"a.tf", "module", "# comment\nmodule", true},
		"a resource of a builtin":  {"a.tf", uses, uses + "resource \"terraform_data\" \"d\" {}\n", false},
		"another provider":         {"a.tf", uses, "data \"time_static\" \"d\" {}\n", false},
		"a constraint":             {"a.tf", "~> 1.0", "~> 1.1", false},
		"a constraint in a module": {"m/m.tf", "~> 1.0", "~> 1.1", false},
		"a source":                 {"m/m.tf", "ref=v1", "ref=v2", false},
		"a local source":           {"a.tf", "./m", "./m/../m/.", false},
		"a version":                {"m/m.tf", "ref=v1\"", "ref=v1\"\n  version = \"1.0\"", false},
		"a name":                   {"a.tf", `module "m"`, `module "n"`, false},
		"a backend":                {"a.tf", "terraform {", "terraform {\n  backend \"local\" {}\n", false},
		"another block":            {"a.tf", "module", "wormhole \"x\" {}\nmodule", false},
	} {
		files := maps.Clone(base)
		files[test.file] = strings.Replace(files[test.file], test.from, test.to, 1)
		if files[test.file] == base[test.file] {
			t.Fatalf("%s: nothing was replaced", name)
		}
		if got := sum(files) == before; got != test.same {
			t.Errorf("%s: the digest is the same: %v", name, got)
		}
	}
	for name, text := range map[string]string{
		"a computed source":     "module \"x\" { source = var.x }",
		"a computed version":    "module \"x\" {\n source = \"x/y/z\"\n version = local.v\n}",
		"a computed backend":    "terraform {\n backend \"s3\" {\n bucket = var.b\n }\n}",
		"a missing module":      "module \"x\" { source = \"./nowhere\" }",
		"a file that is broken": "module {",
	} {
		if _, ok := read(t, map[string]string{"a.tf": text}).inputs(); ok {
			t.Errorf("%s: there is a digest", name)
		}
	}
}

func TestLockFile(t *testing.T) {
	lock := readLock([]byte(`
provider "registry.opentofu.org/hashicorp/time" {
  version     = "0.14.2"
  constraints = "~> 0.14"
  hashes = [
    "h1:abc=",
    "zh:def",
  ]
}
provider "registry.opentofu.org/hashicorp/only-archives" {
  version = "1.0.0"
  hashes  = ["zh:def"]
}
provider "../../etc/passwd" { version = "1.0.0" }
provider "registry.opentofu.org/hashicorp/bad" { version = "../.." }
`))
	if len(lock) != 2 {
		t.Fatalf("%v", lock)
	}
	for _, test := range []struct {
		name           string
		h1             string
		allowed, known bool
	}{{sleep, "h1:abc=", true, true}, {sleep, "h1:other=", false, true}, {"registry.opentofu.org/hashicorp/only-archives", "h1:abc=", false, false}} {
		if allowed, known := lock[address(test.name)].has(test.h1); allowed != test.allowed || known != test.known {
			t.Errorf("%s %s: %v %v", test.name, test.h1, allowed, known)
		}
	}
	if readLock(nil) != nil || readLock([]byte("{")) != nil {
		t.Error("no lock file is one")
	}
}

func TestAddresses(t *testing.T) {
	for source, want := range map[string]string{
		"": sleep, "time": sleep, "hashicorp/time": sleep, "HashiCorp/Time": sleep, "terrace-cd/democloud": cloud,
		"example.com:8443/a/b": "example.com:8443/a/b", "terraform.io/builtin/terraform": "terraform.io/builtin/terraform",
		"a/b/c/d": "", "../x/y": "", "a//b": "", "a/b;c": "", "exämple.com/a/b": "",
	} {
		if got, ok := addressOf(Tofu, "time", source); string(got) != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", source, got, ok, want)
		}
	}
}

func TestHandshake(t *testing.T) {
	p, err := parseHandshake("1|6|unix|/tmp/plugin1|grpc|\n")
	if err != nil || p.protocol != 6 || p.network != "unix" || p.at != "/tmp/plugin1" {
		t.Errorf("%+v %v", p, err)
	}
	for _, bad := range []string{"", "hello", "1|6|unix|/tmp/x|netrpc|", "1|6|unix|/tmp/x|grpc|certificate", "1|4|unix|/tmp/x|grpc|", "1|x|unix|/tmp/x|grpc", "2|6|unix|/tmp/x|grpc", "1|6|pipe|x|grpc", "1|6|unix||grpc"} {
		if _, err := parseHandshake(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestTransient(t *testing.T) {
	for text, want := range map[string]bool{
		`Get "https://registry.opentofu.org/…": dial tcp: lookup registry.opentofu.org: no such host`: true,
		"net/http: TLS handshake timeout":                     true,
		"the request failed: 503 Service Unavailable":         true,
		"unexpected status code 502":                          true,
		"error reading response: unexpected EOF":              true,
		"read tcp 10.0.0.1:443: connection reset by peer":     true,
		"An argument named \"timeout\" is not expected here.": false,
		"expected status code 200, got 404":                   false,
		"Invalid value: port must be between 500 and 600":     false,
		"no available releases match the given constraints 5": false,
	} {
		if got := transient.MatchString(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(`{"@level":"error","@message":"Error: x","type":"diagnostic","diagnostic":{"severity":"error","summary":"x","detail":"y","range":{"filename":"a.tf","start":{"line":3}},"snippet":{"code":"a\nb","start_line":2}}}`)
	f.Add(`{"@level":"info","@message":"Outputs: 1","type":"outputs","outputs":{"o":{"action":"create"}}}`)
	f.Add("plain")
	f.Add(`{"@level":1}`)
	f.Fuzz(func(t *testing.T, line string) {
		r := &reader{say: func(string) {}, base: "stacks/web"}
		r.line(line)
		s := &Session{o: Options{Engine: Engine{Name: Tofu}}}
		if s.failure("plan", &outcome{reader: r, err: os.ErrClosed}) == nil {
			t.Error("no error")
		}
	})
}

func FuzzModule(f *testing.F) {
	f.Add(needs+uses, true)
	f.Add(`{"terraform":{"required_providers":{"a":{"source":"x/y"}}}}`, false)
	f.Fuzz(func(t *testing.T, text string, native bool) {
		name := "a.tf"
		if !native {
			name = "a.tf.json"
		}
		c := read(t, map[string]string{name: text})
		c.single()
		c.providers()
		c.inputs()
	})
}
