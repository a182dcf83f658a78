package wire

import (
	"encoding/json"
	"time"
)

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

	// Modules are what the module registry gives to the stack; nil when it uses nothing of it.
	Modules *Registry `json:"modules,omitempty"`

	// Policies judge the plan, and are told About beside it. Allow is what it may use.
	Policies []Policy `json:"policies,omitempty"`
	About    About    `json:"about"`
	Allow    []Allow  `json:"allow,omitempty"`

	// Destroy plans the destruction of everything (kind destroy).
	Destroy bool `json:"destroy,omitempty"`
	// Replace are addresses that people asked to be replaced.
	Replace []string `json:"replace,omitempty"`
	// NoLock leaves the state's lock alone: the run only looks, and holds up nobody.
	NoLock bool `json:"no_lock,omitempty"`
	// Apart: the run leaves nothing behind that another run finds: its commit is one that nobody
	// has accepted, or it builds an image.
	Apart bool `json:"apart,omitempty"`
	// Foresee has the runner tell, with its plan, what decides about Ansible afterwards:
	// Planned.Outputs, and Planned.Resources for the types of Selects.
	Foresee bool     `json:"foresee,omitempty"`
	Selects []string `json:"selects,omitempty"`
	// Provision is for kind drift: what check mode looks for, nil when it looks for nothing.
	Provision *Provision `json:"provision,omitempty"`
	// PlanOnly ends after the plan (kind recover: what is there is stored, and a plan shows the rest).
	PlanOnly bool `json:"plan_only,omitempty"`
	// Verify is for kind verify: what to ask, again and again every VerifyEvery
	// until the server says stop in the answer to a heartbeat.
	Verify      []Verify `json:"verify,omitempty"`
	VerifyEvery string   `json:"verify_every,omitempty"`
	VerifyOnce  bool     `json:"verify_once,omitempty"`

	// Image is for kind image: what is to be built.
	Image *Build `json:"image,omitempty"`

	// LogSeq and LogOffset are the number and the end of the last chunk of the log that
	// earlier attempts wrote: this one goes on after it.
	LogSeq    int64 `json:"log_seq,omitempty"`
	LogOffset int64 `json:"log_offset,omitempty"`

	// Spool protects states that the runner keeps on its disk while the server is away.
	Spool SpoolKey `json:"spool"`

	// KeepProviders allows providers to be kept running within the run.
	KeepProviders bool `json:"keep_providers"`
	// Grace is how long an interrupted engine may take to end, a Go duration.
	Grace string `json:"grace"`
}

// SpoolKey is a key for what one attempt keeps on its disk. The runner uses Key and
// stores Wrapped beside what it sealed, for the server to unwrap when the runner is gone.
type SpoolKey struct {
	Key     []byte `json:"key"`
	Wrapped []byte `json:"wrapped"`
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

// Engine is which engine to use, or was used.
type Engine struct {
	Name    string `json:"name" enum:"tofu,terraform"`
	Version string `json:"version" doc:"in a job a constraint such as ~> 1.12, empty for any"`
}

// Backend is where the state is.
type Backend struct {
	// Address is that of the built-in backend; "" leaves the stack's own alone.
	Address string `json:"address,omitempty"`
	// Config completes the stack's own backend block, as JSON values.
	Config map[string]json.RawMessage `json:"config,omitempty"`
	// Lost is, in a recover run with the stack's own backend, the run whose outcome is
	// unknown. Unlock is the ID of the lock that a person asked to take away first, and
	// Recovered the entry of the recovery slot to store, 0 for none.
	Lost      string    `json:"lost,omitempty"`
	LostFrom  time.Time `json:"lost_from,omitzero"`
	LostUntil time.Time `json:"lost_until,omitzero"`
	Unlock    string    `json:"unlock,omitempty"`
	Recovered int64     `json:"recovered,omitempty"`
}

// OwnState is what a runner saw of a state in the stack's own backend, which the
// server cannot read. It holds secrets.
type OwnState struct {
	Backend   string `json:"backend" doc:"its type, as s3"`
	Lineage   string `json:"lineage,omitempty" doc:"empty while nothing is stored"`
	Serial    int64  `json:"serial,omitempty"`
	Resources int    `json:"resources,omitempty"`
	Digest    string `json:"digest,omitempty" doc:"of its resources, independent of lineage and serial"`
	// Outputs are as in a state file: by name, with value, type and sensitive.
	Outputs json.RawMessage `json:"outputs,omitempty"`
	// Instances are the resources of the types of Job.Selects, as in a state file.
	Instances json.RawMessage `json:"instances,omitempty"`
	// Recovered is the entry of the recovery slot that was stored there.
	Recovered int64 `json:"recovered,omitempty"`
}

// Claim starts an attempt.
type Claim struct {
	PID      int    `json:"pid"`
	PIDStart string `json:"pid_start" doc:"the process's start time as its kernel tells it"`
	Host     string `json:"host" doc:"where the process's number means something: a machine and its boot"`
}

// Phase reports that a phase begins: planning, checking, verifying or building.
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
	// Replaced are the addresses whose replacement the plan was asked for.
	Replaced []string `json:"replaced,omitempty"`
	// Excluded are the addresses that were left out of the plan: what a rollback keeps.
	Excluded []string `json:"excluded,omitempty"`
	// Judged are the policies whose verdicts are among the checks. A plan without changes is
	// judged by none: nothing of it is applied.
	Judged []Judged `json:"judged,omitempty"`
	// Uses is what the plan was made with.
	Uses Uses `json:"uses"`
	// Own is the state that the plan was made from, with the stack's own backend.
	Own *OwnState `json:"own,omitempty"`
	// Before is how the hooks ended that the server asked for, in this attempt.
	Before []Hooked `json:"before,omitempty"`
	// Versions are those that the plan was made with.
	Versions Versions `json:"versions"`
	// Outputs are what the outputs will be, of a preview and when the job says Foresee, as the
	// engine's JSON has them: by name, without a value where only an apply tells. They may be secret.
	Outputs json.RawMessage `json:"outputs,omitempty"`
	// Resources are those of the types of Job.Selects as they will be, as PlannedResource.
	// Their attributes may be secret.
	Resources []PlannedResource `json:"resources,omitempty"`
	// Foreseen is what check mode said, after the server asked for it with this plan.
	Foreseen *Foreseen `json:"foreseen,omitempty"`
}

// Hook is a before_change block, evaluated.
type Hook struct {
	ID   string `json:"id" doc:"tells it from others"`
	From string `json:"from" doc:"where it is written"`
	// Commit is the one whose files it runs in, when that is not the run's own.
	Commit  string   `json:"commit,omitempty"`
	Command []string `json:"command"`
	Within  string   `json:"within" doc:"a Go duration"`
}

// Versions are those of the programs that a run uses.
type Versions struct {
	Engine Engine `json:"engine"`
	// Providers are the installed ones, by address: HOST/NAMESPACE/TYPE.
	Providers map[string]string `json:"providers,omitempty"`
}

// Next is the server's answer to a report: what the runner does now.
type Next struct {
	// Do is "apply", "foresee" (run Provision in check mode, and report the same plan with what it
	// said), "before" (run the hooks of Before, and report the same plan with how
	// they ended), "replan" (plan again, with Replace and Exclude), "check" (report the same plan again,
	// judged by Policies, which are others than the runner had), "after" (there is nothing to apply:
	// go on with Provision and Verify below), "wait" (a person has to approve: end without
	// finishing) or "stop" (the run is over: cancelled, superseded, denied; end).
	Do     string `json:"do" enum:"apply,foresee,before,replan,check,after,wait,stop"`
	Reason string `json:"reason,omitempty"`
	// Replace are the addresses to replace, all of them.
	Replace []string `json:"replace,omitempty"`
	// Exclude are the addresses to leave out of the plan, all of them.
	Exclude []string `json:"exclude,omitempty"`
	// Before are hooks, in their order; the first that fails is the last.
	Before []Hook `json:"before,omitempty"`
	// Policies judge the plan, all of them.
	Policies []Policy `json:"policies,omitempty"`
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
	// Own is what is stored now, with the stack's own backend.
	Own *OwnState `json:"own,omitempty"`
}

// During asks, in the middle of an apply, what Ansible is to do now.
type During struct {
	// Outputs are those that the apply knows already; they win over those of the state.
	Outputs map[string]json.RawMessage `json:"outputs,omitempty"`
}

// Verify is one verify block, evaluated.
type Verify struct {
	Kind    string   `json:"kind" enum:"http,command,prometheus"`
	URL     string   `json:"url,omitempty"`
	Status  int      `json:"status,omitempty"`
	Command []string `json:"command,omitempty"`
	Within  string   `json:"within" doc:"a Go duration"`

	Query   string  `json:"query,omitempty" doc:"of a prometheus"`
	Compare string  `json:"compare,omitempty" enum:"below,above,equals" doc:"what every number has to be"`
	Than    float64 `json:"than,omitempty"`
	// Token, or User and Password: names of Job.Secrets, but for User.
	Token    string `json:"token,omitempty"`
	User     string `json:"user,omitempty"`
	Password string `json:"password,omitempty"`
}

// Finish ends an attempt.
type Finish struct {
	Status string   `json:"status" enum:"succeeded,failed,errored,cancelled,unknown"`
	Error  *Problem `json:"error,omitempty"`
	Recap  []Recap  `json:"recap,omitempty"`
	// Provisioned is how far Ansible came in a provisioning that did not end well.
	Provisioned *Provisioned `json:"provisioned,omitempty"`
	Verified    []Probe      `json:"verified,omitempty"`
	Before      []Hooked     `json:"before,omitempty"`
	// Image is the id of the image that was built.
	Image string `json:"image,omitempty"`
	// Replaced are the addresses that were made anew before an apply ended badly.
	Replaced []string `json:"replaced,omitempty"`
	// Phases is how long each phase took, in milliseconds.
	Phases map[string]int64 `json:"phases,omitempty"`
	// Own is what is stored after an apply that did not end well, with the stack's own
	// backend.
	Own *OwnState `json:"own,omitempty"`
}

// Beat answers a heartbeat.
type Beat struct {
	// Cancel asks the runner to interrupt what it does and to end as cancelled.
	Cancel bool `json:"cancel"`
	// Stop ends a verify run as succeeded: the bake is over.
	Stop bool `json:"stop"`
}
