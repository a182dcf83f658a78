package core

import (
	"testing"
	"time"
)

func TestInstants(t *testing.T) {
	for _, c := range []struct{ wall, zone, first, last string }{
		{"2026-12-20T00:00", "Europe/Berlin", "2026-12-19T23:00:00Z", ""},
		{"2027-01-02T09:00", "Europe/Berlin", "2027-01-02T08:00:00Z", ""},
		{"2026-07-01T12:00", "Europe/Berlin", "2026-07-01T10:00:00Z", ""},
		{"2026-12-20T00:00", "UTC", "2026-12-20T00:00:00Z", ""},
		// On 29 March 2026, 02:00 in Berlin is 03:00 at once.
		{"2026-03-29T01:59", "Europe/Berlin", "2026-03-29T00:59:00Z", ""},
		{"2026-03-29T02:00", "Europe/Berlin", "2026-03-29T01:00:00Z", ""},
		{"2026-03-29T02:30", "Europe/Berlin", "2026-03-29T01:00:00Z", ""},
		{"2026-03-29T03:00", "Europe/Berlin", "2026-03-29T01:00:00Z", ""},
		// On 25 October 2026, 02:00 to 03:00 comes twice.
		{"2026-10-25T01:59", "Europe/Berlin", "2026-10-24T23:59:00Z", ""},
		{"2026-10-25T02:00", "Europe/Berlin", "2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"},
		{"2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"2026-10-25T03:00", "Europe/Berlin", "2026-10-25T02:00:00Z", ""},
		{"2026-11-01T01:30", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z"},
		{"2026-03-08T02:30", "America/New_York", "2026-03-08T07:00:00Z", ""},
		// Half an hour comes twice, and is left out.
		{"2026-04-05T01:45", "Australia/Lord_Howe", "2026-04-04T14:45:00Z", "2026-04-04T15:15:00Z"},
		{"2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30:00Z", ""},
		// A day was left out.
		{"2011-12-30T12:00", "Pacific/Apia", "2011-12-30T10:00:00Z", ""},
		{"2026-06-01T12:00", "Pacific/Kiritimati", "2026-05-31T22:00:00Z", ""},
	} {
		zone, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		wall, err := time.Parse(WallLayout, c.wall)
		if err != nil {
			t.Fatal(err)
		}
		if c.last == "" {
			c.last = c.first
		}
		first, last := Instants(wall, zone)
		if got, want := first.Format(time.RFC3339)+" "+last.Format(time.RFC3339), c.first+" "+c.last; got != want {
			t.Errorf("%s in %s: %s, want %s", c.wall, c.zone, got, want)
		}
	}
}
