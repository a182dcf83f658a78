package promotion

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// skipping is what ana said, without anybody else.
func skipping(gates ...core.Gate) func(*Stage) {
	return func(s *Stage) {
		s.Skips = append(s.Skips, core.Skip{Gates: gates, By: "user:ana", Reason: "it burns", At: noon})
	}
}

// secondSaidYes is that ben said so too.
func secondSaidYes(s *Stage) { s.Skips[len(s.Skips)-1].Second = "user:ben" }

func wantsTwo(s *Stage) { s.Config.SecondPerson = true }

func ahead(release int64, of ...string) func(*core.EnvironmentState) {
	return func(e *core.EnvironmentState) {
		e.Ahead, e.AheadOf, e.Entered = release, of, max(e.Entered, release)
	}
}

func TestRule23_Skips(t *testing.T) {
	t.Parallel()
	const verify = core.GateVerification
	failed := ro(1, manual, in("dev", succeeded), in("staging", hasFailed, after("dev")), in("production", waiting, after("staging"), skipping(core.GateUpstream)))
	check(t, []rule{
		{"a hold", snap(env("dev", held(core.HoldPerson, 0)), ro(1, in("dev", waiting, skipping(core.GateHold)))), []string{"admit 1.dev"}, nil},
		{"a freeze", snap(ro(1, in("dev", waiting, frozen(-1, 0), skipping(core.GateFreeze)))), []string{"admit 1.dev"}, nil},
		{"a window", snap(ro(1, in("dev", waiting, opens(office), skipping(core.GateWindow)))), []string{"admit 1.dev"}, nil},
		{"upstream", snap(ro(1, in("dev", waiting), in("production", waiting, after("dev"), skipping(core.GateUpstream)))), []string{"admit 1.dev", "admit 1.production"}, nil},
		{"upstream, though it failed", snap(failed), []string{"admit 1.production"}, nil},
		{"only what was named", snap(env("dev", held(core.HoldPerson, 0)), ro(1, in("dev", waiting, opens(office), frozen(-1, 3), skipping(core.GateHold, core.GateWindow)))), nil,
			map[string]string{"1.dev": "a freeze of dev until 15:00 on Sunday, 1 March (UTC): the fair (user:ana)"}},
		{"only that stage", snap(env("dev", held(core.HoldPerson, 0)), ro(1, in("dev", waiting, skipping(core.GateHold))), ro(2, in("dev", waiting))), []string{"admit 1.dev"},
			map[string]string{"2.dev": "a hold on dev: because"}},
		{"not a stopped project", snap(stopped("x"), ro(1, in("dev", waiting, skipping(core.Skippable...)))), nil, nil},
		{"not the lease", snap(ro(1, in("dev", running, stack("web", run(core.RunApplying)))), ro(2, in("dev", waiting, skipping(core.Skippable...)))), nil, nil},
		{"not what goes first", snap(env("dev", held(core.HoldPerson, 0)), ro(1, barrier, in("dev", waiting)), ro(2, in("dev", waiting, skipping(core.GateHold)))), nil,
			map[string]string{"2.dev": "release 1, which goes first (barrier)"}},
		{"not what entered later", snap(env("dev", entered(2)), ro(1, in("dev", waiting, skipping(core.Skippable...)))), []string{"supersede 1.dev by 2"}, nil},
		{"what runs, too", snap(ro(1, in("dev", running, frozen(-1, 3), opens(office), skipping(core.GateFreeze, core.GateWindow), stack("web")))), []string{"start deploy web in 1.dev"}, nil},
		{"whoever skips takes the place of what has not applied",
			snap(ro(1, in("dev", running, stack("web", run(core.RunPlanning)))), ro(2, in("qa", waiting), in("dev", waiting, after("qa"), skipping(core.GateUpstream)))),
			[]string{"admit 2.qa", "supersede run r-web by 2"}, nil},
	})
	bake := func(o ...func(*Instance)) func(*Rollout) {
		return in("dev", bakingNow, bakes(time.Hour, time.Minute), skipping(core.GateBake), stack("web", append([]func(*Instance){run(core.RunSucceeded)}, o...)...))
	}
	check(t, []rule{
		{"a bake ends at once", snap(ro(1, bake())), []string{"1.dev is succeeded"}, nil},
		{"with its watches", snap(ro(1, bake(watched(core.RunVerifying)))), []string{"stop w-web"}, nil},
		{"not before one that was begun has asked", snap(ro(1, bake(watched(core.RunPreparing)))), nil, nil},
		{"none is begun for it", snap(ro(1, bake(hasVerify))), []string{"1.dev is succeeded"}, nil},
		{"a verification that failed is no gate", snap(ro(1, bake(watched(core.RunFailed)))), []string{"1.dev is failed"}, nil},
		{"nor is one without an answer", snap(ro(1, bake(watched(core.RunFailed, func(r *Run) { r.Code, r.Finished = core.CodeInconclusive, noon })))), nil,
			map[string]string{"1.dev": "verification of web@dev, which could not be answered and is asked again"}},
		{"a bake that has not begun does not", snap(ro(1, in("dev", running, bakes(time.Hour, 0), skipping(core.GateBake), stack("web", run(core.RunSucceeded))))), []string{"1.dev is succeeded"}, nil},
		{"checks and answers are none of it", snap(ro(1, in("dev", running, skipping(append(core.Skippable, verify)...), stack("web", run(core.RunFailed), inconclusive)))), nil, nil},
	})
}

func TestRule23_ASecondPerson(t *testing.T) {
	t.Parallel()
	hold := env("dev", held(core.HoldPerson, 0))
	s := snap(hold, ro(1, in("dev", waiting, wantsTwo, skipping(core.GateHold, core.GateWindow))))
	got := waitsOf(t, s, "1.dev")
	if diff := cmp.Diff([]core.Gate{core.GateHold, core.GateSkip}, gatesOf(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	check(t, []rule{
		{"nothing is skipped before", s, nil, map[string]string{"1.dev": "a hold on dev: because"}},
		{"then it is", snap(hold, ro(1, in("dev", waiting, wantsTwo, skipping(core.GateHold), secondSaidYes))), []string{"admit 1.dev"}, nil},
		{"who agreed to one skip did not agree to another", snap(hold, ro(1, in("dev", waiting, wantsTwo, skipping(core.GateWindow), secondSaidYes, skipping(core.GateHold)))), nil, nil},
		{"nobody is asked for what is not in the way", snap(ro(1, in("dev", waiting, wantsTwo, skipping(core.GateHold)))), []string{"admit 1.dev"}, nil},
		{"a bake waits for them", snap(ro(1, in("dev", bakingNow, bakes(time.Hour, 0), wantsTwo, skipping(core.GateBake), stack("web", run(core.RunSucceeded))))), nil, nil},
	})
	got = waitsOf(t, snap(ro(1, in("dev", running, wantsTwo, opens(office), skipping(core.GateWindow), stack("web")))), "1.dev")
	if diff := cmp.Diff([]core.Gate{core.GateWindow, core.GateSkip}, gatesOf(got)); diff != "" {
		t.Errorf("of what runs (-want +got):\n%s", diff)
	}
}

// Release 4 entered production before staging had verified it.
func TestRule23_TheSkippedEnvironmentsCatchUp(t *testing.T) {
	t.Parallel()
	ship := func(n int64, o ...func(*Rollout)) func(*Snapshot) {
		return ro(n, append([]func(*Rollout){in("dev", succeeded), in("staging", waiting, after("dev")), in("production", waiting, after("staging"))}, o...)...)
	}
	skipped := env("production", ahead(4, "staging"))
	short := func(o ...func(*Stage)) func(*Snapshot) { // its configuration does not know staging any more
		return ro(5, in("dev", succeeded), in("production", waiting, append([]func(*Stage){after("dev")}, o...)...))
	}
	check(t, []rule{
		{"the next release goes through them first", snap(env("staging", verifiedAt(3)), skipped, ship(5)), []string{"admit 5.staging"},
			map[string]string{"5.production": "staging: not verified yet"}},
		{"and enters then", snap(env("staging", verifiedAt(5)), skipped, ro(5, in("dev", succeeded), in("staging", succeeded, after("dev")), in("production", waiting, after("staging")))), []string{"admit 5.production"}, nil},
		{"also when its own configuration leaves them out", snap(env("staging", verifiedAt(3)), skipped, short()), nil,
			map[string]string{"5.production": "staging, which release 4 skipped on its way into production: it is at release 3 and catches up first"}},
		{"and also when they never verified anything", snap(skipped, short()), nil,
			map[string]string{"5.production": "staging, which release 4 skipped on its way into production: it has verified no release and catches up first"}},
		{"until they have", snap(env("staging", verifiedAt(4)), skipped, short()), []string{"admit 5.production"}, nil},
		{"or are skipped again", snap(env("staging", verifiedAt(3)), skipped, short(skipping(core.GateUpstream))), []string{"admit 5.production"}, nil},
		{"other environments go on", snap(env("staging", verifiedAt(3)), skipped, ro(5, in("dev", succeeded), in("load", waiting, after("dev")))), []string{"admit 5.load"}, nil},
	})
	behind := func(s Snapshot) []string {
		for _, d := range Decide(s, noon) {
			if a, ok := d.(Admit); ok && a.Environment == "production" {
				return a.Behind
			}
		}
		t.Fatal("nobody was admitted to production")
		return nil
	}
	for _, c := range []struct {
		what string
		s    Snapshot
		want []string
	}{
		{"what is not verified is skipped", snap(ro(4, in("dev", succeeded), in("load", succeeded), in("staging", running, stack("web", run(core.RunApplying))), in("production", waiting, after("load", "staging"), skipping(core.GateUpstream)))), []string{"staging"}},
		{"what is verified is not", snap(ro(4, in("staging", succeeded), in("production", waiting, after("staging"), skipping(core.GateUpstream)))), nil},
		{"what was owed is owed still", snap(env("staging", verifiedAt(3)), skipped, short(skipping(core.GateUpstream))), []string{"staging"}},
		{"an ordinary entry owes nothing", snap(env("staging", verifiedAt(4)), skipped, short()), nil},
	} {
		if diff := cmp.Diff(c.want, behind(c.s)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.what, diff)
		}
	}
}
