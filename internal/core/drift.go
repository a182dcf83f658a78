package core

import "time"

// Drift is what the newest look at an instance found (rule 25): how what is there differs
// from its state, and hosts from what their playbook made of them.
type Drift struct {
	Project     string
	Stack       string
	Environment string
	Run         string // of kind drift; "" when something was applied since, which saw it last
	// State names the state that was compared, as the state service calls it; "" when the look told
	// nothing, because it failed or the state changed meanwhile.
	State   string
	Changed int // resources with other attributes
	Gone    int // resources that are not there any more
	Outputs int // outputs that would be others
	Hosts   int // hosts that are not as their playbook left them
	Looked  time.Time
	Error   string // why it told nothing, "" when it did
}

// Found reports whether anything differs.
func (d Drift) Found() bool { return d.Changed+d.Gone+d.Outputs+d.Hosts > 0 }

// Drifts stores the newest look at each instance.
type Drifts interface {
	PutDrift(Drift) error // replaces the one before
	// Drift returns the zero value (with names set) for an instance that nobody looked at.
	Drift(project, stack, environment string) (Drift, error)
	Drifts(project string) ([]Drift, error) // by environment and stack
}
