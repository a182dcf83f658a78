package promotion

import (
	"slices"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Window is when an environment may change, by the wall clock of a zone (rule 24).
type Window struct {
	Days     []time.Weekday // on which it opens; empty means every day
	From, To time.Duration  // of the wall clock, since midnight; From > To goes over midnight
	Zone     *time.Location
	Firm     bool // of the guardrails: never gives way
}

// Windows are those of one configuration: open when one of them is, or when there is none.
type Windows []Window

// open reports whether the wall clock at t is inside. Where clocks are put forward, a
// window that would open in the hour that is left out opens with the next; where they are
// put back, what lies in the hour that comes twice is open twice.
func (w Window) open(t time.Time) bool {
	local := t.In(w.Zone)
	hour, minute, second := local.Clock()
	clock := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second
	today, yesterday := local.Weekday(), local.AddDate(0, 0, -1).Weekday()
	if w.From < w.To {
		return w.on(today) && clock >= w.From && clock < w.To
	}
	return w.on(today) && clock >= w.From || w.on(yesterday) && clock < w.To
}

func (w Window) on(day time.Weekday) bool { return len(w.Days) == 0 || slices.Contains(w.Days, day) }

// Open reports whether an environment may change at t.
func (ws Windows) Open(t time.Time) bool {
	return len(ws) == 0 || slices.ContainsFunc(ws, func(w Window) bool { return w.open(t) })
}

// allOpen reports whether every one of several configurations lets it change (rule 28).
func allOpen(all []Windows, t time.Time) bool {
	return !slices.ContainsFunc(all, func(ws Windows) bool { return !ws.Open(t) })
}

// horizon is how far ahead an opening is looked for. Windows repeat every week, and one
// that opens once a week may fall into the hour that a clock is put forward by.
const horizon = 15 * 24 * time.Hour

// NextOpening is when all of several configurations let an environment change, t itself
// when they do now. Where they never agree, one of the repository's two gives way, the one
// that enters before the one that is there: a commit that moves a window from one day to
// another still meets the old one (rule 28), and does not wait for ever. The guardrails
// never do. Zero: there is none within two weeks.
func NextOpening(all []Windows, t time.Time) time.Time {
	next := agreed(all, t)
	var ours []int
	for i, ws := range all {
		if len(ws) > 0 && !ws[0].Firm {
			ours = append(ours, i)
		}
	}
	if len(ours) < 2 {
		return next
	}
	for i := 0; next.IsZero() && i < len(ours); i++ {
		next = agreed(slices.Delete(slices.Clone(all), ours[i], ours[i]+1), t)
	}
	return next
}

// agreed is when all of several configurations let an environment change, zero when they
// do not within two weeks.
func agreed(all []Windows, t time.Time) time.Time {
	if allOpen(all, t) {
		return t
	}
	// Windows open on whole minutes of the wall clock, and zones differ from each other by
	// whole minutes.
	for next := t.Truncate(time.Minute).Add(time.Minute); next.Before(t.Add(horizon)); next = next.Add(time.Minute) {
		if allOpen(all, next) {
			return next
		}
	}
	return time.Time{}
}

// timeAllows is rule 24 at admission.
func timeAllows(d *decider, p place) []core.Wait { return d.closed(p) }

// closed says until when a stage may not change its environment, nothing when it may.
func (d *decider) closed(p place) []core.Wait { return Closed(p.st.Config, p.st.Skips, d.now) }

func (ws Windows) zone() *time.Location {
	if len(ws) == 0 {
		return time.UTC
	}
	return ws[0].Zone
}
