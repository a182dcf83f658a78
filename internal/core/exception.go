package core

import "time"

// Bounds of how long an exception may wait to be used.
const (
	LeastException = time.Minute
	MostException  = 7 * 24 * time.Hour
)

// Exception lets one apply do to one protected address what rule 13 forbids.
type Exception struct {
	ID          string
	Project     string
	Stack       string
	Environment string
	Address     string // of one resource, not a pattern
	Reason      string
	By          string
	ConfirmedBy string // the second person, "" while nobody has
	Created     time.Time
	Expires     time.Time
	// Ended is when it was used or taken back; UsedBy is the run that used it, or "user:…"
	// for a person's write of the state.
	Ended  time.Time
	UsedBy string
}

// Open reports whether it can be used.
func (e Exception) Open(now time.Time) bool { return e.Ended.IsZero() && now.Before(e.Expires) }
