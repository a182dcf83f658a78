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

// ExceptionStatus is what an exception is at a moment.
type ExceptionStatus string

const (
	ExceptionOpen    ExceptionStatus = "open"    // it lets what it names
	ExceptionPending ExceptionStatus = "pending" // it will, once a second person has confirmed it
	ExceptionUsed    ExceptionStatus = "used"
	ExceptionEnded   ExceptionStatus = "ended" // taken back
	ExceptionExpired ExceptionStatus = "expired"
)

// ExceptionRule is what the guardrails want of exceptions somewhere. It holds for those that
// were made before it too.
type ExceptionRule struct {
	Second bool          // it takes a second person
	Most   time.Duration // how long one may last; 0: as long as it says
}

// Status says what an exception is.
func (r ExceptionRule) Status(e Exception, now time.Time) ExceptionStatus {
	switch {
	case e.UsedBy != "":
		return ExceptionUsed
	case !e.Ended.IsZero():
		return ExceptionEnded
	case !now.Before(e.Expires), r.Most > 0 && !now.Before(e.Created.Add(r.Most)):
		return ExceptionExpired
	case r.Second && e.ConfirmedBy == "":
		return ExceptionPending
	}
	return ExceptionOpen
}
