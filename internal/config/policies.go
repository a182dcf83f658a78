package config

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
)

// PolicyFile is a Rego file that judges the project's plans, or has tests of such.
type PolicyFile struct {
	Path string // in the repository
	Text string
}

const (
	policyExtension = ".rego"
	policyTest      = "_test.rego"
)

var packageName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)

// policies finds the files of policies. A pattern that matches none is an error: what
// should judge every plan would be missing in silence.
func (l *load) policies() {
	if len(l.projects) == 0 {
		return
	}
	b := l.projects[0]
	cfg := &l.cfg.Project
	for _, it := range l.list(b, "policies", l.ctx) {
		pattern, summary, detail := glob(l.root, it.text, "policies")
		if summary != "" {
			l.error(it.rng, summary, detail)
			continue
		}
		matched := false
		for _, file := range l.index.files {
			if ok, _ := doublestar.Match(pattern, file); ok && path.Ext(file) == policyExtension {
				matched = true
				cfg.Policies = append(cfg.Policies, file)
			}
		}
		if !matched {
			l.error(it.rng, fmt.Sprintf("%q matches no policy", it.text),
				fmt.Sprintf("A policy is a file whose name ends with %s, in the repository; is it committed?%s", policyExtension, near(pattern, l.index.files)))
		}
	}
	slices.Sort(cfg.Policies)
	cfg.Policies = slices.Compact(cfg.Policies)
	if len(cfg.Policies) > 0 && !slices.ContainsFunc(cfg.Policies, func(name string) bool { return !strings.HasSuffix(name, policyTest) }) {
		l.error(b.rangeOf("policies"), "There are only tests of policies", fmt.Sprintf("Files whose names end with %s have tests and judge nothing. Name the policies too.", policyTest))
	}
	cfg.PolicyNamespaces = l.packages(b, "policy_namespaces", l.ctx)
}

// packages reads a list of packages of Rego.
func (p *problems) packages(b body, name string, ctx *hcl.EvalContext) []string {
	var out []string
	for _, it := range p.list(b, name, ctx) {
		if !packageName.MatchString(it.text) {
			p.error(it.rng, fmt.Sprintf("%q is not the name of a package", it.text), `Write it as after the word package in the files, for example "main" or "terraform.security".`)
			continue
		}
		out = append(out, it.text)
	}
	return out
}

// PolicyFiles reads the project's policies, and their tests. What is not UTF-8 is replaced:
// a runner gets them as JSON, and is to get what the server has.
func (c *Config) PolicyFiles() ([]PolicyFile, error) {
	var out []PolicyFile
	for _, name := range c.Project.Policies {
		text, err := c.tree.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("the policy %s cannot be read: %w", name, err)
		}
		out = append(out, PolicyFile{Path: name, Text: strings.ToValidUTF8(string(text), "\uFFFD")})
	}
	return out, nil
}
