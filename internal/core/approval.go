package core

import "time"

// Binding is what an approval is for. Any change of it voids the approval (rule 11).
type Binding struct {
	Release     int64
	Environment string
	Plan        string // digest
	State       StateRef
	Guardrails  string // digest
}

// StateRef names the state that a plan was made from; zero is none.
type StateRef struct {
	Lineage string
	Serial  int64
}

// Vote is what a person said to a plan that waits for approvals. Votes are never
// changed, but for being voided.
type Vote struct {
	ID      string
	Project string
	Stage   string
	Run     string
	Stack   string
	Binding
	By       string // "user:ana"
	At       time.Time
	Reason   string
	Approves bool   // false rejects
	Void     string // why it does not count any more, "" while it does
}

// Votes stores what people say to plans.
type Votes interface {
	AddVote(Vote) error
	// VoidVote says why a vote does not count any more. Conflict when that was said already.
	VoidVote(id, why string) error
	// VotesOn returns those on the plans that a stage had for a stack, oldest first.
	VotesOn(stage, stack string) ([]Vote, error)
	// VotesOf returns those on the plans that a run had, oldest first.
	VotesOf(run string) ([]Vote, error)
}
