package core

import "time"

// Replacement asks the next run of an instance to replace one of its resources, as a
// taint does, without touching its state.
type Replacement struct {
	ID          string
	Project     string
	Stack       string
	Environment string
	Address     string // of one resource, not a pattern
	Reason      string
	By          string
	Created     time.Time
	// Run is the run that last set out to do it, "" when none has.
	Run string
	// Ended is when it was done or taken back. TakenBack is by whom, "" when it was done.
	Ended     time.Time
	TakenBack string
}

// Open reports whether it is still to be done.
func (r Replacement) Open() bool { return r.Ended.IsZero() }

// Of reports whether it is one of an instance.
func (r Replacement) Of(stack, environment string) bool {
	return r.Stack == stack && r.Environment == environment
}
