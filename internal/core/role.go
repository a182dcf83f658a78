package core

import (
	"regexp"
	"slices"
	"strings"
)

// Role is what somebody may do. Each includes those before it.
type Role string

const (
	// RoleViewer looks at everything that is not secret.
	RoleViewer Role = "viewer"
	// RoleDeveloper also reads whole states, and works in sandboxes and previews.
	RoleDeveloper Role = "developer"
	// RoleOperator also approves, promotes, holds, excepts, recovers and writes states.
	RoleOperator Role = "operator"
	// RoleAdmin also changes projects, secrets, guardrails, tokens and keys.
	RoleAdmin Role = "admin"
)

// Roles lists the roles, the least first.
func Roles() []Role { return []Role{RoleViewer, RoleDeveloper, RoleOperator, RoleAdmin} }

// Includes reports whether who has r may do what takes need.
func (r Role) Includes(need Role) bool {
	rank := slices.Index(Roles(), r)
	return rank >= 0 && rank >= slices.Index(Roles(), need)
}

// Reach is where something holds: in projects and environments whose names one of the
// patterns means. An empty list means all.
type Reach struct{ Projects, Environments []string }

// Covers reports whether it holds in an environment of a project. The environment "" stands
// for the project as a whole, the project "" for the server: only what holds everywhere in
// it covers that.
func (r Reach) Covers(project, environment string) bool {
	return covers(r.Projects, project) && covers(r.Environments, environment)
}

// Touches is Covers for which holding somewhere in the project, or on the server, is enough.
func (r Reach) Touches(project, environment string) bool {
	return (project == "" || covers(r.Projects, project)) && (environment == "" || covers(r.Environments, environment))
}

func covers(patterns []string, name string) bool {
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return Matches(p, name) })
}

// Everywhere reports whether it leaves nothing out.
func (r Reach) Everywhere() bool { return r.Covers("", "") }

// Grant is a role, and where it holds.
type Grant struct {
	Role Role
	Reach
}

var userRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$`)

// UserNames says what names users and groups may have.
const UserNames = "use 1 to 100 letters, digits and . _ @ + -, starting with a letter or digit"

// ValidUser reports whether s may name a user or a group.
func ValidUser(s string) bool { return userRE.MatchString(s) }

// Matches reports whether a pattern means a text: * stands for any part of it.
func Matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	last := parts[len(parts)-1]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(text, part)
		if !found {
			return false
		}
		text = after
	}
	return strings.HasSuffix(text, last)
}
