package promotion

import (
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestRule16_InconclusiveIsNeverAPass(t *testing.T) {
	t.Parallel()
	asks := stack("web", run(core.RunFailed), hasApplied, inconclusive)
	check(t, []rule{
		{"it pauses the stage", snap(ro(1, in("staging", running, asks))), nil,
			map[string]string{"1.staging": "an answer to the verification of web@staging, which was inconclusive (no answer within 2m): terrace rollout start --commit 1 asks again"}},
		{"siblings go on", snap(ro(1, in("staging", running, asks, stack("db")))), []string{"start deploy db in 1.staging"}, nil},
		{"dependants do not", snap(ro(1, in("staging", running, asks, stack("db", needs("web"), undecided)))), nil, nil},
		{"asked again, the new rollout takes over", snap(ro(1, in("staging", running, asks)), ro(1, manual, in("staging", waiting))), []string{"supersede 1.staging by 1"}, nil},
		{"a correction takes over as well", snap(ro(1, in("staging", running, asks)), ro(2, in("staging", waiting))), []string{"supersede 1.staging by 2"}, nil},
		{"but not of what may not be skipped", snap(ro(1, barrier, in("staging", running, asks)), ro(2, in("staging", waiting))), nil, nil},
		{"not while a sibling applies", snap(ro(1, in("staging", running, asks, stack("db", run(core.RunApplying)))), ro(2, in("staging", waiting))), nil, nil},
		{"a failure is definite", snap(ro(1, in("staging", running, asks, stack("db", run(core.RunFailed))))), []string{"1.staging is failed"}, nil},
	})
}

func TestRule17_Bake(t *testing.T) {
	t.Parallel()
	const whole, part = 10 * time.Minute, 3 * time.Minute
	live := func(o ...func(*Instance)) func(*Stage) {
		return stack("web", append([]func(*Instance){run(core.RunSucceeded)}, o...)...)
	}
	endedAgo := func(ago time.Duration) func(*Run) { return func(r *Run) { r.Finished = noon.Add(-ago) } }
	noAnswer := func(r *Run) { r.Code, r.Message = core.CodeInconclusive, "timed out" }
	asked := func(r *Run) { r.Cancel = true }
	check(t, []rule{
		{"begins when all is done", snap(ro(1, in("dev", running, bakes(whole, 0), live()))), []string{"1.dev is baking"}, map[string]string{"1.dev": "the end of its bake (10m)"}},
		{"is watched", snap(ro(1, in("dev", bakingNow, bakes(whole, 0), live(hasVerify), stack("db", run(core.RunSucceeded))))), []string{"start verify web in 1.dev"}, nil},
		{"goes on", snap(ro(1, in("dev", bakingNow, bakes(whole, part), live(watched(core.RunVerifying))))), nil, nil},
		{"one fail fails it", snap(ro(1, in("dev", bakingNow, bakes(whole, part), live(watched(core.RunFailed))))), []string{"1.dev is failed"}, nil},
		{"after the other watches have ended", snap(ro(1, in("dev", bakingNow, bakes(whole, part), live(watched(core.RunFailed)), stack("db", watched(core.RunVerifying)), stack("dns", watched(core.RunVerifying, asked))))),
			[]string{"stop w-db"}, nil},
		{"its end stops the watches", snap(ro(1, in("dev", bakingNow, bakes(whole, whole), live(watched(core.RunVerifying))))), []string{"stop w-web"}, nil},
		{"once", snap(ro(1, in("dev", bakingNow, bakes(whole, whole), live(watched(core.RunVerifying, asked))))), nil, nil},
		{"not those that have not begun to ask", snap(ro(1, in("dev", bakingNow, bakes(whole, whole), live(watched(core.RunQueued))))), nil, nil},
		{"and waits for them", snap(ro(1, in("dev", bakingNow, bakes(whole, whole), live(watched(core.RunSucceeded))))), []string{"1.dev is succeeded"}, nil},
		{"a fail in the last moment counts", snap(ro(1, in("dev", bakingNow, bakes(whole, whole), live(watched(core.RunFailed))))), []string{"1.dev is failed"}, nil},
		{"a watch that was lost is started again", snap(ro(1, in("dev", bakingNow, bakes(whole, part), live(watched(core.RunErrored, endedAgo(time.Minute)))))), []string{"start verify web in 1.dev"}, nil},
		{"after a pause", snap(ro(1, in("dev", bakingNow, bakes(whole, part), live(watched(core.RunErrored, endedAgo(time.Second)))))), nil, nil},
		{"a clock that was set back does not make the pause longer", snap(ro(1, in("dev", bakingNow, bakes(whole, part), live(watched(core.RunErrored, endedAgo(-24*time.Hour)))))), []string{"start verify web in 1.dev"}, nil},
		{"no answer is asked again", snap(ro(1, in("dev", bakingNow, bakes(whole, part), live(watched(core.RunFailed, noAnswer, endedAgo(time.Minute)))))), []string{"start verify web in 1.dev"},
			map[string]string{"1.dev": "verification of web@dev, which could not be answered (timed out) and is asked again"}},
		{"and is not a pass at the end", snap(ro(1, in("dev", bakingNow, bakes(whole, whole), live(watched(core.RunFailed, noAnswer, endedAgo(time.Second)))))), nil, nil},
		{"one that was stopped early is started again", snap(ro(1, in("dev", bakingNow, bakes(whole, part), live(watched(core.RunCancelled, endedAgo(time.Minute)))))), []string{"start verify web in 1.dev"}, nil},
		{"without anything to ask only time passes", snap(ro(1, in("dev", bakingNow, bakes(whole, whole), live()))), []string{"1.dev is succeeded"}, nil},
	})
}

func TestRule17_NextDueIsTheEndOfTheBake(t *testing.T) {
	t.Parallel()
	s := snap(ro(1, in("dev", bakingNow, bakes(10*time.Minute, 3*time.Minute), stack("web", run(core.RunSucceeded)))),
		ro(2, in("staging", bakingNow, bakes(time.Hour, time.Minute))))
	if got, want := NextDue(s, noon), noon.Add(7*time.Minute); !got.Equal(want) {
		t.Errorf("due at %s, want %s", got, want)
	}
	s = snap(ro(1, in("dev", bakingNow, bakes(time.Hour, 0), stack("web", watched(core.RunErrored, func(r *Run) { r.Finished = noon.Add(-4 * time.Second) })))))
	if got, want := NextDue(s, noon), noon.Add(6*time.Second); !got.Equal(want) {
		t.Errorf("due at %s, want %s", got, want)
	}
	if got := NextDue(snap(ro(1, in("dev", running, stack("web")))), noon); !got.IsZero() {
		t.Errorf("due at %s, want never", got)
	}
}
