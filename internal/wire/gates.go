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

// Skip is what a person said about gates of a stage. It stays with the stage for ever.
type Skip struct {
	Gates        []string  `json:"gates"`
	By           string    `json:"by"`
	Reason       string    `json:"reason"`
	At           time.Time `json:"at"`
	Second       string    `json:"second,omitempty" doc:"who agreed, where the guardrails want a second person"`
	SecondReason string    `json:"second_reason,omitempty"`
	SecondAt     time.Time `json:"second_at,omitzero"`
}

// Promote asks for a release to enter an environment on purpose.
type Promote struct {
	Release  int64    `json:"release,omitempty" minimum:"1" doc:"its number; missing: the candidate"`
	SkipGate []string `json:"skip_gate,omitempty" maxItems:"16" doc:"gates to skip for it: upstream, hold, freeze, window, bake"`
	Reason   string   `json:"reason,omitempty" doc:"why; needed to skip"`
	LiftHold bool     `json:"lift_hold,omitempty" doc:"a hold that is in the way may be lifted"`
}

// Candidate is the release that promoting an environment means, and what is in its way.
type Candidate struct {
	Environment  string  `json:"environment"`
	Release      Release `json:"release"`
	Rollout      string  `json:"rollout,omitempty" doc:"missing: promoting makes one"`
	Stage        string  `json:"stage,omitempty"`
	Status       string  `json:"status,omitempty" doc:"of the stage"`
	Hold         *Hold   `json:"hold,omitempty" doc:"what has to be lifted for it"`
	Waits        []Wait  `json:"waits" doc:"what it waits for beside the hold, without what is skipped"`
	SecondPerson bool    `json:"second_person,omitempty" doc:"skipping takes effect when somebody else agrees"`
}

// Promoted is what promoting did.
type Promoted struct {
	Candidate
	Lifted  *Hold   `json:"lifted,omitempty" doc:"the hold that was lifted"`
	Skipped *Skip   `json:"skipped,omitempty"`
	Journey Rollout `json:"journey" doc:"the rollout, as it was then"`
}

// PendingSkip is a skip that waits for a second person.
type PendingSkip struct {
	Skip
	Project     string  `json:"project"`
	Rollout     string  `json:"rollout"`
	Stage       string  `json:"stage"`
	Environment string  `json:"environment"`
	Release     Release `json:"release"`
	MayNot      string  `json:"may_not,omitempty" doc:"why you may not agree"`
}
