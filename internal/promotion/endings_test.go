package promotion

import (
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestEndings_Rollouts(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"succeeded", snap(ro(1, in("dev", succeeded), in("staging", succeeded, after("dev")))), []string{"ro1 is succeeded"}, nil},
		{"failed weighs more than errored", snap(ro(1, in("a", core.StageErrored), in("b", hasFailed))), []string{"ro1 is failed"}, nil},
		{"errored weighs more than cancelled", snap(ro(1, in("a", core.StageErrored), in("b", isOff))), []string{"ro1 is errored"}, nil},
		{"cancelled weighs more than superseded", snap(ro(1, in("a", superseded), in("b", isOff))), []string{"ro1 is cancelled"}, nil},
		{"another branch may still go on", snap(ro(1, in("a", hasFailed), in("b", bakingNow, bakes(10, 5)))), nil, nil},
		{"without a stage there is nothing to do", snap(ro(1)), []string{"ro1 is succeeded"}, nil},
	})
}

func TestEndings_Cancel(t *testing.T) {
	t.Parallel()
	check(t, []rule{
		{"what waits never starts", snap(ro(1, cancelAsked, in("dev", succeeded), in("staging", waiting, after("dev")))), []string{"1.staging is cancelled"}, nil},
		{"runs are asked to stop", snap(ro(1, cancelAsked, in("dev", running, stack("a", run(core.RunApplying)), stack("b", run(core.RunQueued)), stack("c")))), []string{"cancel r-a", "cancel r-b"},
			map[string]string{"1.dev": "its runs, which were asked to stop"}},
		{"once", snap(ro(1, cancelAsked, in("dev", running, stack("a", run(core.RunApplying), func(i *Instance) { i.Run.Cancel = true })))), nil, nil},
		{"the stage ends when they have", snap(ro(1, cancelAsked, in("dev", running, stack("a", run(core.RunSucceeded)), stack("c")))), []string{"1.dev is cancelled"}, nil},
		{"a partial apply is held", snap(ro(1, cancelAsked, in("dev", running, stack("a", run(core.RunCancelled), hasApplied)))), []string{"hold dev for 1", "1.dev is cancelled"}, nil},
		{"a failure is told", snap(ro(1, cancelAsked, in("dev", running, stack("a", run(core.RunFailed))))), []string{"1.dev is failed"}, nil},
		{"a bake ends", snap(ro(1, cancelAsked, in("dev", bakingNow, bakes(time.Hour, 0), stack("a", run(core.RunSucceeded), watched(core.RunVerifying))))), []string{"stop w-a"}, nil},
		{"a paused stage too", snap(ro(1, cancelAsked, in("dev", running, stack("a", run(core.RunFailed), inconclusive)))), []string{"1.dev is cancelled"}, nil},
		{"finding out what happened goes on", snap(ro(1, cancelAsked, in("dev", core.StageUnknown, stack("a", recovery(core.RunPlanning), isUnknown)))), []string{"ro1 is unknown"}, nil},
		{"then nothing is started again", snap(ro(1, cancelAsked, in("dev", core.StageUnknown, stack("a", recovery(core.RunSucceeded))))), []string{"1.dev is cancelled", "ro1 is unknown"}, nil},
		{"a cancelled rollout takes nobody's place", snap(ro(1, in("dev", running, stack("a", run(core.RunPlanning)))), ro(2, cancelAsked, in("dev", waiting))), []string{"2.dev is cancelled"}, nil},
	})
}
