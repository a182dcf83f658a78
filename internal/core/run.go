package core

import (
	"fmt"
	"slices"
	"time"
)

// RunStatus is where a run is. See docs/model.md for the drawing.
type RunStatus string

const (
	// RunQueued: decided, nobody works on it; an executor moves it on.
	RunQueued RunStatus = "queued"
	// RunPreparing: a runner has it and makes its work tree, engine and init.
	RunPreparing RunStatus = "preparing"
	// RunPlanning: the engine plans.
	RunPlanning RunStatus = "planning"
	// RunChecking: the plan is judged by rules.
	RunChecking RunStatus = "checking"
	// RunAwaitingApproval: a person has to say yes; no runner process exists.
	RunAwaitingApproval RunStatus = "awaiting_approval"
	// RunApplying: the engine changes infrastructure. From here on nothing is superseded.
	RunApplying RunStatus = "applying"
	// RunProvisioning: Ansible configures the hosts of the state just written.
	RunProvisioning RunStatus = "provisioning"
	// RunVerifying: the checks that the stack's owner wrote are asked.
	RunVerifying RunStatus = "verifying"
	// RunBuilding: the command of an image runs.
	RunBuilding RunStatus = "building"
	// RunSucceeded: applied, provisioned and verified. Terminal.
	RunSucceeded RunStatus = "succeeded"
	// RunFailed: the user's code or infrastructure said no. Terminal.
	RunFailed RunStatus = "failed"
	// RunErrored: Terrace or the machine could not do it; safe to retry. Terminal.
	RunErrored RunStatus = "errored"
	// RunCancelled: a person stopped it. Terminal.
	RunCancelled RunStatus = "cancelled"
	// RunSuperseded: a newer release took its place before it applied. Terminal.
	RunSuperseded RunStatus = "superseded"
	// RunUnknown: an apply whose end nobody saw. Terminal; blocks the instance
	// until a recover run has succeeded there (rule 20).
	RunUnknown RunStatus = "unknown"
)

// RunKind is what a run is for.
type RunKind string

const (
	KindDeploy  RunKind = "deploy"
	KindDestroy RunKind = "destroy" // rule 27: a stack that left the configuration
	KindRecover RunKind = "recover" // rule 20
	KindVerify  RunKind = "verify"  // rule 17: verification that goes on through a bake; rule 16: one that a person asks for
	KindPreview RunKind = "preview"
	KindDrift   RunKind = "drift"
	KindSandbox RunKind = "sandbox"
	KindImage   RunKind = "image" // builds an image, and works on no instance
)

// OnlyLooks reports whether a run of kind k changes neither infrastructure nor state, so
// that others need not wait for it and its end says nothing about its instance.
func (k RunKind) OnlyLooks() bool { return k == KindVerify || k == KindPreview || k == KindDrift }

// Actor is who causes a transition.
type Actor uint8

const (
	ByReconciler Actor = 1 << iota // the server's own decision
	ByExecutor                     // the part of the server that starts and watches runners
	ByRunner                       // the process that executes the run
	ByPerson                       // somebody at a terminal or in the browser
)

// transitions is the one table of allowed moves: from, to, who may cause it.
// The SQL that writes a status repeats the guard with "where status = from".
var transitions = map[RunStatus]map[RunStatus]Actor{
	RunQueued: {
		RunPreparing:  ByRunner,
		RunErrored:    ByExecutor,
		RunCancelled:  ByPerson | ByReconciler,
		RunSuperseded: ByReconciler,
	},
	RunPreparing: {
		RunQueued:     ByExecutor, // runner lost before anything was changed: again
		RunPlanning:   ByRunner,
		RunVerifying:  ByRunner, // kind verify
		RunBuilding:   ByRunner, // kind image
		RunFailed:     ByRunner,
		RunErrored:    ByRunner | ByExecutor,
		RunCancelled:  ByRunner | ByExecutor,
		RunSuperseded: ByRunner | ByReconciler,
	},
	RunPlanning: {
		RunQueued:     ByExecutor,
		RunChecking:   ByRunner,
		RunFailed:     ByRunner,
		RunErrored:    ByRunner | ByExecutor,
		RunCancelled:  ByRunner | ByExecutor,
		RunSuperseded: ByRunner | ByReconciler,
	},
	RunChecking: {
		RunQueued:           ByExecutor,
		RunAwaitingApproval: ByReconciler,
		RunApplying:         ByReconciler,
		RunProvisioning:     ByReconciler, // no changes
		RunVerifying:        ByReconciler, // no changes, provisioning up to date
		RunSucceeded:        ByReconciler | ByRunner,
		RunFailed:           ByRunner | ByReconciler,
		RunErrored:          ByRunner | ByExecutor,
		RunCancelled:        ByRunner | ByExecutor,
		RunSuperseded:       ByRunner | ByReconciler,
	},
	RunAwaitingApproval: {
		RunQueued:     ByReconciler, // approved, or out of date: planned again, applied if the plan is the approved one
		RunCancelled:  ByPerson,     // rejected
		RunSuperseded: ByReconciler,
	},
	RunApplying: {
		RunProvisioning: ByReconciler,
		RunVerifying:    ByReconciler,
		RunSucceeded:    ByReconciler | ByRunner,
		RunFailed:       ByRunner,
		RunErrored:      ByRunner,
		RunCancelled:    ByRunner,
		RunUnknown:      ByRunner | ByExecutor | ByPerson, // a person abandoned its runner
	},
	RunProvisioning: {
		RunVerifying: ByReconciler,
		RunSucceeded: ByReconciler | ByRunner,
		RunFailed:    ByRunner,
		RunErrored:   ByRunner,
		RunCancelled: ByRunner,
		RunUnknown:   ByRunner | ByExecutor | ByPerson,
	},
	RunVerifying: {
		RunSucceeded: ByRunner,
		RunFailed:    ByRunner,
		RunErrored:   ByRunner | ByExecutor, // nothing is changed by looking
		RunCancelled: ByRunner | ByExecutor,
	},
	RunBuilding: {
		RunSucceeded:  ByRunner,
		RunFailed:     ByRunner,
		RunErrored:    ByRunner | ByExecutor, // no environment is changed; the command is not repeated by itself
		RunCancelled:  ByRunner | ByExecutor,
		RunSuperseded: ByRunner | ByReconciler,
	},
}

// CanMove reports whether who may move a run from one status to another.
func CanMove(from, to RunStatus, who Actor) bool { return transitions[from][to]&who != 0 }

// CheckMove is CanMove with an error for a person: a Conflict that names both.
func CheckMove(from, to RunStatus, who Actor) error {
	if CanMove(from, to, who) {
		return nil
	}
	return Errorf(Conflict, "a run that is %s cannot become %s", from, to)
}

// Terminal reports whether nothing moves a run out of s.
func (s RunStatus) Terminal() bool { return s != "" && transitions[s] == nil }

// Active reports whether a runner process may exist for a run in s.
func (s RunStatus) Active() bool {
	switch s {
	case RunPreparing, RunPlanning, RunChecking, RunApplying, RunProvisioning, RunVerifying, RunBuilding:
		return true
	}
	return false
}

// Changing reports whether a runner lost in s leaves an outcome that nobody knows.
func (s RunStatus) Changing() bool { return s == RunApplying || s == RunProvisioning }

// Supersedable reports whether a newer release may still take the run's place.
func (s RunStatus) Supersedable() bool {
	switch s {
	case RunQueued, RunPreparing, RunPlanning, RunChecking, RunAwaitingApproval, RunBuilding:
		return true
	}
	return false
}

// RunStatuses lists every status, in the order of a run's life.
func RunStatuses() []RunStatus {
	return []RunStatus{
		RunQueued, RunPreparing, RunPlanning, RunChecking, RunAwaitingApproval, RunApplying, RunProvisioning,
		RunVerifying, RunBuilding, RunSucceeded, RunFailed, RunErrored, RunCancelled, RunSuperseded, RunUnknown,
	}
}

// RunsUnderWay lists the statuses of runs that are not over.
func RunsUnderWay() []RunStatus { return slices.DeleteFunc(RunStatuses(), RunStatus.Terminal) }

// Changes counts what a plan does to resources. A replacement counts once, as
// Replace, not as a delete and a create.
type Changes struct {
	Create  int `json:"create"`
	Update  int `json:"update"`
	Replace int `json:"replace"`
	Delete  int `json:"delete"`
}

// None reports whether the plan changes no resource.
func (c Changes) None() bool { return c == Changes{} }

func (c Changes) String() string {
	return fmt.Sprintf("%d to create, %d to update, %d to replace, %d to delete", c.Create, c.Update, c.Replace, c.Delete)
}

// RunError says why a run ended badly.
type RunError struct {
	// Code is "failed", "errored", "cancelled", "unknown", "inconclusive" (rule 16)
	// or a more exact word that starts with one of them.
	Code string `json:"code"`
	// Message is for a person: what happened, where (file and line when known), what to do next.
	Message string `json:"message"`
}

// CodeInconclusive marks a run whose verification could not be answered (rule 16).
const CodeInconclusive = "inconclusive"

// Run is a stage's work on one instance.
type Run struct {
	ID          string
	Project     string
	Stage       string // "" for runs outside a rollout (recover, drift, verification by hand)
	Rollout     string // "" likewise
	Preview     string // of which it is part, "" for none
	Stack       string
	Environment string
	Kind        RunKind
	Status      RunStatus
	Release     Release // Number and Commit are always set
	Attempt     int     // 1 at first; grows when a runner was lost before applying
	Fence       int64   // grows with every attempt; 0 until claimed

	InputDigest     string            // what the run applies
	Components      map[string]string // the digest's parts, for --why
	ProvisionDigest string            // set once provisioning was decided on

	Changes    Changes
	HasPlan    bool
	NoChanges  bool
	Applied    bool   // it began to apply: infrastructure may have changed
	PlanDigest string // digest of what the plan would do, for approvals
	PlanState  StateRef
	Guardrails string // digest of the guardrails that judged the plan
	Error      *RunError
	// Refuted: its verification was answered, and the answer was no. It failed for that and
	// for nothing else.
	Refuted  bool
	Cancel   bool // somebody asked for it to be stopped
	CancelBy string

	Created   time.Time
	Started   time.Time // zero until preparing
	Finished  time.Time // zero until terminal
	Heartbeat time.Time // last word of the runner
	PhaseAt   time.Time // when Status was entered

	PID       int    // local executor: the runner's process
	PIDStart  string // its start time as the kernel tells it, so that a reused pid is not mistaken
	Host      string // where PID means something: a machine, and its boot; see process.Host
	NotBefore time.Time
}

// ByHand reports whether the run asks for verification because a person wants to know,
// outside of any stage.
func (r Run) ByHand() bool { return r.Kind == KindVerify && r.Stage == "" }

// Watches reports whether the run goes on through a bake: it takes no room from runs that
// come to an end by themselves.
func (r Run) Watches() bool { return r.Kind == KindVerify && r.Stage != "" }

// Binding is what an approval of the run's plan is for.
func (r Run) Binding() Binding {
	return Binding{Release: r.Release.Number, Environment: r.Environment, Plan: r.PlanDigest, State: r.PlanState, Guardrails: r.Guardrails}
}

// Image is the name of the image that the run builds, "" for others.
func (r Run) Image() string {
	if r.Kind != KindImage {
		return ""
	}
	return ImageOf(r.Stack)
}

// Instance returns the run's stack@environment.
func (r Run) Instance() string { return InstanceName(r.Stack, r.Environment) }
