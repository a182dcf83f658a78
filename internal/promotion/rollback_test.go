package promotion

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

const (
	byAna    = "the rollback from release 3 to release 2, asked for by user:ana: it is slow"
	byItself = "the rollback from release 3 to release 2, because the verification of web@dev said no"
)

// TestRule21_ARollbackEnters: what is older enters as a rollback and in no other way, before
// all others, and sets a hold in that moment.
func TestRule21_ARollbackEnters(t *testing.T) {
	t.Parallel()
	held3 := env("dev", verifiedAt(3), held(core.HoldFailure, 3))
	check(t, []rule{
		{"older than what is there", snap(env("dev", verifiedAt(3)), ro(2, back(3, 1), in("dev", waiting))), []string{"admit 2.dev and hold it for 3: " + byAna}, nil},
		{"with everything upstream unverified", snap(env("dev"), env("production", verifiedAt(3)), ro(2, back(3, 1), in("production", waiting))), []string{"admit 2.production and hold it for 3: " + byAna}, nil},
		{"not when it is no rollback", snap(env("dev", verifiedAt(3)), ro(2, manual, in("dev", waiting))), []string{"supersede 2.dev by 3"}, nil},
		{"before a newer one, which goes on waiting", snap(env("dev", verifiedAt(3)), ro(2, back(3, 1), in("dev", waiting)), ro(4, in("dev", waiting))),
			[]string{"admit 2.dev and hold it for 3: " + byAna}, map[string]string{"4.dev": "release 2, which goes first (rollback)"}},
		{"also while it may not enter yet", snap(stopped("somebody pushed by force"), env("dev", verifiedAt(3)), ro(2, back(3, 1), in("dev", waiting)), ro(4, in("dev", waiting))),
			nil, map[string]string{"2.dev": "the project, which is stopped: somebody pushed by force"}},
		{"through a failure's hold", snap(held3, ro(2, back(3, 1), in("dev", waiting))), []string{"admit 2.dev and hold it for 3: " + byAna}, nil},
		{"also by itself", snap(held3, ro(2, backByItself(3), in("dev", waiting))), []string{"admit 2.dev and hold it for 3: " + byItself}, nil},
		{"not through a closed window", snap(env("dev", verifiedAt(3)), ro(2, back(3, 1), in("dev", waiting, opens(Windows{{From: 22 * time.Hour, To: 24 * time.Hour, Zone: time.UTC}})))), nil,
			map[string]string{"2.dev": "the window of dev, which opens at 22:00 on Sunday, 1 March (UTC)"}},
		{"the last word counts", snap(env("dev", verifiedAt(3)), ro(1, back(3, 2), in("dev", waiting)), ro(2, back(3, 1), in("dev", waiting))),
			[]string{"supersede 2.dev by 1"}, nil},
		{"and again the same", snap(env("dev", verifiedAt(3)), ro(2, back(3, 1), in("dev", waiting)), ro(2, back(3, 2), in("dev", waiting))),
			[]string{"supersede 2.dev by 2"}, nil},
		{"older still, from where one went back to", snap(env("dev", verifiedAt(3), presentIs(2), held(core.HoldRollback, 3)), ro(1, back(2, 1), in("dev", waiting))),
			[]string{"admit 1.dev and hold it for 2: the rollback from release 2 to release 1, asked for by user:ana: it is slow"}, nil},
	})
}

// TestRule21_WhatIsThereMakesRoom: a rollback that a person asks for ends what holds the
// lease, a bake included, but lets an apply come to its end.
func TestRule21_WhatIsThereMakesRoom(t *testing.T) {
	t.Parallel()
	beside := func(options ...func(*Stage)) Snapshot {
		return snap(env("dev", verifiedAt(2)), ro(2, back(3, 1), in("dev", waiting)), ro(3, in("dev", running, options...), in("production", waiting, after("dev"))))
	}
	leaving := map[string]string{"3.dev": "its runs, which end for the rollback to release 2"}
	check(t, []rule{
		{"what is queued or plans stops", beside(stack("web", run(core.RunPlanning)), stack("db", run(core.RunQueued))), []string{"cancel r-web", "cancel r-db"}, leaving},
		{"what waits for an approval too", beside(stack("web", run(core.RunAwaitingApproval))), []string{"cancel r-web"}, leaving},
		{"an apply goes on, and nothing new begins", beside(appliedBefore, stack("db", run(core.RunApplying), hasApplied), stack("web")), nil, leaving},
		{"so does provisioning", beside(appliedBefore, stack("db", run(core.RunProvisioning), hasApplied)), nil, leaving},
		{"verification stops", beside(appliedBefore, stack("db", run(core.RunVerifying), hasApplied)), []string{"cancel r-db"}, leaving},
		{"then the stage ends", beside(appliedBefore, stack("db", run(core.RunSucceeded), hasApplied), stack("web")), []string{"3.dev is cancelled"}, nil},
		{"with a failure's hold for what is half done", beside(appliedBefore, stack("db", run(core.RunCancelled), hasApplied), stack("web")), []string{"hold dev for 3", "3.dev is cancelled"}, nil},
		{"one that is done ends as it would", beside(appliedBefore, stack("db", run(core.RunSucceeded), hasApplied)), []string{"3.dev is succeeded"}, nil},
		{"what nobody knows the end of is waited for", beside(appliedBefore, stack("db", run(core.RunUnknown), isUnknown)), []string{"3.dev is unknown"},
			map[string]string{"2.dev": "the lease of dev, held by release 3 (running)"}},
		{"a bake is over", snap(env("dev", verifiedAt(2)), ro(2, back(3, 1), in("dev", waiting)), ro(3, in("dev", bakingNow, bakes(time.Hour, time.Minute), stack("web", run(core.RunSucceeded), watched(core.RunVerifying))))),
			[]string{"stop w-web"}, leaving},
		{"and the stage with it", snap(env("dev", verifiedAt(2)), ro(2, back(3, 1), in("dev", waiting)), ro(3, in("dev", bakingNow, bakes(time.Hour, time.Minute), stack("web", run(core.RunSucceeded), watched(core.RunSucceeded))))),
			[]string{"3.dev is cancelled"}, nil},
		{"not for one that the server started", snap(env("dev", verifiedAt(2)), ro(2, backByItself(3), in("dev", waiting)), ro(3, in("dev", running, appliedBefore, stack("web", run(core.RunVerifying), hasApplied)))), nil, nil},
		{"nor for one that may not enter", snap(env("dev", verifiedAt(2), held(core.HoldPerson, 0)), ro(2, back(3, 1), in("dev", waiting)), ro(3, in("dev", bakingNow, bakes(time.Hour, time.Minute)))), nil,
			map[string]string{"2.dev": "a hold on dev: because"}},
		{"a rollback for a later one", snap(env("dev", verifiedAt(3), held(core.HoldRollback, 3)), ro(1, back(2, 2), in("dev", waiting)), ro(2, back(3, 1), in("dev", running, stack("web", run(core.RunPlanning))))), []string{"cancel r-web"},
			map[string]string{"2.dev": "its runs, which end for the rollback to release 1"}},
	})
}

// TestRule21_NothingGoesOnDownstream: what was rolled back is not verified any more.
func TestRule21_NothingGoesOnDownstream(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"not what waits", snap(env("dev", entered(3), verifiedAt(2)), ro(3, in("dev", succeeded, withdrawn), in("production", waiting, after("dev")))), []string{"ro3 is failed"},
			map[string]string{"3.production": "dev, which was rolled back since"}},
		{"also later", snap(env("dev", verifiedAt(4)), ro(3, in("dev", succeeded, withdrawn), in("production", waiting, after("dev")))), []string{"ro3 is failed"}, nil},
		{"what went back does", snap(env("dev", entered(3), verifiedAt(2)), ro(2, in("dev", succeeded), in("production", waiting, after("dev")))), []string{"admit 2.production"}, nil},
		{"a newer one does", snap(env("dev", verifiedAt(4)), ro(4, in("dev", succeeded), in("production", waiting, after("dev")))), []string{"admit 4.production"}, nil},
		{"nor in the same moment", snap(env("dev", verifiedAt(3)), ro(2, back(3, 1), in("dev", waiting)), ro(3, in("dev", succeeded), in("production", waiting, after("dev")))),
			[]string{"admit 2.dev and hold it for 3: " + byAna}, nil},
		{"one tried again has to be verified again", snap(env("dev", entered(3), verifiedAt(2), held(core.HoldRollback, 3)), ro(3, manual, in("dev", waiting), in("production", waiting, after("dev")))), nil,
			map[string]string{"3.dev": "a hold on dev: because", "3.production": "dev: not verified yet"}},
		{"after somebody lifted the hold", snap(env("dev", entered(3), verifiedAt(2)), ro(3, manual, in("dev", waiting), in("production", waiting, after("dev")))), []string{"admit 3.dev"}, nil},
		{"what its entering verifies again is not given up in the same moment", snap(env("us", verifiedAt(3)), ro(2, in("us", superseded), in("world", waiting, after("us"))), ro(2, back(3, 1), in("us", waiting))),
			[]string{"admit 2'.us and hold it for 3: " + byAna}, nil},
		{"but before it may enter", snap(env("us", verifiedAt(3)), ro(2, in("us", superseded), in("world", waiting, after("us")))), []string{"ro2 is superseded"}, nil},
	})
}

// TestRule21_ByItself: after a verification that said no and for nothing else, once, and never
// for a rollback.
func TestRule21_ByItself(t *testing.T) {
	t.Parallel()
	dev := func(options ...func(*core.EnvironmentState)) func(*Snapshot) {
		return env("dev", append([]func(*core.EnvironmentState){verifiedAt(2)}, options...)...)
	}
	const back32 = "roll dev back from 3 to 2: the verification of web@dev said no"
	failing := func(options ...func(*Stage)) func(*Snapshot) {
		return ro(3, in("dev", running, append([]func(*Stage){auto(2), appliedBefore}, options...)...))
	}
	plain := []string{"hold dev for 3", "3.dev is failed"}
	check(t, []rule{
		{"a verification says no", snap(dev(), failing(stack("web", run(core.RunFailed), saidNo))), append([]string{back32}, plain...), nil},
		{"beside what never began", snap(dev(), failing(stack("web", run(core.RunFailed), saidNo), stack("shop", needs("web"), undecided))), append([]string{back32}, plain...), nil},
		{"in a bake", snap(dev(), ro(3, in("dev", bakingNow, auto(2), bakes(time.Hour, time.Minute), stack("web", run(core.RunSucceeded), hasApplied, watched(core.RunFailed, watchSaidNo))))), []string{back32, "3.dev is failed"}, nil},
		{"not before the others are done", snap(dev(), failing(stack("web", run(core.RunFailed), saidNo), stack("db", run(core.RunApplying), hasApplied))), nil, nil},
		{"not where nobody asked for it", snap(dev(), ro(3, in("dev", running, appliedBefore, stack("web", run(core.RunFailed), saidNo)))), plain, nil},
		{"not when there is nothing to go back to", snap(env("dev"), ro(3, in("dev", running, auto(0), appliedBefore, stack("web", run(core.RunFailed), saidNo)))), plain, nil},
		{"not after an apply that failed", snap(dev(), failing(stack("web", run(core.RunFailed), hasApplied))), plain, nil},
		{"not with one beside it", snap(dev(), failing(stack("web", run(core.RunFailed), saidNo), stack("db", run(core.RunErrored), hasApplied))), plain, nil},
		{"not after a denied plan", snap(dev(), failing(stack("web", run(core.RunFailed)))), []string{"3.dev is failed"}, nil},
		{"not when there was no answer", snap(dev(), failing(stack("web", run(core.RunErrored), inconclusive))), nil, nil},
		{"nor in a bake", snap(dev(), ro(3, in("dev", bakingNow, auto(2), bakes(time.Hour, time.Minute), stack("web", run(core.RunSucceeded), hasApplied, watched(core.RunFailed))))), []string{"3.dev is failed"}, nil},
		{"not what somebody cancelled", snap(dev(), ro(3, cancelAsked, in("dev", running, auto(2), appliedBefore, stack("web", run(core.RunFailed), saidNo)))), plain, nil},
		{"not twice", snap(dev(undone(3)), failing(stack("web", run(core.RunFailed), saidNo))), plain, nil},
		{"another release is another matter", snap(dev(undone(1)), failing(stack("web", run(core.RunFailed), saidNo))), append([]string{back32}, plain...), nil},
		{"not beside another rollback", snap(dev(), ro(1, back(3, 1), in("dev", waiting)), failing(stack("web", run(core.RunFailed), saidNo))), plain, nil},
		{"never a rollback", snap(env("dev", verifiedAt(3), held(core.HoldRollback, 3)), ro(2, back(3, 1), in("dev", running, auto(1), appliedBefore, stack("web", run(core.RunFailed), saidNo)))),
			[]string{"hold dev for 3: " + byAna + ", which failed: web@dev: verification failed: http://web: 500", "2.dev is failed"}, nil},
	})
}

// TestRule21_AnAutomaticRollbackLooksFirst: every instance is planned before the first is
// applied, so that nothing is changed when one of the plans is denied.
func TestRule21_AnAutomaticRollbackLooksFirst(t *testing.T) {
	t.Parallel()
	going := func(options ...func(*Stage)) Snapshot {
		return snap(env("dev", verifiedAt(2), entered(3), held(core.HoldRollback, 3)), ro(2, backByItself(3), in("dev", running, options...)))
	}
	web := func(options ...func(*Instance)) func(*Stage) {
		return stack("web", append([]func(*Instance){needs("db"), undecided}, options...)...)
	}
	looks := map[string]string{"2.dev": "the plans of all its instances, which an automatic rollback makes before it changes anything"}
	check(t, []rule{
		{"at once", going(stack("db"), web(), stack("network", upToDate)), []string{"start preview db in 2.dev", "start preview web in 2.dev"}, looks},
		{"as many as may run side by side", going(parallel(1), stack("db"), web()), []string{"start preview db in 2.dev"}, looks},
		{"to the last", going(stack("db", looked(core.RunSucceeded)), web(looked(core.RunPlanning))), nil, looks},
		{"then in order", going(stack("db", looked(core.RunSucceeded)), web(looked(core.RunSucceeded))), []string{"start deploy db in 2.dev"}, nil},
		{"and on", going(appliedBefore, stack("db", looked(core.RunSucceeded), run(core.RunSucceeded), hasApplied), web(looked(core.RunSucceeded), func(i *Instance) { i.Need = NeedRun })), []string{"start deploy web in 2.dev"}, nil},
		{"not when one is denied", going(stack("db", looked(core.RunSucceeded)), web(looked(core.RunFailed), func(i *Instance) { i.Preview.Message = "the check rollback says no: no" })),
			[]string{"hold dev for 3: " + byItself + ", which failed: web@dev: the check rollback says no: no", "2.dev is failed"}, nil},
		{"nor when one cannot be made", going(stack("db", looked(core.RunErrored))), []string{"hold dev for 3: " + byItself + ", which errored", "2.dev is errored"}, nil},
		{"after what was renamed has its name back", going(stack("db", looked(core.RunSucceeded)), stack("web", movesFrom("site"))), []string{"move site to web in 2.dev"}, nil},
		{"and not before", going(stack("db"), stack("web", movesFrom("site"), isLocked)), nil, map[string]string{"2.dev": "site@dev, which becomes web@dev and is locked by user:ana: terrace state unlock site@dev"}},
		{"or ends its plans for a newer release", snap(env("dev", verifiedAt(2), entered(3)), ro(2, backByItself(3), in("dev", running, stack("db", looked(core.RunPlanning)))), ro(4, in("dev", waiting))),
			[]string{"supersede run p-db by 4"}, nil},
		{"with nothing to do", going(stack("db", upToDate)), []string{"2.dev is succeeded"}, nil},
		{"a correction takes its place, and its looks end first", snap(env("dev", verifiedAt(2), entered(3)), ro(2, backByItself(3), in("dev", running, stack("db", looked(core.RunPlanning)))), ro(4, in("dev", waiting))),
			[]string{"supersede run p-db by 4"}, nil},
		{"one that a person asked for does not", snap(env("dev", verifiedAt(3), held(core.HoldRollback, 3)), ro(2, back(3, 1), in("dev", running, stack("db"), web()))), []string{"start deploy db in 2.dev"}, nil},
	})
}

// TestRule21_WhatTheOlderReleaseDoesNotHave: a stack that came later is destroyed behind an
// approval or stays, and its staying is no reason for the rollback to fail.
func TestRule21_WhatTheOlderReleaseDoesNotHave(t *testing.T) {
	t.Parallel()
	going := func(options ...func(*Stage)) Snapshot {
		return snap(env("dev", verifiedAt(3), held(core.HoldRollback, 3)), ro(2, back(3, 1), in("dev", running, append([]func(*Stage){appliedBefore, stack("web", run(core.RunSucceeded), hasApplied)}, options...)...)))
	}
	check(t, []rule{
		{"its destruction comes last", going(stack("queue", isRemoved)), []string{"start destroy queue in 2.dev"}, nil},
		{"and waits for a person", going(stack("queue", isRemoved, run(core.RunAwaitingApproval))), nil, map[string]string{"2.dev": "approval to destroy queue@dev: terrace approve r-queue"}},
		{"who may say no", going(stack("queue", isRemoved, run(core.RunCancelled))), []string{"2.dev is succeeded"}, nil},
		{"which keeps what it depends on", going(stack("queue", isRemoved, run(core.RunCancelled)), stack("bus", isRemoved, needs("queue")), stack("wire", isRemoved, needs("bus"))), []string{"2.dev is succeeded"}, nil},
		{"not in the middle of it", going(stack("queue", isRemoved, run(core.RunCancelled), hasApplied)), []string{"hold dev for 3: " + byAna + ", which was cancelled", "2.dev is cancelled"}, nil},
		{"what holds something protected stays", going(stack("store", isRemoved, run(core.RunSucceeded)), stack("bus", isRemoved, needs("store"))), []string{"2.dev is succeeded"}, nil},
		{"a promotion asks again", snap(env("dev"), ro(4, in("dev", running, stack("queue", isRemoved, run(core.RunCancelled))))), []string{"4.dev is cancelled"}, nil},
	})
}

// TestRule21_ARollbackThatCannotTell: no answer is no pass there either, and says how to ask
// again.
func TestRule21_ARollbackThatCannotTell(t *testing.T) {
	t.Parallel()
	s := snap(env("dev", verifiedAt(3), held(core.HoldRollback, 3)), ro(2, back(3, 1), in("dev", running, appliedBefore, stack("web", run(core.RunErrored), inconclusive))))
	for _, d := range Decide(s, noon) {
		if set, ok := d.(SetStage); ok && set.Waits[0].OpensBy != "terrace rollback dev --to 2 asks again" {
			t.Errorf("it opens by %q", set.Waits[0].OpensBy)
		}
	}
	s = snap(env("dev", verifiedAt(3)), ro(2, back(3, 1), in("dev", running, appliedBefore, stack("web", run(core.RunFailed), hasApplied))))
	want := []Decision{SetHold{Environment: "dev", Hold: core.Hold{Kind: core.HoldFailure, By: "server", Release: 2,
		Reason: "web@dev of release 2 failed after it had begun to change infrastructure; a newer release passes, or: terrace rollback dev --to 2"}},
		SetStage{Rollout: "ro2", Stage: "2.dev", From: running, Status: hasFailed}}
	if diff := cmp.Diff(want, Decide(s, noon)); diff != "" {
		t.Errorf("after somebody lifted its hold (-want +got):\n%s", diff)
	}
}
