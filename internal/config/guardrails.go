package config

import (
	"regexp"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// GuardrailsFile is the name of the file that guardrails are written in.
const GuardrailsFile = "guardrails.hcl"

// Guardrails are what no repository can weaken: they are kept on the server. The zero value
// says nothing and forbids nothing. It is safe for concurrent use, and never changed.
type Guardrails struct {
	// Digest is that of every file, "" when there are no guardrails. Version is which they are
	// on a server, for people.
	Digest  string
	Version int64

	Environments []GuardedEnvironment
	Stacks       []GuardedStack
	Allow        []Allow
	Policies     []Policy
	Vaults       []Vault
	// Bundle is what files of policies say, by path.
	Bundle map[string]string

	exceptions []exceptionRule
	skips      []skipRule
	sandboxes  []sandboxRule
	groups     map[string][]string // members, each "user:NAME"
	emails     map[string]string   // of lower case, to "user:NAME"
	roles      []roleBlock
}

// GuardedEnvironment is an environment block: what holds in every environment that Pattern
// means. Of the Environment, what a repository decides alone (its order, its secrets) is not
// set, and what it gives variables is in Gives.
type GuardedEnvironment struct {
	Pattern  string
	Projects []string // patterns; empty means all
	Environment
	Gives map[string]GuardedValue
}

// Covers reports whether it holds in an environment of a project.
func (e GuardedEnvironment) Covers(project, environment string) bool {
	return core.Reach{Projects: e.Projects, Environments: []string{e.Pattern}}.Covers(project, environment)
}

// GuardedStack is a stack block: protection of every stack that Pattern means.
type GuardedStack struct {
	Pattern string
	core.Reach
	Protection
}

// Allow says what may be used. What is empty restricts nothing.
type Allow struct {
	core.Reach
	Engines        []string // "tofu", "terraform"
	EngineVersions string   // a version constraint
	Providers      []string // patterns of HOST/NAMESPACE/NAME
	Modules        []string // patterns of sources, as they are written in the code
}

// Policy is Rego that judges plans.
type Policy struct {
	Name string
	core.Reach
	Files      []string // paths in the bundle, sorted, with those of tests
	Namespaces []string // packages whose rules judge; none means main
}

type exceptionRule struct {
	core.Reach
	core.ExceptionRule
}

type skipRule struct {
	core.Reach
	second bool
}

type sandboxRule struct {
	projects []string
	core.SandboxRule
}

type roleBlock struct {
	core.Grant
	members []string // "user:NAME" or "group:NAME"
}

// Roled reports whether roles come from the guardrails. While they name none, everybody
// whom a token of no role of its own lets in is an admin, as before there were any.
func (g *Guardrails) Roled() bool { return len(g.roles) > 0 }

// Grants lists what a user ("user:ana") may be, and where.
func (g *Guardrails) Grants(user string) []core.Grant {
	if !g.Roled() {
		return []core.Grant{{Role: core.RoleAdmin}}
	}
	var out []core.Grant
	for _, r := range g.roles {
		if slices.ContainsFunc(r.members, func(m string) bool { return slices.Contains(g.Members(m), user) }) {
			out = append(out, r.Grant)
		}
	}
	return out
}

// Roles lists the roles of a user ("user:ana") in an environment of a project, the least
// first, each that is included too; "" as environment stands for the project as a whole,
// where those who have a role in some of its environments have none. It does not know of
// tokens with a role of their own.
func (g *Guardrails) Roles(user, project, environment string) []core.Role {
	var out []core.Role
	for _, role := range core.Roles() {
		if slices.ContainsFunc(g.Grants(user), func(held core.Grant) bool {
			return held.Role.Includes(role) && held.Covers(project, environment)
		}) {
			out = append(out, role)
		}
	}
	return out
}

// Members lists the users ("user:ana") whom "group:NAME" or "user:NAME" means.
func (g *Guardrails) Members(who string) []string {
	if group, ok := strings.CutPrefix(who, "group:"); ok {
		return slices.Clone(g.groups[group])
	}
	if strings.HasPrefix(who, "user:") {
		return []string{who}
	}
	return nil
}

var emailRE = regexp.MustCompile(`<([^<>]*)>\s*$`)

// UserOf says which user ("user:ana") the author of a commit ("Ana <ana@example.com>") is, ""
// when nobody has that address.
func (g *Guardrails) UserOf(author string) string {
	email := author
	if m := emailRE.FindStringSubmatch(author); m != nil {
		email = m[1]
	}
	return g.emails[strings.ToLower(strings.TrimSpace(email))]
}

// ExceptionRule is the strictest of what exceptions blocks say somewhere.
func (g *Guardrails) ExceptionRule(project, environment string) (strictest core.ExceptionRule) {
	for _, r := range g.exceptions {
		if r.Covers(project, environment) {
			strictest.Second = strictest.Second || r.Second
			if r.Most > 0 && (strictest.Most == 0 || r.Most < strictest.Most) {
				strictest.Most = r.Most
			}
		}
	}
	return strictest
}

// SkipTakesSecond reports whether skipping a gate takes a second person somewhere.
func (g *Guardrails) SkipTakesSecond(project, environment string) bool {
	return slices.ContainsFunc(g.skips, func(r skipRule) bool { return r.second && r.Covers(project, environment) })
}

// SandboxRule is the strictest of what sandboxes blocks say of a project.
func (g *Guardrails) SandboxRule(project string) core.SandboxRule {
	var strictest *core.SandboxRule
	for _, r := range g.sandboxes {
		if !(core.Reach{Projects: r.projects}).Covers(project, "") {
			continue
		}
		if rule := r.SandboxRule; strictest != nil {
			*strictest = strictest.And(rule)
		} else {
			strictest = &rule
		}
	}
	if strictest == nil {
		return core.DefaultSandboxRule
	}
	return *strictest
}

// Allowed lists the allow blocks that hold somewhere; each has to be met.
func (g *Guardrails) Allowed(project, environment string) []Allow {
	return slices.DeleteFunc(slices.Clone(g.Allow), func(a Allow) bool { return !a.Covers(project, environment) })
}

// PoliciesOf lists the policies that judge plans somewhere.
func (g *Guardrails) PoliciesOf(project, environment string) []Policy {
	return slices.DeleteFunc(slices.Clone(g.Policies), func(p Policy) bool { return !p.Covers(project, environment) })
}
