package promotion

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// sight is an instance that is looked at every six hours, last some hours before noon.
func sight(stack, environment string, hours int, options ...func(*Sight)) func(*Snapshot) {
	return func(s *Snapshot) {
		at := Sight{Environment: environment, Stack: stack, Every: 6 * time.Hour, Seen: noon.Add(-time.Duration(hours) * time.Hour)}
		for _, o := range options {
			o(&at)
		}
		s.Sights = append(s.Sights, at)
	}
}

func busy(s *Sight)  { s.Busy = true }
func never(s *Sight) { s.Every = 0 }

// TestRule25_Schedule: an environment that no stage is in is looked at when that is due.
func TestRule25_Schedule(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"due", snap(env("dev", verifiedAt(1)), sight("web", "dev", 6), sight("db", "dev", 100)), []string{"look at web@dev", "look at db@dev"}, nil},
		{"not yet", snap(env("dev", verifiedAt(1)), sight("web", "dev", 5)), nil, nil},
		{"never", snap(env("dev", verifiedAt(1)), sight("web", "dev", 100, never)), nil, nil},
		{"while a run works on it", snap(env("dev", verifiedAt(1)), sight("web", "dev", 100, busy), sight("db", "dev", 100)), []string{"look at db@dev"}, nil},
		{"after the clock was set back", snap(env("dev", verifiedAt(1)), sight("web", "dev", -1)), []string{"look at web@dev"}, nil},
		{"not while a stage is in it", snap(env("dev"), env("production", verifiedAt(1)), sight("web", "dev", 100), sight("web", "production", 100),
			ro(2, in("dev", running, stack("web", run(core.RunApplying))), in("production", waiting, after("dev")))), []string{"look at web@production"}, nil},
		{"nor while one bakes", snap(env("dev"), sight("web", "dev", 100), ro(2, in("dev", bakingNow, bakes(time.Hour, 0), stack("web", run(core.RunSucceeded))))), nil, nil},
		{"nor when one enters", snap(env("dev", verifiedAt(1)), sight("web", "dev", 100), ro(2, in("dev", waiting))), []string{"admit 2.dev"}, nil},
		{"nor where one enters as soon as a rollback elsewhere has", snap(env("us", verifiedAt(3)), env("eu", verifiedAt(3)), sight("web", "eu", 100), ro(2, back(3, 1), in("us", waiting)), ro(4, in("eu", waiting))),
			[]string{"admit 2.us and hold it for 3: the rollback from release 3 to release 2, asked for by user:ana: it is slow"}, nil},
		{"but while one waits", snap(env("dev", verifiedAt(1), held(core.HoldPerson, 0)), sight("web", "dev", 100), ro(2, in("dev", waiting))), []string{"look at web@dev"}, nil},
		{"and while the project is stopped", snap(stopped("somebody pushed by force"), env("dev", verifiedAt(1)), sight("web", "dev", 100)), []string{"look at web@dev"}, nil},
	})
}

// TestRule25_NextDueIsTheNextLook: nothing has to happen for a look to begin.
func TestRule25_NextDueIsTheNextLook(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		given Snapshot
		want  time.Time
	}{
		"the first of them":           {snap(env("dev"), sight("web", "dev", 5), sight("db", "dev", 2)), noon.Add(time.Hour)},
		"none of what is busy":        {snap(env("dev"), sight("web", "dev", 5, busy)), time.Time{}},
		"none of what is never due":   {snap(env("dev"), sight("web", "dev", 5, never)), time.Time{}},
		"none while a stage is there": {snap(env("dev"), sight("web", "dev", 5), ro(1, in("dev", running))), time.Time{}},
		"what is due is decided now":  {snap(env("dev"), sight("web", "dev", 6)), time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, NextDue(c.given, noon)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestRule25_Repairs: what drifted is undone by the release that is there, by the ordinary way
// but for what let it in before.
func TestRule25_Repairs(t *testing.T) {
	t.Parallel()
	repair := func(r *Rollout) { r.Kind, r.Manual = core.RolloutRepair, true }
	repairs := func(options ...func(*Stage)) func(*Snapshot) {
		return ro(2, repair, in("production", waiting, options...))
	}
	there := env("production", verifiedAt(2))
	ranAhead := env("production", verifiedAt(2), ahead(2, "staging"))
	night := Windows{{From: 22 * time.Hour, To: 24 * time.Hour, Zone: time.UTC}}
	check(t, []rule{
		{"it enters, though newer ones came past what is before it", snap(env("dev", verifiedAt(5)), there, repairs()), []string{"admit 2.production"}, nil},
		{"also what ran ahead", snap(env("staging", verifiedAt(1)), ranAhead, repairs()), []string{"admit 2.production"}, nil},
		{"through a failure's hold", snap(env("production", verifiedAt(2), held(core.HoldFailure, 2)), repairs()), []string{"admit 2.production"}, nil},
		{"not through a person's", snap(env("production", verifiedAt(2), held(core.HoldPerson, 0)), repairs()), nil, map[string]string{"2.production": "a hold on production: because"}},
		{"not while the project is stopped", snap(stopped("somebody pushed by force"), there, repairs()), nil, nil},
		{"not through a closed window", snap(there, repairs(opens(night))), nil, map[string]string{"2.production": "the window of production, which opens at 22:00 on Sunday, 1 March (UTC)"}},
		{"a newer release goes first, and ends it", snap(there, repairs(), ro(3, in("production", waiting))), []string{"admit 3.production"}, nil},
		{"and has ended it", snap(env("production", verifiedAt(3)), repairs()), []string{"supersede 2.production by 3"}, nil},
		{"also one that was gone back to", snap(env("production", verifiedAt(2), presentIs(1)), repairs()), []string{"supersede 2.production by 1"}, nil},
		{"nobody waits for it, though its release is a barrier", snap(there, ro(2, repair, barrier, in("production", waiting, opens(night))), ro(3, in("production", waiting))), []string{"admit 3.production"}, nil},
		{"its release tried again goes beside it", snap(there, repairs(), ro(2, manual, in("staging", waiting), in("production", waiting, after("staging")))), []string{"admit 2.production", "admit 2'.staging"}, nil},
		{"it takes nobody's place", snap(env("production", verifiedAt(2)), ro(2, in("production", running, stack("web", run(core.RunFailed), inconclusive, hasApplied))), repairs()), nil, nil},
		{"its failure is no reason to go back", snap(env("production", verifiedAt(2)), ro(2, repair, in("production", running, auto(1), appliedBefore, stack("web", run(core.RunFailed), saidNo)))),
			[]string{"hold production for 2", "2.production is failed"}, nil},
	})
	if got := Decide(snap(env("staging", verifiedAt(1)), ranAhead, repairs()), noon)[0].(Admit).Behind; !cmp.Equal(got, []string{"staging"}) {
		t.Errorf("what ran ahead is behind %v after its repair", got)
	}
}
