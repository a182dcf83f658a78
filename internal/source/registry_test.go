package source

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestRegistryAddress(t *testing.T) {
	t.Parallel()
	for source, want := range map[string]string{
		"modules.example.com/team/vpc/aws":               "modules.example.com team/vpc/aws ",
		"Modules.Example.com:8443/team/vpc/aws//subnets": "modules.example.com:8443 team/vpc/aws subnets",
		"localhost/team/vpc/aws":                         "localhost team/vpc/aws ",
		"127.0.0.1:8750/team/vpc/aws":                    "127.0.0.1:8750 team/vpc/aws ",
		"team/vpc/aws":                                   "",
		"./team/vpc/aws":                                 "",
		"../team/vpc/aws":                                "",
		"github.com/team/vpc/aws":                        "",
		"modules.example.com/team/vpc":                   "",
		"modules.example.com/team/vpc/aws/more":          "",
		"modules.example.com/team/vpc/AWS":               "",
		"modules.example.com/../vpc/aws":                 "",
		"git::https://example.com/team/vpc/aws":          "",
		"https://example.com/team/vpc/aws":               "",
		"modules.example.com/te\x04am\x04/vpc/aws":       "",
		"": "",
	} {
		host, module, folder, ok := RegistryAddress(source)
		got := ""
		if ok {
			got = host + " " + module + " " + folder
		}
		if got != want {
			t.Errorf("%q is %q, want %q", source, got, want)
		}
	}
}

// Calls are found in the stack's code and in the local modules it leads to, also in JSON, and
// with constraints that locals and defaults give.
func TestRegistryCalls(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	head := r.commit("main", "A stack", map[string]string{
		"net/main.tf": `
locals {
  wanted = "~> 2.0"
}
module "vpc" {
  source  = "modules.example.com/team/vpc/aws"
  version = "~> 1.2"
}
module "dns" {
  source  = "modules.example.com/team/dns/aws//zone"
  version = local.wanted
}
module "any" {
  source = "modules.example.com/team/any/aws"
}
module "later" {
  source  = "modules.example.com/team/later/aws"
  version = var.later
}
module "public" {
  source = "terraform-aws-modules/vpc/aws"
}
module "local" {
  source = "../modules/wrapped"
}
`,
		"modules/wrapped/main.tf.json": `{"module": {"inner": {"source": "modules.example.com/team/inner/aws", "version": "1.0.0"}}}`,
		"none/main.tf":                 `resource "x" "y" {}`,
	})
	r.fetch(newSource(t, Options{}), "main")
	s := newSource(t, Options{})
	for range 2 { // what was looked through is remembered the second time
		r.fetch(s, "main")
		calls, err := s.RegistryCalls(t.Context(), r.dir, head, "tofu", []string{"net", "none"})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range calls["net"] {
			got = append(got, fmt.Sprintf("%s %s|%s|%s|%t %s:%d", c.Host, c.Module, c.Folder, c.Constraint, c.Known, c.Path, c.Line))
		}
		slices.Sort(got)
		want := []string{
			"modules.example.com team/any/aws|||true net/main.tf:14",
			"modules.example.com team/dns/aws|zone|~> 2.0|true net/main.tf:10",
			"modules.example.com team/inner/aws||1.0.0|true modules/wrapped/main.tf.json:1",
			"modules.example.com team/later/aws|||false net/main.tf:17",
			"modules.example.com team/vpc/aws||~> 1.2|true net/main.tf:6",
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("calls (-want +got):\n%s", d)
		}
		if len(calls["none"]) != 0 {
			t.Errorf("a stack without modules calls %v", calls["none"])
		}
		s.parses.flush()
		s.relax()
	}
}

// A tag keeps its commit in the mirror when it moves, or goes, on the remote.
func TestTags(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	first := r.commit("main", "One", map[string]string{"main.tf": "# one"})
	r.git("", "tag", "v1.0.0", first)
	r.git("", "tag", "-a", "-m", "annotated", "vpc/v1.1.0", first)
	blob := r.git("text", "hash-object", "-w", "--stdin")
	r.git("", "update-ref", "refs/tags/blob", blob)
	s := newSource(t, Options{})
	tags, err := s.Tags(t.Context(), r.dir)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"v1.0.0": first, "vpc/v1.1.0": first, "blob": blob}, tags); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	brought, err := s.BringTags(t.Context(), r.dir, slices.Sorted(maps.Keys(tags)))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"v1.0.0": first, "vpc/v1.1.0": first}, brought); d != "" {
		t.Errorf("brought (-want +got):\n%s", d)
	}
	second := r.commit("main", "Two", map[string]string{"main.tf": "# two"}, []string{}...)
	r.git("", "tag", "--force", "v1.0.0", second)
	r.git("", "tag", "-d", "vpc/v1.1.0")
	r.git("", "gc", "--prune=now", "--quiet")
	if tags, err = s.Tags(t.Context(), r.dir); err != nil || tags["v1.0.0"] != second || tags["vpc/v1.1.0"] != "" {
		t.Errorf("tags are %v (%v)", tags, err)
	}
	if p, err := s.Package(t.Context(), r.dir, first, "."); err != nil || !strings.Contains(contentOf(t, p)["main.tf"], "one") {
		t.Errorf("the first commit is not kept: %v", err)
	}
	third := r.commit("main", "Three", map[string]string{"main.tf": "# three"}, []string{}...)
	r.git("", "tag", "-a", "-m", "annotated", "v3.0.0", third)
	r.git("", "update-ref", "refs/heads/main", second)
	other := newSource(t, Options{}) // with nothing yet
	if err := other.BringVersion(t.Context(), r.dir, third, "v3.0.0"); err != nil || !other.has(r.dir, third) {
		t.Errorf("the commit of an annotated tag cannot be had: %v", err)
	}
	if err := other.BringVersion(t.Context(), r.dir, first, "v1.0.0"); core.CodeOf(err) != core.NotFound {
		t.Errorf("a commit that is gone: %v", err)
	}
	for _, bad := range []string{"--upload-pack=x", "a..b", "x^{}", "a b", "a:b", ""} {
		if _, err := s.BringTags(t.Context(), r.dir, []string{bad}); core.CodeOf(err) != core.Invalid {
			t.Errorf("the tag %q is let through: %v", bad, err)
		}
	}
	if _, err := s.Tags(t.Context(), "ext::sh -c x"); core.CodeOf(err) != core.Invalid {
		t.Errorf("a command is let through: %v", err)
	}
}

// contentOf unpacks an archive.
func contentOf(t *testing.T, p Package) map[string]string {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(p.Archive))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for archive := tar.NewReader(unzipped); ; {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if head.Typeflag != tar.TypeReg {
			t.Errorf("%s is a %c", head.Name, head.Typeflag)
		}
		mode := ""
		if head.Mode&0o100 != 0 {
			mode = "x "
		}
		out[head.Name] = mode + string(content)
	}
}

func TestPackage(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	head := r.commit("main", "Modules", map[string]string{
		"alone/main.tf":              `resource "x" "y" { value = file("${path.module}/text") }`,
		"alone/text":                 "text",
		"alone/run.sh":               asProgram + "#!/bin/sh",
		"alone/linked":               asLink + "../shared",
		"alone/dangling":             asLink + "nowhere",
		"alone/examples/one/main.tf": `module "it" { source = "../.." }`,
		"shared/a":                   "a",
		"shared/deep/b":              "b",
		"siblings/main.tf":           `module "s" { source = "../alone" }`,
		"deeper/main.tf":             `module "s" { source = "./in" }`,
		"deeper/in/main.tf":          `output "o" { value = file("${path.module}/../../shared/a") }`,
		"leaves/main.tf":             "",
		"leaves/passwd":              asLink + "/etc/passwd",
		"up/main.tf":                 "",
		"up/link":                    asLink + "../../secret",
		"circles/main.tf":            "",
		"circles/l/1":                asLink + ".",
		"circles/l/2":                asLink + ".",
		"circles/l/3":                asLink + ".",
		"circles/l/4":                asLink + ".",
		"empty/README.md":            "nothing",
	})
	s := newSource(t, Options{})
	r.fetch(s, "main")
	p, err := s.Package(t.Context(), r.dir, head, "alone")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"main.tf": `resource "x" "y" { value = file("${path.module}/text") }`, "text": "text", "run.sh": "x #!/bin/sh",
		"linked/a": "a", "linked/deep/b": "b", "examples/one/main.tf": `module "it" { source = "../.." }`,
	}
	if d := cmp.Diff(want, contentOf(t, p)); d != "" || p.Folder != "" {
		t.Errorf("the folder is %q, its files (-want +got):\n%s", p.Folder, d)
	}
	again := newSource(t, Options{})
	r.fetch(again, "main")
	if q, err := again.Package(t.Context(), r.dir, head, "alone"); err != nil || !bytes.Equal(p.Archive, q.Archive) {
		t.Errorf("the same folder gives another archive (%v)", err)
	}
	for _, dir := range []string{"leaves", "up", "circles", "empty", "nowhere"} {
		if _, err := s.Package(t.Context(), r.dir, head, dir); core.CodeOf(err) != core.Invalid {
			t.Errorf("%s can be packed: %v", dir, err)
		}
	}
	if _, err := s.Package(t.Context(), r.dir, head, "siblings"); core.CodeOf(err) != core.Invalid {
		t.Errorf("the whole repository has links that leave it, and is packed: %v", err)
	}
	clean := r.commit("main", "Nothing leaves", map[string]string{
		"alone/main.tf": "", "siblings/main.tf": `module "s" { source = "../alone" }`, "shared/a": "a",
		"deeper/main.tf": `module "s" { source = "./in" }`, "deeper/in/main.tf": `output "o" { value = file("${path.module}/../../shared/a") }`,
	})
	r.fetch(s, "main")
	for _, dir := range []string{"siblings", "deeper"} {
		p, err := s.Package(t.Context(), r.dir, clean, dir)
		if err != nil {
			t.Fatal(err)
		}
		if files := contentOf(t, p); p.Folder != dir || len(files) != 5 {
			t.Errorf("%s is in %q of %d files", dir, p.Folder, len(files))
		}
	}
}

// A module that is too large is refused before it is packed.
func TestPackageIsBounded(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	large := strings.Repeat("0123456789abcdef", 1<<20) // 16 MiB
	files := map[string]string{"main.tf": ""}
	for i := range 5 {
		files[fmt.Sprint("large-", i)] = large
	}
	head := r.commit("main", "Large", files)
	s := newSource(t, Options{})
	r.fetch(s, "main")
	if _, err := s.Package(t.Context(), r.dir, head, "."); core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), "64 MiB") {
		t.Errorf("80 MiB are packed: %v", err)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	r := newRepository(t)
	loops := strings.Repeat("[for a in [1,2,3,4,5,6,7,8,9,0] : ", 30) + `"x"` + strings.Repeat("]", 30)
	head := r.commit("main", "A module", map[string]string{
		"vpc/README.md": "# VPC\n<script>alert(1)</script>\x1b[2J",
		"vpc/main.tf": `
terraform {
  required_providers {
    aws  = { source = "hashicorp/aws", version = ">= 5.0" }
    null = "~> 3"
  }
}
variable "cidr" {
  type        = string
  description = "The network."
}
variable "zones" {
  type      = list(object({ name = string }))
  default   = [{ name = "a" }]
  sensitive = true
}
variable "slow" {
  description = ` + loops + `
}
resource "aws_vpc" "main" {}
data "aws_region" "here" {}
module "inner" {
  source  = "./inner"
}
`,
		"vpc/outputs.tf.json":           `{"output": {"id": {"value": "${aws_vpc.main.id}", "description": "Its ${ID}.", "sensitive": true}}}`,
		"vpc/broken.tf":                 `variable "x" {`,
		"vpc/examples/simple/main.tf":   `module "vpc" { source = "../.." }`,
		"vpc/examples/simple/README.md": "Simple.",
		"vpc/examples/notes.md":         "no example",
	})
	s := newSource(t, Options{})
	r.fetch(s, "main")
	d, err := s.Describe(t.Context(), r.dir, head, "vpc")
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Trouble) != 1 || !strings.Contains(d.Trouble[0], "broken.tf") {
		t.Errorf("trouble: %q", d.Trouble)
	}
	d.Trouble = nil
	d.Inputs = slices.DeleteFunc(d.Inputs, func(in Input) bool { return in.Name == "x" })
	want := Description{
		Readme: "# VPC\n<script>alert(1)</script>\x1b[2J",
		Inputs: []Input{
			{Name: "cidr", Type: "string", About: "The network.", Required: true},
			{Name: "slow", Type: "any", Required: true},
			{Name: "zones", Type: "list(object({ name = string }))", Default: `[{ name = "a" }]`, Sensitive: true},
		},
		Outputs:   []Output{{Name: "id", About: "Its ${ID}.", Sensitive: true}},
		Providers: []Requirement{{"aws", "hashicorp/aws", ">= 5.0"}, {"null", "", "~> 3"}},
		Resources: []string{"aws_vpc.main", "data.aws_region.here"},
		Calls:     []Requirement{{"inner", "./inner", ""}},
		Examples:  []Example{{Name: "simple", Readme: "Simple.", Code: "# main.tf\n" + `module "vpc" { source = "../.." }`}},
	}
	if diff := cmp.Diff(want, d); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
}
