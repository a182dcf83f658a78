package promotion

import (
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestRule06_NewestAdmissibleEnters(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"older ones are superseded by its entering",
			snap(env("dev", entered(3)), ro(1, in("dev", waiting)), ro(2, in("dev", waiting)), ro(3, in("dev", running, stack("web", run(core.RunApplying))))),
			[]string{"supersede 1.dev by 3", "supersede 2.dev by 3"}, nil},
		{"not before: an older one enters while the newer waits for its upstream",
			snap(env("dev", verifiedAt(2)), ro(1, in("dev", succeeded), in("staging", waiting)), ro(2, in("dev", succeeded), in("qa", running, stack("web", run(core.RunPlanning))), in("staging", waiting, after("qa")))),
			[]string{"admit 1.staging"}, nil},
		{"a rollout ends when what is left of it is superseded",
			snap(ro(1, in("dev", succeeded), in("staging", superseded), in("production", waiting, after("staging")))),
			[]string{"ro1 is superseded"}, map[string]string{"1.production": "staging, which was superseded"}},
		{"what is still going on elsewhere ends first",
			snap(ro(1, in("a", superseded), in("b", running, stack("web", run(core.RunApplying))))), nil, nil},
	})
}

func TestRule06_NothingIsSupersededOnceApplying(t *testing.T) {
	t.Parallel()
	next := ro(2, in("dev", waiting))
	stays := []rule{}
	for _, status := range []core.RunStatus{core.RunApplying, core.RunProvisioning, core.RunVerifying} {
		stays = append(stays, rule{string(status), snap(ro(1, in("dev", running, stack("web", run(status)), stack("db", run(core.RunPlanning)))), next), nil, nil})
	}
	check(t, append(stays, []rule{
		{"planning gives way", snap(ro(1, in("dev", running, stack("web", run(core.RunPlanning)), stack("db", run(core.RunQueued)))), next),
			[]string{"supersede run r-web by 2", "supersede run r-db by 2"}, nil},
		{"then the stage", snap(ro(1, in("dev", running, stack("web", run(core.RunSuperseded)))), next), []string{"supersede 1.dev by 2"}, nil},
		{"an earlier run has applied", snap(ro(1, in("dev", running, appliedBefore, stack("web", run(core.RunPlanning)))), next), nil, nil},
		{"a sibling has applied", snap(ro(1, in("dev", running, stack("web", run(core.RunPlanning)), stack("db", run(core.RunSucceeded), hasApplied))), next), nil, nil},
		{"a run that got further refuses: the stage goes on", snap(ro(1, in("dev", running, stack("web", run(core.RunSuperseded)), stack("db", run(core.RunApplying), hasApplied))), next),
			[]string{"start deploy web in 1.dev"}, nil},
		{"a stage that is done ends as what it is", snap(ro(1, in("dev", running, stack("web", upToDate))), next), []string{"1.dev is succeeded"}, nil},
		{"so does one that failed", snap(ro(1, in("dev", running, stack("web", run(core.RunFailed)))), next), []string{"1.dev is failed"}, nil},
		{"a destruction that was superseded is not begun again", snap(ro(1, in("dev", running, appliedBefore, stack("web", run(core.RunSucceeded), hasApplied), stack("db", isRemoved, run(core.RunSuperseded)))), next),
			[]string{"supersede 1.dev by 2"}, nil},
		{"an older one takes nobody's place", snap(ro(1, in("staging", waiting)), ro(2, in("staging", running, stack("web", run(core.RunPlanning))))), []string{"supersede 1.staging by 2"}, nil},
		{"one that may not enter neither", snap(ro(1, in("dev", running, stack("web", run(core.RunPlanning)))), ro(2, in("qa", running, stack("web", run(core.RunPlanning))), in("dev", waiting, after("qa")))), nil, nil},
	}...))
}

func TestRule06_ANewerArrivalNeverResetsABake(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"baking", snap(ro(1, in("dev", bakingNow, bakes(time.Hour, time.Minute), stack("web", run(core.RunSucceeded), watched(core.RunVerifying)))), ro(2, in("dev", waiting))), nil, nil},
	})
}

func TestRule06_EveryCommitInOrder(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"the oldest enters", snap(ro(1, in("dev", waiting, every)), ro(2, in("dev", waiting, every)), ro(3, in("dev", waiting, every))),
			[]string{"admit 1.dev"}, map[string]string{"2.dev": `release 1, which goes first (queue = "every")`, "3.dev": `release 1, which goes first (queue = "every")`}},
		{"it is the older one's own configuration that counts", snap(ro(1, in("dev", waiting)), ro(2, in("dev", waiting, every))), []string{"admit 2.dev"}, nil},
		{"one that failed is not waited for", snap(env("dev", held(core.HoldFailure, 1)), ro(1, in("dev", hasFailed, every), in("production", waiting, after("dev"), every)), ro(2, in("dev", waiting, every)), ro(3, in("dev", waiting, every))),
			[]string{"admit 2.dev", "ro1 is failed"}, map[string]string{"3.dev": `release 2, which goes first (queue = "every")`}},
		{"nor where it would have come later", snap(ro(1, in("dev", hasFailed, every), in("production", waiting, after("dev"), every)), ro(2, in("dev", succeeded, every), in("production", waiting, after("dev"), every))),
			[]string{"admit 2.production", "ro1 is failed"}, nil},
		{"one that came in is not superseded", snap(ro(1, in("dev", running, every, stack("web", run(core.RunPlanning)))), ro(2, in("dev", waiting, every))), nil, nil},
	})
}

func TestRule07_Barriers(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"may not be skipped", snap(ro(1, in("dev", waiting)), ro(2, barrier, in("dev", waiting)), ro(3, in("dev", waiting))),
			[]string{"admit 2.dev"}, map[string]string{"3.dev": "release 2, which goes first (barrier)"}},
		{"are waited for while they come from upstream, and hold up nobody older",
			snap(env("dev", verifiedAt(3)), ro(1, in("dev", succeeded), in("staging", waiting, after("dev"))),
				ro(2, barrier, in("dev", running, stack("web", run(core.RunApplying))), in("staging", waiting, after("dev"))),
				ro(3, in("dev", superseded), in("staging", waiting, after("dev")))),
			[]string{"admit 1.staging"}, map[string]string{"3.staging": "release 2, which goes first (barrier)"}},
		{"are not waited for once they ended",
			snap(env("dev", verifiedAt(3)), ro(2, barrier, in("dev", hasFailed), in("staging", waiting, after("dev"))), ro(3, in("dev", succeeded), in("staging", waiting, after("dev")))),
			[]string{"admit 3.staging", "ro2 is failed"}, nil},
		{"hold newer ones back while they wait for a window", snap(ro(1, barrier, in("dev", waiting, opens(evening))), ro(2, in("dev", waiting))),
			nil, map[string]string{"2.dev": "release 1, which goes first (barrier)"}},
		{"or for a person, who skips nothing for whoever is behind", snap(env("dev", held(core.HoldPerson, 0)), ro(1, barrier, in("dev", waiting)), ro(2, in("dev", waiting, skipping(core.GateHold)))),
			nil, map[string]string{"1.dev": "a hold on dev: because", "2.dev": "release 1, which goes first (barrier)"}},
		{"enter first when it is lifted", snap(ro(1, barrier, in("dev", waiting)), ro(2, in("dev", waiting))), []string{"admit 1.dev"}, nil},
		{"several go one after the other", snap(ro(1, barrier, in("dev", waiting)), ro(2, barrier, in("dev", waiting)), ro(3, in("dev", waiting))),
			[]string{"admit 1.dev"}, map[string]string{"3.dev": "release 1, which goes first (barrier)"}},
		{"cancelled, they are not waited for", snap(ro(1, barrier, cancelAsked, in("dev", waiting)), ro(2, in("dev", waiting))), []string{"admit 2.dev", "1.dev is cancelled"}, nil},
		{"give way to nobody", snap(ro(1, barrier, in("dev", running, stack("web", run(core.RunPlanning)))), ro(2, in("dev", waiting))), nil, nil},
	})
}
