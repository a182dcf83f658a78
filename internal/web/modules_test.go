package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/wire"
)

// What a module's author wrote is text and nothing else.
func TestModulePages(t *testing.T) {
	t.Parallel()
	f := newFake()
	url := serve(t, f)
	if _, body := fetch(t, http.MethodGet, url+"/modules"); !strings.Contains(body, "terrace module add") {
		t.Error("an empty registry does not say what to do")
	}
	const evil = "<script>alert(1)</script>\x1b]8;;javascript:alert(1)\x07"
	f.do(func() {
		f.modules = []wire.ShownModule{{
			Module: wire.Module{Address: "team/vpc/aws", Source: "modules.example.com/team/vpc/aws", Repo: "https://git.example.com/vpc.git", Path: ".", Newest: "1.2.0",
				Versions: []wire.ModuleVersion{{Version: "1.2.0", Tag: "v1.2.0", Commit: strings.Repeat("a", 40), Moved: strings.Repeat("b", 40)}, {Version: "1.1.0", Tag: "v1.1.0", Gone: true}}},
			Version: "1.2.0",
			Docs: wire.ModuleDocs{Readme: "A network. " + evil, Inputs: []wire.ModuleInput{{Name: "cidr", Type: "string", Required: true, Description: evil}, {Name: "zones", Type: "number", Default: "3"}},
				Outputs: []wire.ModuleOutput{{Name: "id", Description: "Its ID."}}, Providers: []wire.ModuleRequirement{{Name: "aws", Source: "hashicorp/aws", Version: ">= 5"}},
				Resources: []string{"aws_vpc.main"}, Examples: []wire.ModuleExample{{Name: "simple", Code: `module "vpc" {}` + evil}}, Trouble: []string{"broken.tf:1"}},
			Users: []wire.ModuleUse{{Project: "shop", Instance: "network@dev", Module: "team/vpc/aws", Constraint: "~> 1.1", Version: "1.1.0", Applied: "1.1.0", Newest: "1.2.0", Upgrade: true}},
		}}
	})
	for path, want := range map[string][]string{
		"/modules": {`href="/modules/team/vpc/aws"`, "1.2.0"},
		"/modules/team/vpc/aws": {"modules.example.com/team/vpc/aws", "A network. &lt;script&gt;", "required", "hashicorp/aws", "aws_vpc.main", "Example: simple", "broken.tf:1",
			"was moved to bbbbbbbb, which nobody gets", "Its tag is gone", "network@dev", "1.2.0 would touch it", `href="/modules/team/vpc/aws?version=1.1.0"`},
	} {
		resp, body := fetch(t, http.MethodGet, url+path)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", path, resp.Status)
		}
		for _, text := range want {
			if !strings.Contains(body, text) {
				t.Errorf("%s does not say %q", path, text)
			}
		}
		if strings.Contains(body, "<script>alert") || strings.Contains(body, "javascript:") || strings.Contains(body, "\x1b") {
			t.Errorf("%s shows what a module's author wrote as it is", path)
		}
	}
	for _, path := range []string{"/modules/team/dns/aws", "/modules/team/vpc/aws?version=9", "/modules/%3Cscript%3E/b/c"} {
		if resp, body := fetch(t, http.MethodGet, url+path); resp.StatusCode != http.StatusNotFound || strings.Contains(body, "<script>\"") {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}
