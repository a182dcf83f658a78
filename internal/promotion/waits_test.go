package promotion

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// waitsOf is all that a stage is said to wait for.
func waitsOf(t *testing.T, s Snapshot, stage string) []core.Wait {
	t.Helper()
	for _, d := range Decide(s, noon) {
		if set, ok := d.(SetStage); ok && set.Stage == stage {
			return set.Waits
		}
	}
	t.Fatalf("nothing is decided on %s", stage)
	return nil
}

func gatesOf(waits []core.Wait) []core.Gate {
	var out []core.Gate
	for _, w := range waits {
		out = append(out, w.Gate)
	}
	return out
}

func stored(waits ...core.Wait) func(*Stage) {
	return func(s *Stage) { s.Waits, s.WaitsFor = waits, Text(waits) }
}

func TestEveryObstacleIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	s := snap(stopped("commit 1 was removed"), env("production", held(core.HoldPerson, 0)),
		ro(1, barrier, in("dev", succeeded), in("production", waiting, after("dev"))),
		ro(2, in("dev", succeeded), in("production", running, stack("web", run(core.RunApplying)))),
		ro(3, barrier, in("dev", bakingNow, bakes(time.Hour, 0)), in("qa", waiting), in("production", waiting, after("dev", "qa"), opens(office))),
		ro(4, in("dev", waiting), in("production", waiting, after("dev"))))
	got := gatesOf(waitsOf(t, s, "3.production"))
	if diff := cmp.Diff([]core.Gate{core.GateProject, core.GateUpstream, core.GateUpstream, core.GateHold, core.GateWindow, core.GateLease}, got); diff != "" {
		t.Errorf("release 3 (-want +got):\n%s", diff)
	}
	got = gatesOf(waitsOf(t, s, "4.production"))
	if diff := cmp.Diff([]core.Gate{core.GateProject, core.GateUpstream, core.GateHold, core.GateOrder, core.GateLease}, got); diff != "" {
		t.Errorf("release 4 (-want +got):\n%s", diff)
	}
}

func TestAWaitGoesOnWhileItsGateIsClosed(t *testing.T) {
	t.Parallel()
	before := noon.Add(-time.Hour)
	old := leaseWait("dev", place{&Rollout{Release: core.Release{Number: 1}}, &Stage{Status: running}})
	old.Since = before
	holder := func(status core.StageStatus) func(*Snapshot) {
		return ro(1, in("dev", status, bakes(time.Hour, 0), stack("web", run(core.RunApplying))))
	}
	if got := waits(snap(holder(running), ro(2, in("dev", waiting, stored(old))))); got["2.dev"] != "" {
		t.Errorf("decided again on %q", got["2.dev"])
	}
	got := waitsOf(t, snap(holder(bakingNow), ro(2, in("dev", waiting, stored(old)))), "2.dev")
	if len(got) != 1 || !got[0].Since.Equal(before) || got[0].What != "the lease of dev, held by release 1 (baking)" {
		t.Errorf("the same lease, and a new text: %v", got)
	}
	got = waitsOf(t, snap(holder(running), env("dev", held(core.HoldPerson, 0)), ro(2, in("dev", waiting, stored(old)))), "2.dev")
	if len(got) != 2 || !got[0].Since.Equal(noon) || !got[1].Since.Equal(before) {
		t.Errorf("a new hold, and the old lease: %v", got)
	}
}

func TestTheEndOfABakeIsForeseen(t *testing.T) {
	t.Parallel()
	baking := func(baked time.Duration, o ...func(*Stage)) Snapshot {
		return snap(ro(1, in("dev", bakingNow, append([]func(*Stage){bakes(10*time.Minute, baked)}, o...)...)))
	}
	first := waitsOf(t, baking(3*time.Minute), "1.dev")
	if len(first) != 1 || !first[0].Until.Equal(noon.Add(7*time.Minute)) {
		t.Fatalf("waits for %v", first)
	}
	if got := Decide(baking(3*time.Minute+time.Second, stored(first...)), noon); len(got) != 0 {
		t.Errorf("a second of difference was stored anew: %v", got)
	}
	if got := waitsOf(t, baking(2*time.Minute, stored(first...)), "1.dev"); !got[0].Until.Equal(noon.Add(8 * time.Minute)) {
		t.Errorf("a minute of difference was not: %v", got)
	}
}

func TestForPerson(t *testing.T) {
	t.Parallel()
	hold, window := core.Wait{Gate: core.GateHold, ForPerson: true}, core.Wait{Gate: core.GateWindow}
	for _, c := range []struct {
		waits []core.Wait
		want  bool
	}{{nil, false}, {[]core.Wait{hold, window}, true}, {[]core.Wait{window, hold}, false}} {
		if got := ForPerson(c.waits); got != c.want {
			t.Errorf("%v: %v", c.waits, got)
		}
	}
}
