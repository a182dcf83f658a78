// Package engine drives tofu and terraform: it finds the binary, prepares a root module
// in a run's work tree, plans, and applies exactly the plan that was saved.
//
// A Session is one run's use of one root module. It adds an override file for the
// backend to the tree and leaves everything else alone; what is secret reaches the
// engine in its environment or in files of mode 0600 outside of the tree, never as an
// argument. Its processes see the environment that was given and nothing of ours.
//
// It is quick because it does not repeat what is done: init is skipped when nothing that
// it depends on has changed in a kept tree (digest.go), providers come from a store that
// is filled once (store.go), and a provider that has a single configuration in the run is
// started once for all of the run's commands (keep.go).
package engine

import (
	"encoding/json"
	"io"
	"time"
)

// Engine is an installed tofu or terraform.
type Engine struct {
	Name    string // "tofu" or "terraform"
	Path    string
	Version string // as it says itself, without "v"
}

// Options of a Session. Engine, Dir, Temp and Env are required.
type Options struct {
	Engine Engine
	// Tree is the root of the repository's files, Dir the root module in it. Both are absolute.
	Tree, Dir string
	// Temp is a private directory for the session's own files; it has to exist.
	Temp string
	// Env is the environment to start from: PATH, HOME, TMPDIR, secrets. Nothing else is
	// inherited. Of what begins with TF_ only TF_VAR_, TF_TOKEN_, TF_ENCRYPTION and TF_LOG are kept, and
	// TF_HTTP_ when Backend is empty.
	Env []string

	// Run and Fence are told to the engine, and to the providers, as TERRACE_RUN and
	// TERRACE_FENCE.
	Run   string
	Fence int64

	// Backend is the address of the built-in state backend; "" leaves the stack's own
	// backend alone.
	Backend string
	// Token is the password for Backend.
	Token string
	// BackendConfig completes the stack's own backend block, as JSON values.
	BackendConfig map[string]json.RawMessage

	// Variables win over VarFiles, which are absolute paths and win, in their order, over
	// terraform.tfvars and *.auto.tfvars.
	Variables map[string]json.RawMessage
	VarFiles  []string

	// Store is the provider store of this machine; "" is none. Mirrors are folders in the
	// layout of a filesystem mirror, asked in order.
	Store   string
	Mirrors []string
	// Registry is where this run finds the modules of one registry; nil for none.
	Registry *Registry
	// KeepProviders lets providers run on between the commands of the session.
	KeepProviders bool

	// Parallelism is passed to the engine; 0 is its default.
	Parallelism int
	// LockTimeout is how long to wait for the state's lock; default 10 s.
	LockTimeout time.Duration
	// Grace is how long an interrupted apply may take to end; 0 is process.DefaultGrace.
	// A command that changes nothing gets 30 seconds of it.
	Grace time.Duration
	// Output is the log: lines for people.
	Output io.Writer
}

// Registry is a module registry that is reached at another address than its name says.
type Registry struct {
	Host string // in the sources
	URL  string // where it speaks the module registry protocol
	// Versions are the modules, by address without the host, with the versions that it has.
	Versions map[string][]string
}

// Kept lists the names in the root module's directory that a kept work tree keeps from
// run to run.
func Kept() []string { return []string{dataDir, lockFile} }

const (
	dataDir  = ".terraform"
	lockFile = ".terraform.lock.hcl"
)

// PlanOptions say what to plan.
type PlanOptions struct {
	// Destroy plans the destruction of everything, RefreshOnly nothing but an update of
	// the state.
	Destroy, RefreshOnly bool
	// NoLock plans without the state's lock: whoever only looks holds up nobody.
	NoLock bool
	// Exclude lists addresses to leave out, with all that depends on them. OpenTofu has it
	// since 1.9: https://opentofu.org/docs/cli/commands/plan/#resource-targeting.
	Exclude []string
	// Replace lists addresses to replace.
	Replace []string
}

// Planned is what a plan proposes.
type Planned struct {
	// Changes is false when applying would do nothing.
	Changes bool
	// JSON is the plan in the engine's JSON format, with sensitive values in clear. It
	// lists nothing when there are no changes.
	JSON []byte
}

// Applied says how an apply left the state.
type Applied struct {
	// Stored: nothing is left that the state backend does not have. It can be false
	// without Unsaved, when the engine was killed.
	Stored bool
	// Unsaved is the state that the engine could not upload (errored.tfstate).
	Unsaved []byte
	// Interrupted are the addresses of the resources that a provider was changing when it
	// crashed or was killed: it may have changed them, and the state does not say so.
	Interrupted []string
}
