package core

import "time"

// Gate is what a stage can wait for. People name some of them to terrace promote
// --skip-gate; see Skippable.
type Gate string

const (
	// GateProject: the project is stopped until somebody acknowledges its history (rule 2).
	GateProject Gate = "project"
	// GateUpstream: an environment named in after has not verified the release (rule 5).
	GateUpstream Gate = "upstream"
	// GateHold: somebody, a failure or a rollback holds the environment (rule 22).
	GateHold Gate = "hold"
	// GateFreeze: the environment is frozen (rule 24).
	GateFreeze Gate = "freeze"
	// GateWindow: no window of the environment is open (rule 24).
	GateWindow Gate = "window"
	// GateParity: the environment is not enough like another one.
	GateParity Gate = "parity"
	// GateSkip: a second person has to agree to a skip (rule 23).
	GateSkip Gate = "skip"
	// GateOrder: another release goes first (rules 6 and 7).
	GateOrder Gate = "order"
	// GateLease: another stage is in the environment (rule 4).
	GateLease Gate = "lease"
	// GateApproval: people have to agree to a plan (rule 11).
	GateApproval Gate = "approval"
	// GateVerification: a verification had no answer (rule 16), or has to end.
	GateVerification Gate = "verification"
	// GateUnknown: nobody knows the outcome of a run (rule 20).
	GateUnknown Gate = "unknown"
	// GateBake: verification goes on for a while (rule 17).
	GateBake Gate = "bake"
	// GateMove: an instance gets another name, and somebody works on it (rule 27).
	GateMove Gate = "move"
	// GateRuns: runs that were asked to stop have to.
	GateRuns Gate = "runs"
)

// Wait is one thing that a stage waits for.
type Wait struct {
	Gate Gate `json:"gate"`
	// On is what it is about: an environment, an instance, a run, a release. Two waits
	// with the same gate and On are the same wait, which goes on.
	On string `json:"on"`
	// What is for people, and continues "waits for": "a hold on production: because".
	What  string    `json:"what"`
	Since time.Time `json:"since"`
	// Until is when time alone ends it; zero when time does not.
	Until time.Time `json:"until,omitzero"`
	// OpensBy is the command, or what has to happen, that ends it.
	OpensBy string `json:"opens_by,omitempty"`
	// ForPerson: it ends by what a person does and by nothing else.
	ForPerson bool `json:"for_person,omitempty"`
	// Who it has to come from, as "group:platform"; empty: anybody who operates the project.
	Who []string `json:"who,omitempty"`
}
