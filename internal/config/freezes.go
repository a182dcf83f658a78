package config

import (
	"fmt"
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
)

// freeze reads a freeze block. It closes as much as its times can mean: what comes twice,
// because clocks are put back, begins with the first and ends with the second.
func (l *load) freeze(b body) (f Freeze, ok bool) {
	before := len(l.diags)
	f.Zone = l.zone(b)
	f.Reason = l.text(b, "reason", "", l.ctx)
	from, fromOK := l.wallTime(b, "from")
	to, toOK := l.wallTime(b, "to")
	if !fromOK || !toOK || len(l.diags) > before {
		return f, false
	}
	f.From, _ = core.Instants(from, f.Zone)
	_, f.To = core.Instants(to, f.Zone)
	if !f.From.Before(f.To) {
		l.error(b.rangeOf("to"), "A freeze that ends before it begins", "to has to be later than from.")
		return f, false
	}
	return f, true
}

// wallTime reads a date with a time of day.
func (l *load) wallTime(b body, name string) (time.Time, bool) {
	v, ok := l.plain(b, name, cty.String, l.ctx)
	if !ok {
		return time.Time{}, false
	}
	t, err := time.Parse(core.WallLayout, v.AsString())
	if err != nil {
		l.error(b.rangeOf(name), fmt.Sprintf("%q is not a date with a time of day", v.AsString()), "Write YYYY-MM-DDTHH:MM, for example \"2026-12-20T00:00\". zone says whose clocks are meant.")
		return t, false
	}
	return t, true
}

// zone reads a time zone.
func (l *load) zone(b body) *time.Location {
	name := l.text(b, "zone", "UTC", l.ctx)
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" || name == "" {
		l.error(b.rangeOf("zone"), fmt.Sprintf("Unknown time zone %q", name), "Use a name of the IANA database, for example \"Europe/London\", \"America/New_York\" or \"UTC\".")
	}
	return zone
}
