package law

import (
	"fmt"
	"slices"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/policy"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Repository is what the policies of a repository are called among the checks.
const Repository = "policies"

// uses are the sources that the guardrails' policies and allow blocks are.
func uses(g *config.Guardrails, project, environment string) []Source {
	var out []Source
	for _, p := range g.PoliciesOf(project, environment) {
		from := fmt.Sprintf("the guardrails (policy %q)", p.Name)
		out = append(out, Source{From: from, Environment: config.Environment{Name: environment}, Firm: true, Policies: []wire.Policy{Guardrail(g, p, from)}})
	}
	for _, a := range g.Allowed(project, environment) {
		from := "the guardrails (allow)"
		out = append(out, Source{From: from, Environment: config.Environment{Name: environment}, Firm: true,
			Allow: &wire.Allow{From: from, Engines: a.Engines, EngineVersions: a.EngineVersions, Providers: a.Providers, Modules: a.Modules}})
	}
	return out
}

// Guardrail is a policy of the guardrails as it judges, without its tests.
func Guardrail(g *config.Guardrails, p config.Policy, from string) wire.Policy {
	out := wire.Policy{Name: "policy " + p.Name, From: from, Namespaces: p.Namespaces}
	for _, name := range p.Files {
		if !policy.IsTest(name) {
			out.Files = append(out.Files, wire.PolicyFile{Path: name, Text: g.Bundle[name]})
		}
	}
	return out
}

// PoliciesOf reads the policies of a configuration, without their tests.
func PoliciesOf(cfg *config.Config, from string) ([]wire.Policy, error) {
	files, err := cfg.PolicyFiles()
	if err != nil || len(files) == 0 {
		return nil, err
	}
	p := wire.Policy{Name: Repository, From: from, Namespaces: cfg.Project.PolicyNamespaces}
	for _, f := range files {
		if !policy.IsTest(f.Path) {
			p.Files = append(p.Files, wire.PolicyFile{Path: f.Path, Text: f.Text})
		}
	}
	return []wire.Policy{p}, nil
}

// Policies are those of every source. What two sources say alike judges once, in the name
// of the first.
func (l Law) Policies() []wire.Policy {
	var out []wire.Policy
	for _, s := range l.Sources {
		for _, p := range s.Policies {
			if !slices.ContainsFunc(out, func(other wire.Policy) bool { return policy.Same(other, p) }) {
				out = append(out, p)
			}
		}
	}
	return out
}

// Allowed is what the sources allow: what is used has to be allowed by each.
func (l Law) Allowed() []wire.Allow {
	var out []wire.Allow
	for _, s := range l.Sources {
		if s.Allow != nil {
			out = append(out, *s.Allow)
		}
	}
	return out
}

// Unjudged are the policies that judge now, when a plan was not judged by exactly them:
// since the runner was told, the guardrails have changed. nil when it was.
func Unjudged(policies []wire.Policy, judged []wire.Judged) []wire.Policy {
	var have []string
	for _, j := range judged {
		have = append(have, j.Digest)
	}
	for _, p := range policies {
		if !slices.Contains(have, policy.Digest(p)) {
			return policies
		}
	}
	return nil
}
