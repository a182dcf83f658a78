package promotion

import (
	"slices"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Freeze is when an environment may not change, whatever its windows say (rule 24).
type Freeze struct {
	ID          string // of one that a person set, "" of one that is written in a configuration
	Everywhere  bool   // a person set it on all environments
	From, Until time.Time
	Zone        *time.Location
	Reason      string
	By          string // who set it, or where it is written
}

// covers reports whether nothing may change at t.
func (f Freeze) covers(t time.Time) bool {
	return !t.Before(f.From) && (f.Until.IsZero() || t.Before(f.Until))
}

// Closed is rule 24: what keeps an environment from being changed now, nothing when it may
// be. What people skipped is left out (rule 23).
func Closed(e Environment, skips []core.Skip, now time.Time) []core.Wait {
	var waits []core.Wait
	opening := now
	if !Skipped(skips, e.SecondPerson, core.GateWindow) {
		opening = NextOpening(e.Windows, now)
	}
	if !Skipped(skips, e.SecondPerson, core.GateFreeze) {
		for _, f := range e.Freezes {
			// One that begins before the window opens is in the way as well.
			if f.covers(now) || f.covers(opening) {
				waits = append(waits, freezeWait(e.Name, f))
			}
		}
		slices.SortStableFunc(waits, func(a, b core.Wait) int { return lasts(b).Compare(lasts(a)) })
	}
	if !opening.Equal(now) {
		waits = append(waits, windowWait(e.Name, opening, e.Windows[0].zone()))
	}
	return waits
}

// lasts is when a wait ends, far away when time does not end it.
func lasts(w core.Wait) time.Time {
	if w.Until.IsZero() {
		return time.Unix(1<<40, 0)
	}
	return w.Until
}
