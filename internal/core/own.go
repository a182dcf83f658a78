package core

import "time"

// OwnState is what a run last saw of the state of an instance that is kept by the
// stack's own backend (state = "stack"), which the server cannot reach. While an
// instance has one, it stands for its state: the built-in versions, if there are any,
// are history.
//
// The outputs are not here but sealed, as the document "outputs" of Run.
type OwnState struct {
	Project     string
	Stack       string
	Environment string
	Backend     string // its type: "s3", "pg", "local", …
	Lineage     string // "" while nothing is stored there
	Serial      int64
	Resources   int // managed ones
	Run         string
	Seen        time.Time
}

// Stored reports whether the backend had a state at all.
func (o OwnState) Stored() bool { return o.Lineage != "" }

// ContinuedBy reports whether a state with this lineage and serial is the same state or
// a later one. Where nothing would be forgotten, every state is.
func (o OwnState) ContinuedBy(lineage string, serial int64) bool {
	return o.Resources == 0 || o.Lineage == lineage && o.Serial <= serial
}

// OwnStates stores what is known of states in backends of the stacks' own.
type OwnStates interface {
	PutOwnState(OwnState) error
	OwnState(project, stack, environment string) (OwnState, error)
	OwnStates(project string) ([]OwnState, error) // by environment and stack
	// DeleteOwnState succeeds when there is none.
	DeleteOwnState(project, stack, environment string) error
}
