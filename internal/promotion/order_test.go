package promotion

import (
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestRule09_UpToDateStartsNothing(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"only what differs runs", snap(ro(1, in("dev", running, stack("network", upToDate), stack("web", needs("network"))))), []string{"start deploy web in 1.dev"}, nil},
		{"nothing ran, nothing bakes", snap(ro(1, in("dev", running, func(s *Stage) { s.Config.Bake = 10 }, stack("web", upToDate)))), []string{"1.dev is succeeded"}, nil},
	})
}

func TestRule10_StackOrder(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"dependants wait", snap(ro(1, in("dev", running, stack("network"), stack("web", needs("network"), undecided)))), []string{"start deploy network in 1.dev"}, nil},
		{"until the upstream is done", snap(ro(1, in("dev", running, stack("network", run(core.RunSucceeded)), stack("web", needs("network"))))), []string{"start deploy web in 1.dev"}, nil},
		{"not while it only verifies", snap(ro(1, in("dev", running, stack("network", run(core.RunVerifying)), stack("web", needs("network"))))), nil, nil},
		{"independent ones run side by side", snap(ro(1, in("dev", running, stack("a"), stack("b"), stack("c")))),
			[]string{"start deploy a in 1.dev", "start deploy b in 1.dev", "start deploy c in 1.dev"}, nil},
		{"up to the limit, queued ones counted", snap(ro(1, in("dev", running, parallel(2), stack("a", run(core.RunQueued)), stack("b"), stack("c")))), []string{"start deploy b in 1.dev"}, nil},
		{"those that wait for a person not", snap(ro(1, in("dev", running, parallel(1), stack("a", run(core.RunAwaitingApproval)), stack("b")))), []string{"start deploy b in 1.dev"}, nil},
		{"siblings of a failure go on, descendants do not", snap(ro(1, in("dev", running, stack("a", run(core.RunFailed)), stack("b"), stack("c", needs("a"), undecided)))),
			[]string{"start deploy b in 1.dev"}, nil},
		{"siblings finish before the stage ends", snap(ro(1, in("dev", running, stack("a", run(core.RunFailed)), stack("b", run(core.RunApplying))))), nil, nil},
		{"then it has failed", snap(ro(1, in("dev", running, stack("a", run(core.RunFailed)), stack("b", run(core.RunSucceeded)), stack("c", needs("a"), undecided)))),
			[]string{"1.dev is failed"}, nil},
		{"what a snapshot cannot judge yet is not taken for done", snap(ro(1, in("dev", running, stack("web", undecided)))), nil, nil},
	})
}

func TestRule18_PartialApplyHoldsTheEnvironment(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"failed", snap(ro(1, in("dev", running, stack("web", run(core.RunFailed), hasApplied)))), []string{"hold dev for 1", "1.dev is failed"}, nil},
		{"cancelled", snap(ro(1, in("dev", running, stack("web", run(core.RunCancelled), hasApplied)))), []string{"hold dev for 1", "1.dev is cancelled"}, nil},
		{"errored", snap(ro(1, in("dev", running, stack("web", run(core.RunErrored), hasApplied)))), []string{"hold dev for 1", "1.dev is errored"}, nil},
		{"before anything was changed there is nothing to hold", snap(ro(1, in("dev", running, stack("web", run(core.RunFailed)), stack("db", run(core.RunSucceeded), hasApplied)))), []string{"1.dev is failed"}, nil},
		{"the hold is set once", snap(env("dev", held(core.HoldFailure, 1)), ro(1, in("dev", running, stack("web", run(core.RunFailed), hasApplied)))), []string{"1.dev is failed"}, nil},
		{"a newer failure takes its place", snap(env("dev", held(core.HoldFailure, 1)), ro(2, in("dev", running, stack("web", run(core.RunFailed), hasApplied)))), []string{"hold dev for 2", "2.dev is failed"}, nil},
		{"a person's hold stays", snap(env("dev", held(core.HoldPerson, 0)), ro(1, in("dev", running, stack("web", run(core.RunFailed), hasApplied)))), []string{"1.dev is failed"}, nil},
		{"downstream is blocked", snap(ro(1, in("dev", hasFailed), in("staging", waiting, after("dev")), in("production", waiting, after("staging")))),
			[]string{"ro1 is failed"}, map[string]string{"1.staging": "dev, which failed", "1.production": "staging, which waits for dev, which failed"}},
	})
}

func TestRule19_ErroredIsNotRepeatedByItself(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"the stage ends", snap(ro(1, in("dev", running, stack("web", run(core.RunErrored))))), []string{"1.dev is errored"}, nil},
		{"failed weighs more", snap(ro(1, in("dev", running, stack("web", run(core.RunErrored)), stack("db", run(core.RunFailed)), stack("dns", run(core.RunCancelled))))), []string{"1.dev is failed"}, nil},
		{"errored weighs more than cancelled", snap(ro(1, in("dev", running, stack("web", run(core.RunErrored)), stack("dns", run(core.RunCancelled))))), []string{"1.dev is errored"}, nil},
	})
}

func TestRule20_UnknownBlocksUntilRecovered(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"the stage is unknown and keeps the lease", snap(ro(1, in("dev", running, stack("web", run(core.RunUnknown), hasApplied, isUnknown))), ro(2, in("dev", waiting))),
			[]string{"1.dev is unknown"}, map[string]string{"1.dev": "web@dev, whose outcome is unknown: terrace run recover r-web"}},
		{"so is the rollout", snap(ro(1, in("dev", core.StageUnknown, stack("web", run(core.RunUnknown), isUnknown)))), []string{"ro1 is unknown"}, nil},
		{"a failed sibling does not end it", snap(ro(1, in("dev", running, stack("db", run(core.RunFailed)), stack("web", run(core.RunUnknown), isUnknown)))), []string{"1.dev is unknown"}, nil},
		{"an instance that was unknown before is not touched", snap(ro(1, in("dev", running, stack("web", isUnknown)))), []string{"1.dev is unknown"}, nil},
		{"while recovering it stays so", snap(ro(1, in("dev", core.StageUnknown, stack("web", recovery(core.RunPlanning), isUnknown)))),
			[]string{"ro1 is unknown"}, map[string]string{"1.dev": "web@dev, which is being recovered by r-web"}},
		{"a recovery that failed too", snap(ro(1, in("dev", core.StageUnknown, stack("web", recovery(core.RunFailed), isUnknown)))), []string{"ro1 is unknown"}, nil},
		{"recovered, it is planned again", snap(ro(1, in("dev", core.StageUnknown, stack("web", recovery(core.RunSucceeded))))), []string{"start deploy web in 1.dev", "1.dev is running", "ro1 is unknown"}, nil},
		{"known again in another way too", snap(ro(1, in("dev", core.StageUnknown, stack("web", run(core.RunUnknown))))), []string{"start deploy web in 1.dev", "1.dev is running", "ro1 is unknown"}, nil},
		{"cancelling does not make it known", snap(ro(1, cancelAsked, in("dev", running, stack("web", run(core.RunUnknown), isUnknown)))), []string{"1.dev is unknown"}, nil},
		{"siblings go on", snap(ro(1, in("dev", running, stack("db"), stack("web", run(core.RunUnknown), isUnknown)))), []string{"start deploy db in 1.dev", "1.dev is unknown"}, nil},
	})
}

func TestRule27_RemovedStacks(t *testing.T) {
	t.Parallel()
	next := ro(2, in("dev", waiting))
	check(t, []rule{
		{"are destroyed last", snap(ro(1, in("dev", running, stack("web", run(core.RunApplying)), stack("db", isRemoved)))), nil, nil},
		{"when all others are done", snap(ro(1, in("dev", running, stack("web", run(core.RunSucceeded)), stack("db", isRemoved)))), []string{"start destroy db in 1.dev"}, nil},
		{"those that depend on others first", snap(ro(1, in("dev", running, stack("db", isRemoved, needs("app")), stack("app", isRemoved)))), []string{"start destroy app in 1.dev"}, nil},
		{"and the others after them", snap(ro(1, in("dev", running, stack("db", isRemoved, needs("app"))))), []string{"start destroy db in 1.dev"}, nil},
		{"not after a failure", snap(ro(1, in("dev", running, stack("web", run(core.RunFailed)), stack("db", isRemoved)))), []string{"1.dev is failed"}, nil},
		{"behind an approval", snap(ro(1, in("dev", running, stack("db", isRemoved, run(core.RunAwaitingApproval))))), nil,
			map[string]string{"1.dev": "approval to destroy db@dev: terrace approve r-db"}},
		{"which a newer release does not wait for", snap(ro(1, in("dev", running, stack("web", run(core.RunSucceeded), hasApplied), stack("db", isRemoved, run(core.RunAwaitingApproval)))), next),
			[]string{"supersede run r-db by 2"}, nil},
		{"rejected, the stage is cancelled", snap(ro(1, in("dev", running, stack("db", isRemoved, run(core.RunCancelled))))), []string{"1.dev is cancelled"}, nil},
		{"destroyed, the stage is done", snap(ro(1, in("dev", running, stack("db", isRemoved, run(core.RunSucceeded))))), []string{"1.dev is succeeded"}, nil},
	})
}
