package promotion

import (
	"slices"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

const hour = time.Hour

var (
	workdays = []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday}
	office   = Windows{{Days: workdays, From: 9 * hour, To: 16 * hour, Zone: time.UTC}}
	evening  = Windows{{From: 18 * hour, To: 24 * hour, Zone: time.UTC}}
	lunch    = Windows{{Days: []time.Weekday{time.Sunday}, From: 12 * hour, To: 13 * hour, Zone: time.UTC}}
)

func opens(all ...Windows) func(*Stage) { return func(s *Stage) { s.Config.Windows = all } }

// noon is that of a Sunday.
func TestRule24_Windows(t *testing.T) {
	t.Parallel()
	const monday, tonight = "the window of dev, which opens at 09:00 on Monday, 2 March (UTC)", "the window of dev, which opens at 18:00 on Sunday, 1 March (UTC)"
	check(t, []rule{
		{"nobody enters while it is closed", snap(ro(1, in("dev", waiting, opens(office)))), nil, map[string]string{"1.dev": monday}},
		{"any of several lets in", snap(ro(1, in("dev", waiting, opens(append(office, lunch...))))), []string{"admit 1.dev"}, nil},
		{"without any it is always open", snap(ro(1, in("dev", waiting, opens(nil, nil)))), []string{"admit 1.dev"}, nil},
		{"those of the release that is there count too (rule 28)", snap(ro(1, in("dev", waiting, opens(nil, evening)))), nil, map[string]string{"1.dev": tonight}},
		{"and both have to be open", snap(ro(1, in("dev", waiting, opens(Windows{{From: 8 * hour, To: 24 * hour, Zone: time.UTC}}, evening)))), nil, map[string]string{"1.dev": tonight}},
		{"where they never are, the old one decides", snap(ro(1, in("dev", waiting, opens(lunch, evening)))), nil, map[string]string{"1.dev": tonight}},
		{"and lets in", snap(ro(1, in("dev", waiting, opens(evening, lunch)))), []string{"admit 1.dev"}, nil},
		{"what has not begun waits for the next opening", snap(ro(1, in("dev", running, opens(evening), stack("web", run(core.RunSucceeded)), stack("db", run(core.RunSuperseded))))), nil, map[string]string{"1.dev": tonight}},
		{"what is applying finishes", snap(ro(1, in("dev", running, opens(evening), stack("web", run(core.RunApplying)), stack("db")))), nil, map[string]string{}},
		{"and ends its stage", snap(ro(1, in("dev", running, opens(evening), stack("web", run(core.RunSucceeded))))), []string{"1.dev is succeeded"}, nil},
		{"a failure ends it too", snap(ro(1, in("dev", running, opens(evening), stack("web", run(core.RunFailed)), stack("db")))), []string{"1.dev is failed"}, nil},
		{"an older release enters when the newer may not", snap(ro(1, in("dev", waiting, opens(lunch))), ro(2, in("dev", waiting, opens(evening)))), []string{"admit 1.dev"}, nil},
	})
}

// firm makes windows those of the guardrails.
func firm(ws Windows) Windows {
	ws = slices.Clone(ws)
	for i := range ws {
		ws[i].Firm = true
	}
	return ws
}

// Where windows can never be open together, the guardrails' are not the ones that give way.
func TestRule28_WindowsOfTheGuardrails(t *testing.T) {
	t.Parallel()
	const tonight, never = "the window of dev, which opens at 18:00 on Sunday, 1 March (UTC)", "the window of dev, which does not open in the next two weeks"
	check(t, []rule{
		{"they hold without others", snap(ro(1, in("dev", waiting, opens(firm(evening))))), nil, map[string]string{"1.dev": tonight}},
		{"and where others are open", snap(ro(1, in("dev", waiting, opens(firm(evening), lunch, nil)))), nil, map[string]string{"1.dev": never}},
		{"the one that is there gives way to them", snap(ro(1, in("dev", waiting, opens(firm(evening), evening, lunch)))), nil, map[string]string{"1.dev": tonight}},
		{"the one that enters does, if that helps", snap(ro(1, in("dev", waiting, opens(firm(evening), lunch, evening)))), nil, map[string]string{"1.dev": tonight}},
		{"and nothing enters against them", snap(ro(1, in("dev", waiting, opens(firm(evening), lunch, lunch)))), nil, map[string]string{"1.dev": never}},
		{"nor against one of them", snap(ro(1, in("dev", waiting, opens(firm(evening), firm(lunch))))), nil, map[string]string{"1.dev": never}},
	})
}

func TestRule24_NextDueIsTheOpening(t *testing.T) {
	t.Parallel()
	s := snap(ro(1, in("dev", succeeded, opens(evening)), in("staging", waiting, opens(office))), ro(2, in("dev", running, opens(evening), stack("web"))))
	if got, want := NextDue(s, noon), noon.Add(6*hour); !got.Equal(want) {
		t.Errorf("due at %s, want %s", got, want)
	}
}

func TestRule24_TheWallClockDecides(t *testing.T) {
	t.Parallel()
	london, newYork, lordHowe := zone(t, "Europe/London"), zone(t, "America/New_York"), zone(t, "Australia/Lord_Howe")
	daily := func(from, to time.Duration, z *time.Location) Windows { return Windows{{From: from, To: to, Zone: z}} }
	night := Windows{{Days: []time.Weekday{time.Friday}, From: 22 * hour, To: 4 * hour, Zone: london}}
	for _, c := range []struct {
		what string
		w    Windows
		at   string // UTC
		want bool
		next string // "" for at itself
	}{
		{"the first moment", daily(9*hour, 16*hour, london), "2026-01-15T09:00:00Z", true, ""},
		{"the last", daily(9*hour, 16*hour, london), "2026-01-15T15:59:59Z", true, ""},
		{"the moment after", daily(9*hour, 16*hour, london), "2026-01-15T16:00:00Z", false, "2026-01-16T09:00:00Z"},
		{"in summer it opens an hour earlier", daily(9*hour, 16*hour, london), "2026-07-15T08:00:00Z", true, ""},
		{"and closes so", daily(9*hour, 16*hour, london), "2026-07-15T15:00:00Z", false, "2026-07-16T08:00:00Z"},
		{"over the change to summer time", daily(9*hour, 16*hour, london), "2026-03-28T20:00:00Z", false, "2026-03-29T08:00:00Z"},
		{"over the change back", daily(9*hour, 16*hour, london), "2026-10-24T20:00:00Z", false, "2026-10-25T09:00:00Z"},
		// On 8 March 2026, 02:00 in New York is 03:00 at once.
		{"an hour that does not exist", daily(2*hour+30*time.Minute, 3*hour+30*time.Minute, newYork), "2026-03-08T06:59:00Z", false, "2026-03-08T07:00:00Z"},
		{"a window all inside of it is left out", daily(2*hour, 3*hour, newYork), "2026-03-08T06:59:00Z", false, "2026-03-09T06:00:00Z"},
		// On 1 November 2026, 01:00 to 02:00 comes twice.
		{"an hour that comes twice, first", daily(hour, 2*hour, newYork), "2026-11-01T05:30:00Z", true, ""},
		{"and second", daily(hour, 2*hour, newYork), "2026-11-01T06:30:00Z", true, ""},
		{"half an hour is put back", daily(90*time.Minute, 2*hour, lordHowe), "2026-04-04T15:15:00Z", true, ""},
		{"over midnight", night, "2026-01-16T23:00:00Z", true, ""},
		{"into the next day", night, "2026-01-17T03:59:00Z", true, ""},
		{"until then", night, "2026-01-17T04:00:00Z", false, "2026-01-23T22:00:00Z"},
		{"not from the day before", night, "2026-01-16T03:00:00Z", false, "2026-01-16T22:00:00Z"},
		{"to midnight", daily(20*hour, 24*hour, london), "2026-01-16T23:59:59Z", true, ""},
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.w.Open(at); got != c.want {
			t.Errorf("%s: open at %s: %v", c.what, c.at, got)
		}
		want := at
		if c.next != "" {
			if want, err = time.Parse(time.RFC3339, c.next); err != nil {
				t.Fatal(err)
			}
		}
		if got := NextOpening([]Windows{c.w}, at); !got.Equal(want) {
			t.Errorf("%s: the next opening after %s is %s, want %s", c.what, c.at, got.UTC(), want)
		}
	}
}

func BenchmarkNextOpening(b *testing.B) {
	london := zone(b, "Europe/London")
	friday := time.Date(2026, 1, 16, 16, 0, 0, 0, time.UTC)
	all := []Windows{{{Days: workdays, From: 9 * hour, To: 16 * hour, Zone: london}}}
	for b.Loop() {
		NextOpening(all, friday)
	}
}
