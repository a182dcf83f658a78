package core

import "time"

// WallLayout is how people write a time of a zone's clocks.
const WallLayout = "2006-01-02T15:04"

// Instants returns the first and the last moment at which the clocks of a zone show what
// wall shows, whose own zone does not matter. Mostly they are the same. What comes twice,
// because clocks are put back, has two. What never comes, because clocks are put forward
// over it, is the moment in which they are.
func Instants(wall time.Time, zone *time.Location) (first, last time.Time) {
	wall = time.Date(wall.Year(), wall.Month(), wall.Day(), wall.Hour(), wall.Minute(), wall.Second(), 0, time.UTC)
	at := func(probe time.Time) time.Time {
		_, offset := probe.In(zone).Zone()
		return wall.Add(-time.Duration(offset) * time.Second)
	}
	// Clocks are not changed twice within these days.
	const far = 40 * time.Hour
	before, after := at(wall.Add(-far)), at(wall.Add(far))
	shows := func(t time.Time) bool {
		local := t.In(zone)
		return local.Format(time.DateTime) == wall.Format(time.DateTime)
	}
	switch {
	case shows(before) && shows(after):
		return before, after // put back: with the offset from before it comes earlier
	case shows(before):
		return before, before
	case shows(after):
		return after, after
	}
	change, _ := before.In(zone).ZoneBounds()
	return change.UTC(), change.UTC()
}
