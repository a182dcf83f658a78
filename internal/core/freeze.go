package core

import "time"

// Freeze lets nothing change in an environment for a while (rule 24).
type Freeze struct {
	ID          string
	Project     string
	Environment string // "" means all of the project, also those that come later
	From        time.Time
	Until       time.Time // zero: until somebody lifts it
	Reason      string
	By          string
	Created     time.Time
	Lifted      time.Time // zero when nobody did
	LiftedBy    string
}

// Of reports whether the freeze is one of an environment.
func (f Freeze) Of(environment string) bool {
	return f.Environment == "" || f.Environment == environment
}

// Over reports whether the freeze closes nothing any more.
func (f Freeze) Over(now time.Time) bool {
	return !f.Lifted.IsZero() || !f.Until.IsZero() && !now.Before(f.Until)
}
