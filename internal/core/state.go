package core

import "time"

// StateVersion is one stored state. Versions are append-only.
type StateVersion struct {
	ID          int64 // grows with every version of any instance
	Project     string
	Stack       string
	Environment string
	Serial      int64
	Lineage     string
	MD5         string // hex, of the plain bytes
	Size        int64  // bytes, plain
	Resources   int
	Blob        string // key in the blob store; the content is sealed. "" says that the state was deleted
	Run         string // the run that wrote it, "" when a person did
	By          string // "run:r-…" or "user:…"
	Fence       int64
	Created     time.Time
}

// StateLock is the right to write one instance's state.
type StateLock struct {
	Project     string
	Stack       string
	Environment string
	ID          string // as the client gave it
	Info        string // the client's lock info, JSON, returned to those who lose
	Fence       int64  // grows for ever, over all instances
	By          string
	Run         string
	Created     time.Time
}

// Held is what is kept of an instance's state; nil is what there is none of.
type Held struct {
	Current *StateVersion
	Lock    *StateLock
	Own     *OwnState
	Unknown string // as of InstanceState
}

// Recovered is a state write that was refused for its fence, lineage or serial, or
// that a runner kept because it could not deliver it. It is never current by itself.
type Recovered struct {
	ID          int64
	Project     string
	Stack       string
	Environment string
	Serial      int64
	Lineage     string
	MD5         string
	Size        int64
	Blob        string
	Run         string
	By          string
	Reason      string
	Created     time.Time
	Used        bool // a recover run made it a version
}

// RunDoc is a document of a run, as it is stored.
type RunDoc struct {
	Run, Kind string
	Sealed    []byte
}

// Secret is a secret value of an environment, as it is stored.
type Secret struct {
	Project, Environment, Name string
	Sealed                     []byte
}

// TokenKind is what a token is good for.
type TokenKind string

const (
	// TokenPerson is of a person or a machine. What it may do, its role says. (The word
	// is of the time before there were roles.)
	TokenPerson TokenKind = "admin"
	// TokenRun may do what one run needs: read its job, report, and reach its
	// instance's state, writing only while the run is applying.
	TokenRun TokenKind = "run"
)

// Token is a stored credential. The secret itself is never stored.
type Token struct {
	ID   string
	Hash string // hex SHA-256 of the secret
	Kind TokenKind
	Name string // for people: "admin", "ana's laptop"
	User string // for TokenPerson: whose it is; "user:" and this is how they appear in events
	Role Role   // for TokenPerson: "" means what the guardrails give the user
	// Project and Environment are where a Role of its own holds; "" means in all.
	Project, Environment string
	Parent               string // the token that let this browser in, and ends it; "" for others
	Run                  string // for TokenRun
	Fence                int64  // for TokenRun: of the attempt it was made for
	Created              time.Time
	Expires              time.Time // zero: never
	Revoked              bool
}

// LetsIn reports whether the token still lets anybody in.
func (t Token) LetsIn(now time.Time) bool {
	return !t.Revoked && (t.Expires.IsZero() || !now.After(t.Expires))
}

// Event is one line of the audit log. Hash is SHA-256 over the previous event's
// hash and this one's fields, so that an edit, a deletion or a reordering shows.
type Event struct {
	Seq     int64
	At      time.Time
	By      string // "user:…", "run:…", "server"
	Kind    string // "rollout.started", "run.failed", "state.written", …
	Project string
	On      string            // what it is about: an instance, an environment, an id
	Data    map[string]string // small facts
	Prev    string
	Hash    string
}

// LogChunk is a numbered piece of a run's log. Numbers start at 1 and have no gap.
type LogChunk struct {
	Run    string
	Seq    int64
	Offset int64  // bytes of the log before this chunk
	Phase  string // "prepare", "plan", "apply", "provision", "verify"
	Text   string
	At     time.Time
}
