package wire

import "time"

// Ballot is what a person says to a plan that waits for approvals.
type Ballot struct {
	Reason string `json:"reason,omitempty" maxLength:"2000"`
	Plan   string `json:"plan,omitempty" doc:"digest of the plan that was looked at; another one is not voted on"`
}

// Approval is a run that waits for approvals.
type Approval struct {
	Run      string    `json:"run"`
	Project  string    `json:"project"`
	Instance string    `json:"instance"`
	Kind     string    `json:"kind"`
	Rollout  string    `json:"rollout"`
	Stage    string    `json:"stage"`
	Release  Release   `json:"release"`
	AskedBy  string    `json:"asked_by" doc:"who or what started the rollout"`
	Since    time.Time `json:"since"`
	Changes  Changes   `json:"changes"`
	// Binding: an approval is for exactly this, and void when any of it changes.
	Binding Binding `json:"binding"`
	// Requirements are what each source asks for; each is met on its own.
	Requirements []Requirement `json:"requirements"`
	Votes        []Vote        `json:"votes" doc:"of its stage on this instance, oldest first"`
	WaitsFor     string        `json:"waits_for" doc:"all of it in a sentence"`
	Again        string        `json:"again,omitempty" doc:"why earlier approvals do not count any more"`
	// May and MayNot are about whoever asks.
	May    bool   `json:"may_approve"`
	MayNot string `json:"may_not,omitempty" doc:"why the caller may not approve it"`
}

// Binding is what an approval is for.
type Binding struct {
	Release     int64  `json:"release"`
	Environment string `json:"environment"`
	Plan        string `json:"plan" doc:"digest"`
	Lineage     string `json:"state_lineage"`
	Serial      int64  `json:"state_serial"`
	Guardrails  string `json:"guardrails,omitempty" doc:"digest"`
}

// Requirement is what one source asks for before a plan is applied.
type Requirement struct {
	Source  string   `json:"source" doc:"where it is written"`
	Why     string   `json:"why,omitempty" doc:"what of the plan makes it necessary"`
	Count   int      `json:"count"`
	From    []string `json:"from" doc:"user:NAME or group:NAME; empty means any operator"`
	Others  bool     `json:"others" doc:"neither the commit's author nor who asked for the rollout"`
	Expires string   `json:"expires,omitempty" doc:"how long an approval counts, a Go duration"`
	Missing int      `json:"missing"`
}

// Vote is what somebody said to a plan.
type Vote struct {
	ID      string    `json:"id"`
	Run     string    `json:"run"`
	By      string    `json:"by"`
	At      time.Time `json:"at"`
	Verdict string    `json:"verdict" enum:"approve,reject"`
	Reason  string    `json:"reason,omitempty"`
	Binding Binding   `json:"binding"`
	Void    string    `json:"void,omitempty" doc:"why it does not count any more"`
}
