package config

import (
	"encoding/json"
	"time"

	"github.com/zclconf/go-cty/cty"
)

// FileName is the name of the configuration file.
const FileName = "terrace.hcl"

// Config is a loaded configuration. It is safe for concurrent use when its Tree is.
type Config struct {
	Project Project
	// Environments are in promotion order: each after those it names in After,
	// otherwise as they are written.
	Environments []Environment
	// Stacks are sorted by name, and so are Images.
	Stacks []Stack
	Images []Image

	loaded
}

// Project is the project block.
type Project struct {
	Name          string
	Engine        string // "tofu" or "terraform"
	EngineVersion string // a version constraint, "" for any
	Stacks        []string
	State         string // "terrace" or "stack"
	Parallel      int
	// Policies are the Rego files that judge plans, with their tests, sorted; relative to
	// the root of the repository. PolicyNamespaces are the packages whose rules judge,
	// none means main.
	Policies         []string
	PolicyNamespaces []string
	Parity           ParityRules
}

// Environment is an environment block.
type Environment struct {
	Name     string
	After    []string
	Bake     time.Duration
	Queue    string // "newest" or "every"
	Rollback string // "manual" or "auto"
	// Secrets are all that runs receive, wherever they are kept; From says where those are
	// that the server does not keep.
	Secrets   []string
	From      map[string]SecretFrom
	Variables cty.Value // an object, never null

	Approval   *Approval // nil when nobody has to approve
	Windows    []Window  // open in any of them; empty means always
	Freezes    []Freeze  // closed in each of them, whatever the windows say
	MaxDestroy *int      // rule 15; nil means no limit
	MaxReplace *int
	Parity     *ParityGate // nil when it may be as it likes
	// Drift is how often what is there is compared with the states (rule 25); 0 is never.
	Drift time.Duration
}

// SecretFrom is where a secret is that the server does not keep: in a file that is encrypted
// with SOPS, relative to the root of the repository, or in a vault of the guardrails.
type SecretFrom struct {
	File, Vault string
	Path        string // in a vault
	Key         string // of the value, in the file or at the path
}

// Approval is who has to agree before an environment changes (rule 11).
type Approval struct {
	Count  int
	From   []string // "group:NAME" or "user:NAME"; empty means any operator
	Others bool     // neither the commit's author nor who asked for the rollout
	// Expires is how long an approval counts.
	Expires time.Duration
}

// Window is when an environment may change (rule 24).
type Window struct {
	Days     []time.Weekday // empty means every day
	From, To time.Duration  // since midnight; From > To goes over midnight
	Zone     *time.Location
}

// Freeze is when an environment may not change (rule 24).
type Freeze struct {
	From, To time.Time // UTC
	Zone     *time.Location
	Reason   string
}

// Stack is a stack, discovered or written as a block.
type Stack struct {
	Name         string
	Discovered   bool     // it has no block of its own
	Environments []string // in promotion order
	MovedFrom    string   // the stack that it was before, "" for none (rule 27)
	BeforeChange bool     // it has a before_change block
	Protection
}

// Protection is what may not be done to resources (rules 13 and 14).
type Protection struct {
	Immutable    []string // patterns of addresses
	Stateful     []string
	ZeroDowntime bool
}

// Instance is a stack in one environment. All paths are relative to the root of the
// repository.
type Instance struct {
	Stack     string
	Path      string
	DependsOn []string // stacks whose outputs it uses
	Images    []string // that it uses, sorted
	Reads     []string // globs
	VarFiles  []string // in order of precedence, the last one wins

	HasVerify  bool
	HasAnsible bool
	Playbook   string // "" without Ansible
	// ChecksHosts: check mode is shown with the plan, and looks for drift.
	ChecksHosts bool
	// Selects are the types of resources that hosts are made of, sorted.
	Selects []string
}

// Scope is what expressions see beside the configuration itself.
type Scope struct {
	Commit  string
	Number  int64
	Sandbox *Sandbox // nil elsewhere
	// Outputs returns the outputs of another stack in the same environment, and false
	// when it has none yet because it was never applied there.
	Outputs func(stack string) (map[string]cty.Value, bool)
	// Image returns what the command of an image told when the image was built, and false
	// while it is not. nil: none is.
	Image func(name string) (id string, ok bool)
}

// Sandbox names the sandbox that an evaluation is for.
type Sandbox struct{ Name, Owner string }

// Inputs is what goes into the engine. A variable that a var file sets is in Variables
// only when an input overrides it, so passing the var files first and Variables last
// gives the right precedence.
type Inputs struct {
	Path      string
	Variables map[string]json.RawMessage
	VarFiles  []string
	// Upstream lists, by stack, the outputs that the inputs use.
	Upstream map[string][]string
	// Waits is a stack of which the inputs use an output that only its apply tells, "" for
	// none. The rest is empty then.
	Waits string
	// Sensitive lists the variables whose values hold something sensitive.
	Sensitive []string
	// Backend completes the stack's own backend block.
	Backend map[string]json.RawMessage
}

// Hook is a before_change block, evaluated.
type Hook struct {
	Command []string
	Within  time.Duration
}

// After is what follows an apply.
type After struct {
	Ansible *Ansible // nil when the stack has none
	Verify  []Verify
}

// Ansible is an ansible block, evaluated.
type Ansible struct {
	Playbook string // relative to the root of the repository
	// Inventory has the hosts by group. One that is in several groups is the same in each.
	Inventory map[string][]Host
	Variables map[string]json.RawMessage
	Secrets   []string
	Check     bool
	Within    time.Duration // how long to wait for hosts to answer
	Bastion   *Bastion      // nil for none
	Mitogen   bool
	Twice     bool
	Together  *bool    // nil: as the playbook's files say
	Selects   []string // types of resources that hosts are made of, sorted

	// The rest is of an evaluation before the apply; see Config.Foresee. New are hosts that are
	// not known yet, and not in Inventory: by their names, or by the addresses of their
	// resources, or by their groups, sorted.
	New []string
	// UnknownVariables are those without a value yet, sorted: extra variables by their names,
	// variables of hosts as "HOST: NAME", and "bastion".
	UnknownVariables []string
}

// Host is a host of an inventory group. What identifies the inventory is its JSON.
type Host struct {
	Name string                     `json:"name"`
	Vars map[string]json.RawMessage `json:"vars,omitempty"`
	// ID tells it from another host that had its name before, "" when nothing tells.
	ID string `json:"id,omitempty"`
	// Keys are its SSH host keys, as in a known_hosts file, when they were told.
	Keys []string `json:"-"`
	// From is the address of the resource that it was made of, "" for one of the argument.
	From string `json:"-"`
	// Unknown: it has variables whose values only an apply tells.
	Unknown bool `json:"-"`
}

// Bastion is the host that connections go through.
type Bastion struct {
	Host string
	Port int    // 0 for the usual one
	User string // "" for that of the runner
	Keys []string
}

// Verify is a verify block, evaluated.
type Verify struct {
	Kind    string // "http", "command" or "prometheus"
	URL     string
	Status  int
	Command []string
	Within  time.Duration

	// Of kind prometheus: every number that Query gives is compared with Than.
	Query   string
	Compare string // "below", "above" or "equals"
	Than    float64
	// Token, or User and Password: names of secrets, but for User.
	Token, User, Password string
}
