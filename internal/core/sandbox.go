package core

import (
	"strings"
	"time"
)

// Sandbox makes a project one person's copy of an environment of another project (rule 26):
// it has that one environment, under a name of its own, and follows a branch of its own. What
// belongs to a project, its states, locks, secrets, leases and releases, is then the
// sandbox's alone; only outputs of stacks that it does not have are read from the base.
type Sandbox struct {
	Of     string   `json:"of"`   // the project
	Name   string   `json:"name"` // of the sandbox, and of its environment
	Base   string   `json:"base"` // environment of the project
	Owner  string   `json:"owner"`
	Stacks []string `json:"stacks,omitempty"` // empty means all of the base
	// Variables are values of its own, over those of the base: texts, or JSON.
	Variables map[string]string `json:"variables,omitempty"`
	Expires   time.Time         `json:"expires"`
	// Ending is when its destruction was asked for, zero while it lives; EndedBy by whom, and
	// Why. Retry is when a destruction that failed is tried again.
	Ending  time.Time `json:"ending,omitzero"`
	EndedBy string    `json:"ended_by,omitempty"`
	Why     string    `json:"why,omitempty"`
	Tries   int       `json:"tries,omitempty"`
	Retry   time.Time `json:"retry,omitzero"`
	Warned  bool      `json:"warned,omitempty"` // that it expires soon
}

// sandboxMark is between the names of a project and a sandbox; neither has it.
const sandboxMark = "~"

// SandboxProject names the project that a sandbox is.
func SandboxProject(of, name string) string { return of + sandboxMark + name }

// SandboxOf is the inverse of SandboxProject; ok is false for a project that is no sandbox.
func SandboxOf(project string) (of, name string, ok bool) {
	return strings.Cut(project, sandboxMark)
}

// CheckProject is CheckName for the name of a project, which may be a sandbox's.
func CheckProject(project string) error {
	if of, name, ok := SandboxOf(project); ok && ValidName(of) && ValidName(name) {
		return nil
	}
	return CheckName("project", project)
}

// SandboxSecrets is in the place of an environment where the secrets are kept that all
// sandboxes of a project may have.
const SandboxSecrets = "sandboxes"

// Has reports whether a stack is in the sandbox, rather than read from its base.
func (s *Sandbox) Has(stack string) bool {
	if len(s.Stacks) == 0 {
		return true
	}
	for _, name := range s.Stacks {
		if name == stack {
			return true
		}
	}
	return false
}

// LeastSandbox is the shortest that a sandbox may last.
const LeastSandbox = 10 * time.Second

// SandboxRule bounds the sandboxes of a project.
type SandboxRule struct {
	PerPerson, PerProject int
	Longest               time.Duration // from now on
}

// DefaultSandboxRule is what holds where nobody says otherwise.
var DefaultSandboxRule = SandboxRule{PerPerson: 5, PerProject: 50, Longest: 168 * time.Hour}

// And is the stricter of both in everything.
func (r SandboxRule) And(o SandboxRule) SandboxRule {
	return SandboxRule{min(r.PerPerson, o.PerPerson), min(r.PerProject, o.PerProject), min(r.Longest, o.Longest)}
}
