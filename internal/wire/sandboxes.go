package wire

import (
	"encoding/json"
	"time"
)

// Sandbox is one person's copy of an environment, for one branch.
type Sandbox struct {
	Name    string   `json:"name" doc:"also of its environment: web@NAME"`
	Project string   `json:"project"`
	Base    string   `json:"base"`
	Branch  string   `json:"branch"`
	Owner   string   `json:"owner"`
	Stacks  []string `json:"stacks" doc:"those it has of its own; the others are read from the base"`
	// Variables are its own, over those of the base.
	Variables map[string]string `json:"variables,omitempty" doc:"values of its own, over those of the base"`
	Created   time.Time         `json:"created"`
	Expires   time.Time         `json:"expires"`
	Status    string            `json:"status" enum:"new,running,waiting,ready,failed,errored,cancelled,unknown,ending"`
	Reason    string            `json:"reason,omitempty" doc:"what it waits for, what failed, or why it ends"`
	Release   *Release          `json:"release,omitempty" doc:"the newest commit of its branch"`
	Rollout   string            `json:"rollout,omitempty" doc:"the newest"`
	Key       string            `json:"key" doc:"names the sandbox where a project is asked for"`
}

// CreateSandbox asks for a sandbox.
type CreateSandbox struct {
	Name      string            `json:"name" minLength:"1" maxLength:"63"`
	Base      string            `json:"base" minLength:"1" maxLength:"63"`
	Branch    string            `json:"branch,omitempty" doc:"default: the project's"`
	Stacks    []string          `json:"stacks,omitempty" doc:"default: all of the base"`
	For       string            `json:"for,omitempty" doc:"a duration, default 8h"`
	Variables map[string]string `json:"variables,omitempty" doc:"values of its own; each a text, or JSON where its stack does not want a string"`
}

// SetSandbox changes the variables that a sandbox has of its own.
type SetSandbox struct {
	Variables map[string]string `json:"variables,omitempty" doc:"values to set"`
	Unset     []string          `json:"unset,omitempty" doc:"names whose value is the base's again"`
}

// ExtendSandbox moves the end of a sandbox.
type ExtendSandbox struct {
	For string `json:"for" doc:"a duration, from now on"`
}

// SandboxShell is with what an engine works on an instance of a sandbox as a run would.
type SandboxShell struct {
	Instance  string                     `json:"instance"`
	Path      string                     `json:"path" doc:"of the stack in the repository"`
	Engine    string                     `json:"engine"`
	VarFiles  []string                   `json:"var_files" doc:"in the repository, in order of precedence"`
	Variables map[string]json.RawMessage `json:"variables" doc:"by name; they go before those of files"`
	Secrets   map[string]string          `json:"secrets" doc:"variables of the environment"`
	State     string                     `json:"state" doc:"address of the state, below the server's"`
	Registry  string                     `json:"registry,omitempty" doc:"host of the server's module registry"`
}
