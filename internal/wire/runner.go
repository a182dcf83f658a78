package wire

import "encoding/json"

// Job is all that a runner needs for one attempt at a run. It holds secrets: it
// travels only in the answer to the run's own token and is never stored.
type Job struct {
	Run         string  `json:"run"`
	Kind        string  `json:"kind"`
	Project     string  `json:"project"`
	Stack       string  `json:"stack"`
	Environment string  `json:"environment"`
	Release     Release `json:"release"`
	Attempt     int     `json:"attempt"`
	Fence       int64   `json:"fence"`

	Source  Source  `json:"source"`
	Engine  Engine  `json:"engine"`
	Backend Backend `json:"backend"`

	// Variables is what goes into the engine, by name, as JSON values.
	Variables map[string]json.RawMessage `json:"variables,omitempty"`
	// VarFiles are paths inside the repository, in order of precedence.
	VarFiles []string `json:"var_files,omitempty"`
	// Secrets become environment variables of the engine, Ansible and verify commands.
	Secrets map[string]string `json:"secrets,omitempty"`
	// Mask lists further values that must not appear in what the runner reports.
	Mask []string `json:"mask,omitempty"`

	// Destroy plans the destruction of everything (kind destroy).
	Destroy bool `json:"destroy,omitempty"`
	// PlanOnly ends after the plan (kind recover: a refreshed plan proves the state).
	PlanOnly bool `json:"plan_only,omitempty"`
	// Verify is for kind verify: what to ask, again and again every VerifyEvery
	// until the server says stop in the answer to a heartbeat.
	Verify      []Verify `json:"verify,omitempty"`
	VerifyEvery string   `json:"verify_every,omitempty"`

	// LogSeq and LogOffset are the number and the end of the last chunk of the log that
	// earlier attempts wrote: this one goes on after it.
	LogSeq    int64 `json:"log_seq,omitempty"`
	LogOffset int64 `json:"log_offset,omitempty"`

	// KeepProviders allows providers to be kept running within the run.
	KeepProviders bool `json:"keep_providers"`
	// Grace is how long an interrupted engine may take to end, a Go duration.
	Grace string `json:"grace"`
}

// Source is where the code is.
type Source struct {
	// Mirror is the bare repository on this machine.
	Mirror string `json:"mirror"`
	Commit string `json:"commit"`
	// Path is the stack's directory inside the repository.
	Path string `json:"path"`
	// Root is the directory of terrace.hcl inside the repository.
	Root string `json:"root"`
}

// Engine is which engine to use.
type Engine struct {
	Name    string `json:"name" enum:"tofu,terraform"`
	Version string `json:"version" doc:"a constraint such as ~> 1.12, empty for any"`
}

// Backend is the built-in state backend. Empty with state = "stack".
type Backend struct {
	Address string `json:"address,omitempty"`
}

// Claim starts an attempt.
type Claim struct {
	PID      int    `json:"pid"`
	PIDStart string `json:"pid_start" doc:"the process's start time as its kernel tells it"`
	Host     string `json:"host"`
}

// Phase reports that a phase begins: planning or checking.
type Phase struct {
	Status string `json:"status"`
}

// Planned reports a plan.
type Planned struct {
	Changes Changes `json:"changes"`
	// NoChanges is true when applying would change neither resources nor outputs.
	NoChanges bool `json:"no_changes"`
	// Digest identifies what the plan would do, independent of time and work folder.
	Digest string  `json:"digest"`
	Plan   Plan    `json:"plan"`
	Checks []Check `json:"checks,omitempty"`
}

// Next is the server's answer to a report: what the runner does now.
type Next struct {
	// Do is "apply", "after" (there is nothing to apply: go on with Provision and
	// Verify below), "wait" (a person has to approve: end without finishing) or
	// "stop" (the run is over: cancelled, superseded, denied; end).
	Do     string `json:"do" enum:"apply,after,wait,stop"`
	Reason string `json:"reason,omitempty"`
	After
}

// After is what follows an apply. Provision is nil when Ansible has nothing to do.
type After struct {
	Status    string     `json:"status,omitempty" doc:"what the run is now"`
	Provision *Provision `json:"provision,omitempty"`
	Verify    []Verify   `json:"verify,omitempty"`
	Mask      []string   `json:"mask,omitempty"`
}

// Applied reports that the engine's apply ended well and its state is stored.
type Applied struct {
	// Stored is false when the engine could not upload its state.
	Stored bool `json:"stored"`
}

// Provision is one run of ansible-playbook.
type Provision struct {
	Digest   string `json:"digest"`
	Playbook string `json:"playbook" doc:"path inside the repository"`
	// Inventory is Ansible's JSON inventory (the --list form with _meta.hostvars).
	Inventory json.RawMessage            `json:"inventory"`
	Hosts     []string                   `json:"hosts"`
	Variables map[string]json.RawMessage `json:"variables,omitempty"`
	// Secrets are names of Job.Secrets: SSH_KEY is used as the key of connections,
	// the others are extra variables of the same name in lower case.
	Secrets []string `json:"secrets,omitempty"`
	Check   bool     `json:"check,omitempty"`
	Within  string   `json:"within" doc:"how long to wait for hosts to answer, a Go duration"`
}

// Verify is one verify block, evaluated.
type Verify struct {
	Kind    string   `json:"kind" enum:"http,command"`
	URL     string   `json:"url,omitempty"`
	Status  int      `json:"status,omitempty"`
	Command []string `json:"command,omitempty"`
	Within  string   `json:"within" doc:"a Go duration"`
}

// Provisioned reports what Ansible did.
type Provisioned struct {
	Recap []Recap `json:"recap"`
}

// Finish ends an attempt.
type Finish struct {
	Status   string   `json:"status" enum:"succeeded,failed,errored,cancelled,unknown"`
	Error    *Problem `json:"error,omitempty"`
	Recap    []Recap  `json:"recap,omitempty"`
	Verified []Probe  `json:"verified,omitempty"`
	// Phases is how long each phase took, in milliseconds.
	Phases map[string]int64 `json:"phases,omitempty"`
}

// Beat answers a heartbeat.
type Beat struct {
	// Cancel asks the runner to interrupt what it does and to end as cancelled.
	Cancel bool `json:"cancel"`
	// Stop ends a verify run as succeeded: the bake is over.
	Stop bool `json:"stop"`
}
