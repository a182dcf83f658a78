package core

import "time"

// Skippable are the gates that people may skip by name (rule 23). Checks, approvals and
// protection are not among them, nor is the lease or the order of releases.
var Skippable = []Gate{GateUpstream, GateHold, GateFreeze, GateWindow, GateParity, GateBake}

// Skip is what a person said about gates of a stage. It stays with the stage for ever.
type Skip struct {
	Gates  []Gate    `json:"gates"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	// Second is who agreed, where the guardrails want a second person; "" when nobody has.
	Second       string    `json:"second,omitempty"`
	SecondReason string    `json:"second_reason,omitempty"`
	SecondAt     time.Time `json:"second_at,omitzero"`
}
