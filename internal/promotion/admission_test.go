package promotion

import (
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestRule01_ReleaseGoesThroughEveryEnvironment(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"a new release enters the first environment",
			snap(ro(1, in("dev", waiting), in("staging", waiting, after("dev")))),
			[]string{"admit 1.dev"}, map[string]string{"1.staging": "dev: not verified yet"}},
		{"and the next one once it is verified",
			snap(env("dev", verifiedAt(1)), ro(1, in("dev", succeeded), in("staging", waiting, after("dev")))),
			[]string{"admit 1.staging"}, nil},
		{"each environment is planned afresh: the stage makes its own run",
			snap(ro(1, in("dev", succeeded), in("staging", running, after("dev"), stack("web")))),
			[]string{"start deploy web in 1.staging"}, nil},
		{"an invalid release goes nowhere",
			snap(ro(1, invalidRelease, in("dev", waiting))),
			[]string{"ro1 is failed"}, nil},
	})
}

func TestRule02_OrderIsByNumberAndAStoppedProjectAdmitsNobody(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"stopped", snap(stopped("commit 1234 was removed from main"), ro(1, in("dev", waiting))),
			nil, map[string]string{"1.dev": "the project, which is stopped: commit 1234 was removed from main"}},
		{"what has entered goes on to its end", snap(stopped("x"), ro(1, in("dev", running, stack("web")))),
			[]string{"start deploy web in 1.dev"}, nil},
		{"the newest by number enters", snap(ro(1, in("dev", waiting)), ro(2, in("dev", waiting))),
			[]string{"admit 2.dev"}, nil},
	})
}

func TestRule03_SeveralRolloutsOfOneReleaseAreOneJourney(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"the newest rollout of a release takes over what waits",
			snap(ro(1, in("dev", waiting)), ro(1, in("dev", waiting))),
			[]string{"supersede 1.dev by 1"}, nil},
		{"and enters once it is the only one", snap(ro(1, in("dev", superseded)), ro(1, in("dev", waiting))), []string{"admit 1'.dev", "ro1 is superseded"}, nil},
		{"the lease is left alone",
			snap(ro(1, in("dev", running, stack("web", run(core.RunApplying)))), ro(1, manual, in("dev", waiting))),
			nil, map[string]string{"1'.dev": "the lease of dev, held by release 1 (running)"}},
	})
}

func TestRule04_OneStageHoldsTheLease(t *testing.T) {
	t.Parallel()
	for _, status := range []core.StageStatus{core.StageRunning, core.StageBaking, core.StageUnknown} {
		s := snap(ro(1, in("dev", status, stack("web", run(core.RunApplying)))), ro(2, in("dev", waiting)))
		for _, d := range Decide(s, noon) {
			if a, ok := d.(Admit); ok {
				t.Errorf("%s: %s was admitted", status, a.Stage)
			}
		}
		if got, want := waits(s)["2.dev"], "the lease of dev, held by release 1 ("+string(status)+")"; got != want {
			t.Errorf("2.dev waits for %q, want %q", got, want)
		}
	}
	// The lease is also respected when its holder is not in the snapshot.
	s := snap(env("dev", func(e *core.EnvironmentState) { e.Stage = "st-lost" }), ro(2, in("dev", waiting)))
	if got := decided(s); len(got) != 0 {
		t.Errorf("decided %q", got)
	}
}

func TestRule05_Admission(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"after waits for every one",
			snap(ro(1, in("a", succeeded), in("b", running, stack("web", run(core.RunApplying))), in("production", waiting, after("a", "b")))),
			nil, map[string]string{"1.production": "b: not verified yet"}},
		{"a bake upstream is waited for",
			snap(ro(1, in("dev", bakingNow, bakes(10, 5)), in("staging", waiting, after("dev")))),
			nil, map[string]string{"1.staging": "dev: not verified yet"}},
		{"environments without after are entered at once",
			snap(ro(1, in("a", waiting), in("b", waiting))),
			[]string{"admit 1.a", "admit 1.b"}, nil},
		{"a retry takes the verification of the rollout before",
			snap(env("dev", verifiedAt(1)), ro(1, manual, in("dev", running, stack("web", run(core.RunPlanning))), in("staging", waiting, after("dev")))),
			[]string{"admit 1.staging"}, nil},
		{"but not when the retry itself failed there",
			snap(env("dev", verifiedAt(1)), ro(1, manual, in("dev", hasFailed), in("staging", waiting, after("dev")))),
			[]string{"ro1 is failed"}, map[string]string{"1.staging": "dev, which failed"}},
		{"another release's verification says nothing",
			snap(env("dev", verifiedAt(2)), ro(1, in("dev", superseded), in("staging", waiting, after("dev")))),
			[]string{"ro1 is superseded"}, map[string]string{"1.staging": "dev, which was superseded"}},
		{"nothing to do is done at once",
			snap(ro(1, in("dev", running, stack("web", upToDate)))),
			[]string{"1.dev is succeeded"}, nil},
		{"no stack at all too", snap(ro(1, in("dev", running))), []string{"1.dev is succeeded"}, nil},
	})
}

func TestRule08_Monotonic(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"an older release never enters", snap(env("dev", entered(2)), ro(1, in("dev", waiting))), []string{"supersede 1.dev by 2"}, nil},
		{"the same one may, to try again", snap(env("dev", entered(2)), ro(2, in("dev", waiting))), []string{"admit 2.dev"}, nil},
		{"not even on purpose", snap(env("dev", entered(2)), ro(1, manual, in("dev", waiting))), []string{"supersede 1.dev by 2"}, nil},
	})
}

func TestRule22_Holds(t *testing.T) {
	t.Parallel()
	on := func(kind core.HoldKind, release int64, r func(*Snapshot)) Snapshot {
		return snap(env("dev", entered(3), held(kind, release)), r)
	}
	check(t, []rule{
		{"a failure stops the release that failed", on(core.HoldFailure, 3, ro(3, in("dev", waiting))),
			nil, map[string]string{"3.dev": "a hold on dev: because"}},
		{"the correction passes", on(core.HoldFailure, 3, ro(4, in("dev", waiting))), []string{"admit 4.dev"}, nil},
		{"a person who asks on purpose passes", on(core.HoldFailure, 3, ro(3, manual, in("dev", waiting))), []string{"admit 3.dev"}, nil},
		{"nobody passes a person's hold", on(core.HoldPerson, 0, ro(4, manual, in("dev", waiting))), nil, map[string]string{"4.dev": "a hold on dev: because"}},
		{"also no rollback", on(core.HoldPerson, 0, ro(2, back(3, 1), in("dev", waiting))), nil, map[string]string{"2.dev": "a hold on dev: because"}},
		{"nor a rollback's", on(core.HoldRollback, 3, ro(4, manual, in("dev", waiting))), nil, nil},
		{"but for another rollback", on(core.HoldRollback, 3, ro(2, back(3, 1), in("dev", waiting))), []string{"admit 2.dev and hold it for 3: " + byAna}, nil},
		{"that a person asks for", on(core.HoldRollback, 3, ro(2, backByItself(3), in("dev", waiting))), nil, map[string]string{"2.dev": "a hold on dev: because"}},
	})
}

func TestRule26_SandboxesFeedNothing(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"verified or not", snap(env("try", verifiedAt(1)), ro(1, in("try", succeeded, sandbox), in("dev", waiting, after("try")))),
			[]string{"ro1 is failed"}, map[string]string{"1.dev": "try, which is a sandbox and never feeds a promotion"}},
		{"still going", snap(ro(1, in("try", running, sandbox, stack("web", run(core.RunApplying))), in("dev", waiting, after("try")))), nil, nil},
	})
}
