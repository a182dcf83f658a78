// Package promotion holds the rules of docs/promotion.md, by their numbers, as one
// pure function: a snapshot of a project and the time go in, decisions come out. It
// does no I/O, keeps no state and never reads a clock. The reconciler carries the
// decisions out and asks again until there is none left.
package promotion

import (
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Snapshot is all that the rules may know of one project.
type Snapshot struct {
	Project string
	// Stopped is why promotion stopped (rule 2), "" when it did not.
	Stopped string
	// Environments is the stored side of every environment, by name.
	Environments map[string]core.EnvironmentState
	// Rollouts are those not terminal, plus, for each environment, nothing else:
	// what happened before is in Environments. Oldest release first; two rollouts of
	// one release in the order they were made.
	Rollouts []Rollout
	// Sights are the instances that are looked at now and then (rule 25).
	Sights []Sight
}

// Rollout is a release on its way, with its own configuration.
type Rollout struct {
	ID      string
	Kind    core.RolloutKind // "" is a promotion
	Release core.Release
	Status  core.RolloutStatus
	Manual  bool // a person asked for exactly this one
	Cancel  bool // a person asked for it to end
	Created time.Time
	Stages  []Stage // in promotion order, from the release's own configuration
	// Of a rollback: the release that was there when it was asked for, and who asked and why.
	From       int64
	By, Reason string
}

// Stage is a rollout in one environment.
type Stage struct {
	ID     string
	Status core.StageStatus
	// WaitsFor and Waits are what is stored, so that only changes are decided on.
	WaitsFor string
	Waits    []core.Wait
	// Skips is what people said about its gates (rule 23).
	Skips  []core.Skip
	Baked  time.Duration
	Config Environment
	// Instances is filled for stages that hold their environment's lease.
	Instances []Instance
	// Ran: the stage has made at least one run (rule 17: nothing ran, nothing to bake).
	Ran bool
	// Applied: at least one run of the stage changed, or may have changed,
	// infrastructure, not only the newest of each instance (rule 6).
	Applied bool
	// Withdrawn: it succeeded, and the environment was taken back behind its release since.
	Withdrawn bool
	// Parallel is how many runs may be active at once; 0 means no limit.
	Parallel int
	// Before is the release that the environment goes back to should the verification say
	// no: the newest that was verified there of those older than this one. 0: there is none.
	Before int64
}

// Environment is what the release's own configuration says of an environment.
type Environment struct {
	Name  string
	After []string
	Bake  time.Duration
	// Every: each commit goes through, in order (rule 6).
	Every bool
	// Windows are those of the release's own configuration and of the one that is there,
	// all of which have to be open (rules 24 and 28).
	Windows []Windows
	// Freezes are those of people, of the release's own configuration and of the one that
	// is there (rule 24). Those that are over may be left out.
	Freezes []Freeze
	// SecondPerson: skipping a gate here needs the agreement of a second person, by the
	// guardrails (rule 23).
	SecondPerson bool
	// Parity are the demands that it be like another environment, of every configuration that
	// has one (rule 28).
	Parity []Parity
	// Sandbox environments never feed a promotion (rule 26).
	Sandbox bool
	// AutoRollback: a verification that says no starts a rollback (rule 21).
	AutoRollback bool
}

// Need is whether an instance has something to do in a stage.
type Need string

const (
	// NeedUnknown: it can't be said before the upstream instances are done.
	NeedUnknown Need = "unknown"
	// NeedNothing: the wanted input digest is the applied one (rule 9).
	NeedNothing Need = "nothing"
	// NeedRun: there is something to do.
	NeedRun Need = "run"
)

// Instance is one stack in a stage.
type Instance struct {
	Stack     string
	DependsOn []string // names of stacks of the same stage that come first; of a removed one: those that depend on it
	Need      Need
	// Unknown: the outcome of an earlier run is not known (rule 20).
	Unknown bool
	// Image is the digest of an image, which is built before what depends on it is planned; ""
	// for a stack. It has nothing to do when it was built, by whomever. BuiltBy is the run of
	// another stage that builds it now, "" for none.
	Image, BuiltBy string
	// Removed: the stack left the configuration; it is destroyed after all others (rule 27).
	Removed bool
	// MovesFrom is the stack whose state becomes this one's before anything else, "" for
	// none. MoveWaits says why that cannot be yet, and MoveOpensBy what lets it (rule 27).
	MovesFrom, MoveWaits, MoveOpensBy string
	// Verify: it has verify blocks, so a bake watches it.
	Verify bool
	// Run is the newest run of this instance in this stage, nil when there is none.
	Run *Run
	// Watch is the newest verify run of this stage's bake, nil when there is none.
	Watch *Run
	// Preview is the newest run of this stage that only planned, nil when there is none.
	Preview *Run
}

// Run is what the rules need of a run.
type Run struct {
	ID     string
	Kind   core.RunKind
	Status core.RunStatus
	// Code of its error: core.CodeInconclusive pauses the stage (rule 16).
	Code string
	// Message of its error, for what a stage waits for.
	Message string
	// Applied: it changed, or may have changed, infrastructure (rule 18).
	Applied bool
	// Refuted: its verification said no, and that is all that went wrong (rule 21).
	Refuted bool
	// Cancel: it was asked to stop already, and has not ended yet.
	Cancel bool
	// Finished is when it ended; zero while it has not.
	Finished time.Time
	// Approval is how it stands with a run that awaits approvals, nil for others.
	Approval *Approval
}

// Approval is what a run that awaits approvals would do, and what it lacks.
type Approval struct {
	Tally
	Changes core.Changes
	// Stale is what has changed since its plan was made, so that it has to be planned again
	// whatever people say to it; "" when nothing has.
	Stale string
}

// goesOn reports whether a run that awaits approvals is to be planned again.
func (a *Approval) goesOn() bool { return a != nil && (a.Stale != "" || a.Satisfied()) }

// why it is planned again.
func (a *Approval) why() string {
	if a.Stale != "" {
		return a.Stale
	}
	return "approved"
}

// Decision is one thing to do. Exactly one of the types below.
type Decision interface{ decision() }

// Admit lets a stage enter its environment and gives it the lease (rules 4, 5, 6, 8). It ends
// the looks that are under way there (rule 25).
// Whoever carries it out repeats, in the same transaction, what may have changed since
// the snapshot: the lease is free, nothing newer has entered (unless it goes back), no hold
// was set that was not there, the rollout was not cancelled, the project not stopped, and what
// a repair is about is what is there.
type Admit struct {
	Rollout, Stage, Environment string
	// Behind are the environments in which the release is not verified yet, because that
	// gate was skipped (rule 23).
	Behind []string
	// Hold is that of a rollback (rule 21), otherwise nil. It is set in the same transaction,
	// in which newer releases also stop being verified there.
	Hold *core.Hold
}

// Start makes a run. Kind is deploy, destroy, verify, preview or image.
type Start struct {
	Rollout, Stage, Stack string
	Kind                  core.RunKind
	Image                 string // digest of the image, of kind image
}

// Move makes an instance that got another name that other one, with its state (rule 27).
type Move struct {
	Rollout, Stage string
	From, To       string // stacks
}

// Supersede ends a stage, or a run that has not applied, for a newer release (rule 6).
type Supersede struct {
	Rollout, Stage string
	Run            string // when not "", only this run of the stage
	By             int64  // number of the release that takes its place
}

// Resume lets a run that awaits approvals be planned again: it has them, or its plan is out
// of date. Whether the new plan is the approved one is decided when it is there.
type Resume struct{ Run, Why string }

// CancelRun asks a run to stop, because its rollout was cancelled or has to go back.
type CancelRun struct {
	Run string
	By  string // for the audit log: what asks
}

// StopWatch ends a verify run: the bake is over.
type StopWatch struct{ Run string }

// SetStage moves a stage to Status, and says what it waits for.
type SetStage struct {
	Rollout, Stage string
	From, Status   core.StageStatus
	WaitsFor       string // Waits in one line
	Waits          []core.Wait
}

// SetRollout moves a rollout to Status.
type SetRollout struct {
	Rollout      string
	From, Status core.RolloutStatus
}

// Rollback makes a rollout that takes an environment back to an older release, because a
// verification said no (rule 21). Whoever carries it out repeats in the same transaction
// that this release was not rolled back from there by itself before.
type Rollback struct {
	Environment string
	From, To    int64 // numbers of releases
	Reason      string
}

// SetHold puts a hold on an environment (rules 18 and 21).
type SetHold struct {
	Environment string
	Hold        core.Hold
}

func (Admit) decision()      {}
func (Start) decision()      {}
func (Move) decision()       {}
func (Supersede) decision()  {}
func (Resume) decision()     {}
func (CancelRun) decision()  {}
func (StopWatch) decision()  {}
func (SetStage) decision()   {}
func (SetRollout) decision() {}
func (SetHold) decision()    {}
func (Rollback) decision()   {}
