package wire

import "time"

// SetFreeze asks for a freeze.
type SetFreeze struct {
	Environment string    `json:"environment,omitempty" maxLength:"63" doc:"missing: all environments of the project, also those that come later"`
	From        time.Time `json:"from,omitzero" doc:"missing: now"`
	Until       time.Time `json:"until,omitzero" doc:"missing: until somebody lifts it"`
	For         string    `json:"for,omitempty" doc:"instead of until: how long it lasts, a Go duration"`
	Reason      string    `json:"reason,omitempty"`
}

// Freeze lets nothing change in an environment for a while.
type Freeze struct {
	ID          string     `json:"id,omitempty" doc:"missing: it is written in a configuration"`
	Environment string     `json:"environment,omitempty" doc:"missing: all of the project"`
	From        time.Time  `json:"from"`
	Until       *time.Time `json:"until,omitempty" doc:"missing: until somebody lifts it"`
	Reason      string     `json:"reason"`
	By          string     `json:"by" doc:"who set it, or where it is written"`
	Status      string     `json:"status" enum:"planned,active,over,lifted"`
	Lifted      *time.Time `json:"lifted,omitempty"`
	LiftedBy    string     `json:"lifted_by,omitempty"`
}
