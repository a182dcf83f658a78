package core

import (
	"regexp"
	"strings"
	"time"
)

// Project is one terrace.hcl in one git repository on one tracked branch.
type Project struct {
	Name    string
	Repo    string // URL or path, as git takes it
	Branch  string
	Path    string // directory of terrace.hcl inside the repository, "." for its root
	Created time.Time

	Head         string    // newest commit of the branch that was recorded
	Checked      time.Time // when the branch was last read successfully
	CheckError   string    // why the last reading failed, "" when it did not
	Stopped      string    // rule 2: why promotion stopped until somebody acknowledges, "" when it did not
	StoppedHead  string    // the head that asks to be acknowledged
	Acknowledged int64     // releases up to this number may be missing from the branch: somebody accepted that
	WebhookToken string    // secret of the webhook's HMAC; sealed at rest

	Sandbox *Sandbox // nil for the projects that people add
	Forge   *Forge   // nil when nobody said where it is hosted
}

// Release is the immutable thing that is promoted: one per project and commit.
type Release struct {
	Project string
	// Number orders releases: the first-parent position of the commit on the
	// tracked branch; after an acknowledged rewrite of history it goes on from the
	// highest number given so far. It never depends on time.
	Number    int64
	Commit    string
	Author    string // "Name <address>"
	Committer string // likewise; "" in releases of before it was kept
	Message   string
	Committed time.Time
	Created   time.Time
	Barrier   bool   // rule 7: may not be skipped
	Invalid   string // diagnostics of a terrace.hcl that does not hold; "" when it does
}

// Subject is the first line of the commit message.
func (r Release) Subject() string {
	s, _, _ := strings.Cut(r.Message, "\n")
	return s
}

// ShortCommit is the first eight characters of a commit.
func ShortCommit(commit string) string {
	if len(commit) > 8 {
		return commit[:8]
	}
	return commit
}

// RolloutStatus and StageStatus share their words.
type RolloutStatus string

const (
	RolloutRunning    RolloutStatus = "running"
	RolloutSucceeded  RolloutStatus = "succeeded"
	RolloutFailed     RolloutStatus = "failed"
	RolloutErrored    RolloutStatus = "errored"
	RolloutCancelled  RolloutStatus = "cancelled"
	RolloutSuperseded RolloutStatus = "superseded"
	RolloutUnknown    RolloutStatus = "unknown"
)

// Terminal reports whether a rollout in s does nothing more by itself. An unknown
// rollout goes on after a recover run.
func (s RolloutStatus) Terminal() bool { return s != RolloutRunning && s != RolloutUnknown }

// RolloutKind says where a rollout takes its release.
type RolloutKind string

const (
	// RolloutPromotion: through every environment.
	RolloutPromotion RolloutKind = "promotion"
	// RolloutRollback: back into one environment, where it was verified before (rule 21).
	RolloutRollback RolloutKind = "rollback"
	// RolloutRepair: again into the one environment that it is in, where something drifted (rule 25).
	RolloutRepair RolloutKind = "repair"
)

// Rollout is the journey of one release through the environments.
type Rollout struct {
	ID       string
	Project  string
	Kind     RolloutKind
	Release  Release
	Status   RolloutStatus
	By       string // who or what asked: "push", "poll", "user:ana"
	Manual   bool   // a person asked for exactly this release (passes a failure's hold)
	Cancel   bool
	Created  time.Time
	Finished time.Time
	Stages   []Stage // in promotion order

	// Of a rollback alone.
	From   int64  // number of the release that was there when it was asked for
	Reason string // a person's words, or why the server started it

	// Repairs are the stacks that a repair runs again.
	Repairs []string
	// AllHosts has Ansible run on all hosts, also where nothing of it has changed.
	AllHosts bool
}

// Automatic reports whether it is a rollback that nobody asked for.
func (r Rollout) Automatic() bool { return r.Kind == RolloutRollback && !r.Manual }

// StageStatus is where a stage is. It is a function of the stage's runs and gates,
// stored only for queries.
type StageStatus string

const (
	StageWaiting    StageStatus = "waiting"
	StageRunning    StageStatus = "running"
	StageBaking     StageStatus = "baking"
	StageSucceeded  StageStatus = "succeeded"
	StageFailed     StageStatus = "failed"
	StageErrored    StageStatus = "errored"
	StageCancelled  StageStatus = "cancelled"
	StageSuperseded StageStatus = "superseded"
	StageUnknown    StageStatus = "unknown"
)

// Terminal reports whether a stage in s does nothing more by itself.
func (s StageStatus) Terminal() bool {
	switch s {
	case StageWaiting, StageRunning, StageBaking, StageUnknown:
		return false
	}
	return s != ""
}

// HoldsLease reports whether a stage in s holds its environment's lease (rule 4).
// An unknown stage keeps it: nothing may enter until somebody recovered.
func (s StageStatus) HoldsLease() bool {
	return s == StageRunning || s == StageBaking || s == StageUnknown
}

// Stage is a rollout in one environment.
type Stage struct {
	ID          string
	Rollout     string
	Project     string
	Environment string
	Position    int // in promotion order, from 0
	Status      StageStatus
	WaitsFor    string // for a person; "" when it waits for nothing
	Waits       []Wait // all that it waits for, in the order in which that can end
	Skips       []Skip // what people said about its gates (rule 23), oldest first
	Fence       int64  // of the environment lease; 0 until admitted
	Started     time.Time
	Finished    time.Time
	Baked       time.Duration // of the bake, as accrued by a monotonic clock (rule 17)
	// Withdrawn: it succeeded, and a rollback took the environment back behind its release
	// since, so that nothing goes on from it (rule 21).
	Withdrawn bool
}

// HoldKind says who set a hold, and so what passes it.
type HoldKind string

const (
	// HoldFailure is set by rule 18. A newer release passes it, since it is the
	// correction; so does a rollout that a person started.
	HoldFailure HoldKind = "failure"
	// HoldPerson is set by a person; only a person lifts it.
	HoldPerson HoldKind = "person"
	// HoldRollback is set by a rollback, in the moment in which it enters; only a person
	// lifts it. Another rollback that a person asks for passes it.
	HoldRollback HoldKind = "rollback"
)

// Hold is a stop on an environment.
type Hold struct {
	Kind    HoldKind
	Reason  string
	By      string
	Since   time.Time
	Release int64 // number of the release that failed, or was rolled back; 0 for a person's
}

// EnvironmentState is what the store knows of an environment of a project. Its
// configuration comes with each release.
type EnvironmentState struct {
	Project  string
	Name     string
	Fence    int64  // of the newest lease; grows for ever
	Stage    string // holder of the lease, "" when free
	Hold     *Hold
	Entered  int64 // number of the newest release that was ever admitted (rule 8)
	Present  int64 // number of the release that was admitted last; less than Entered after a rollback
	Verified int64 // number of the release that was verified here last (rules 5 and 21)
	// Undone is the number of the newest release that the server rolled back by itself,
	// which it never does twice (rule 21).
	Undone int64
	// Ahead is the number of the release that entered though it was not verified in the
	// environments of AheadOf, which catch up before ordinary promotion goes on (rule 23);
	// 0 and nil when none did since.
	Ahead   int64
	AheadOf []string
}

// Verification says that a release was verified in an environment: its stage succeeded.
// They are what a rollback may go back to.
type Verification struct {
	Project     string
	Environment string
	Release     Release
	Rollout     string
	At          time.Time
}

// InstanceState is what the store knows of a stack in an environment.
type InstanceState struct {
	Project     string
	Stack       string
	Environment string

	Digest     string            // input digest last applied and verified; "" when never, or since an apply began
	Components map[string]string // its parts
	Provision  string            // provisioning digest last provisioned
	Release    Release           // newest release whose wishes the instance fulfils
	Since      time.Time         // since when
	Run        string            // last run
	RunStatus  RunStatus         // its status
	Unknown    string            // rule 20: the run whose outcome nobody knows, "" otherwise
	Applied    int64             // number of the release last applied, even if unverified: destroy plans use it (rule 27)
	Commit     string            // its commit
	// Kept are the addresses of resources that a rollback kept although the release that is
	// there does not have them, each with what kept it. They stay protected (rule 21).
	Kept     map[string]string
	HasState bool // the current state version has at least one resource; read from it, not written
	// MovedFrom is the stack that it was when it was applied last (rule 27), "" when it was
	// this one: its next plan has to prove that it still is the same.
	MovedFrom string
}

// InstanceName writes stack@environment.
func InstanceName(stack, environment string) string { return stack + "@" + environment }

// ParseInstance splits stack@environment. An Invalid error says how one looks.
func ParseInstance(s string) (stack, environment string, err error) {
	stack, environment, ok := strings.Cut(s, "@")
	if !ok || !ValidName(stack) || !ValidName(environment) {
		return "", "", Errorf(Invalid, "%q is not an instance; write STACK@ENVIRONMENT, for example web@production", s)
	}
	return stack, environment, nil
}

var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$`)

// ValidName reports whether s may name a project, an environment or a stack:
// 1 to 63 letters, digits, "-" and "_", starting with a letter or digit. So a name is
// always a safe path element, URL segment and argument.
func ValidName(s string) bool { return nameRE.MatchString(s) }

// CheckName is ValidName with an Invalid error that names the kind of thing.
func CheckName(kind, s string) error {
	if ValidName(s) {
		return nil
	}
	return Errorf(Invalid, "%q cannot name a %s: use 1 to 63 letters, digits, - and _, starting with a letter or digit", s, kind)
}
