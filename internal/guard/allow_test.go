package guard_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/guard"
	"github.com/terrace-cd/terrace/internal/wire"
)

var used = wire.Uses{
	Engine: "tofu", Version: "1.12.6",
	Providers: []wire.UsedProvider{
		{Address: "registry.opentofu.org/hashicorp/random", Version: "3.6.0", Where: []string{"", "module.web"}},
		{Address: "registry.opentofu.org/acme/cloud", Version: "1.0.0", Where: []string{"module.web.module.net"}},
		{Address: "example.com/hashicorp/random", Version: "2.0.0"},
	},
	Modules: []wire.UsedModule{
		{Where: "module.web", Source: "registry.opentofu.org/acme/web/cloud", Written: "acme/web/cloud", Version: "2.1.0"},
		{Where: "module.web.module.net", Source: "git::https://git.example.com/acme/net.git?ref=v1"},
	},
}

// TestAllowedMessages keeps what is said of what a plan may not use as golden files.
func TestAllowedMessages(t *testing.T) {
	t.Parallel()
	const from = "the guardrails, version 3"
	for name, allow := range map[string][]wire.Allow{
		"allow-engine":            {{From: from, Engines: []string{"terraform"}}},
		"allow-version":           {{From: from, EngineVersions: "~> 1.11.0"}},
		"allow-engine-passes":     {{From: from, Engines: []string{"tofu"}, EngineVersions: ">= 1.10, < 2.0"}},
		"allow-provider":          {{From: from, Providers: []string{"registry.opentofu.org/hashicorp/*", "*/other"}}},
		"allow-provider-passes":   {{From: from, Providers: []string{"registry.opentofu.org/*", "example.com/hashicorp/*"}}},
		"allow-module":            {{From: from, Modules: []string{"acme/*"}}},
		"allow-module-passes":     {{From: from, Modules: []string{"acme/web/*", "git::https://git.example.com/acme/net.git"}}},
		"allow-two-have-to-agree": {{From: from, Engines: []string{"tofu"}}, {From: "the guardrails of the organisation", Engines: []string{"terraform"}}},
	} {
		compare(t, name, guard.Allowed("web@production", used, allow))
	}
	if checks := guard.Allowed("web@production", used, []wire.Allow{{From: from}}); checks != nil {
		t.Errorf("nothing is limited, and yet: %+v", checks)
	}
}

func TestModuleSources(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, source string
		allowed         bool
	}{
		{"git::https://github.com/acme/*", "git::https://github.com/acme/net.git", true},
		{"git::https://github.com/acme/*", "git::https://github.com/acme/net.git//modules/a?ref=v1", true},
		{"git::https://github.com/acme/*", "git::https://github.com/Acme/net.git", true},
		{"git::https://github.com/acme/*", "git::https://github.com/acme/../evil/net.git", false},
		{"git::https://github.com/acme/*", "git::https://github.com/acme/%2e%2e/evil/net.git", false},
		{"git::https://github.com/acme/*", "git::https://github.com/acme/%252e%252e/evil/net.git", false},
		{"git::https://github.com/acme/*", `git::https://github.com/acme/..\evil/net.git`, false},
		{"git::https://github.com/acme/*", "git::https://github.com/acme%zz/../x", false},
		{"git::https://github.com/acme/*", "git::https://github.com.evil.example/acme/net.git", false},
		{"git::https://github.com/acme/*", "git::ssh://git@github.com/acme/net.git", false},
		{"git::https://github.com/acme/net.git", "git::https://github.com/acme/net.git?ref=main", true},
		{"acme/*", "example.com/acme/web/cloud", false},
		{"acme/*", "git::https://example.com/acme/web", false},
		{"*", "git::https://example.com/a..b/c", true},
	} {
		checks := guard.Allowed("web@dev", wire.Uses{Modules: []wire.UsedModule{{Where: "module.a", Source: c.source}}}, []wire.Allow{{Modules: []string{c.pattern}}})
		if allowed := checks[0].Verdict == guard.Pass; allowed != c.allowed {
			t.Errorf("%q by %q: %v", c.source, c.pattern, allowed)
		}
	}
}

func compare(t *testing.T, name string, checks []wire.Check) {
	t.Helper()
	var got strings.Builder
	for _, c := range checks {
		_, _ = fmt.Fprintf(&got, "%s: %s: %s\n", c.Verdict, c.Name, c.Message)
	}
	golden(t, name, got.String())
}
