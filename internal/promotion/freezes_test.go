package promotion

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// frozen is a freeze that a person set; hours count from noon, and 0 as until means
// without an end.
func frozen(from, until int) func(*Stage) {
	f := Freeze{ID: "fz-1", From: noon.Add(time.Duration(from) * hour), Zone: time.UTC, Reason: "the fair", By: "user:ana"}
	if until != 0 {
		f.Until = noon.Add(time.Duration(until) * hour)
	}
	return func(s *Stage) { s.Config.Freezes = append(s.Config.Freezes, f) }
}

func frozenAs(f Freeze) func(*Stage) {
	return func(s *Stage) { s.Config.Freezes = append(s.Config.Freezes, f) }
}

func TestRule24_Freezes(t *testing.T) {
	t.Parallel()
	const fair = "a freeze of dev until 15:00 on Sunday, 1 March (UTC): the fair (user:ana)"
	check(t, []rule{
		{"nobody enters", snap(ro(1, in("dev", waiting, frozen(-1, 3)))), nil, map[string]string{"1.dev": fair}},
		{"deny beats allow: not through an open window either", snap(ro(1, in("dev", waiting, opens(lunch), frozen(-1, 3)))), nil, map[string]string{"1.dev": fair}},
		{"from its first moment", snap(ro(1, in("dev", waiting, frozen(0, 3)))), nil, map[string]string{"1.dev": fair}},
		{"until its last", snap(ro(1, in("dev", waiting, frozen(-3, -1)))), []string{"admit 1.dev"}, nil},
		{"not before it begins", snap(ro(1, in("dev", waiting, frozen(1, 3)))), []string{"admit 1.dev"}, nil},
		{"one without an end waits for a person", snap(ro(1, in("dev", waiting, frozen(-1, 0)))), nil, map[string]string{"1.dev": "a freeze of dev: the fair (user:ana)"}},
		{"what has not begun waits, with the lease", snap(ro(1, in("dev", running, frozen(-1, 3), stack("web", run(core.RunSucceeded)), stack("db", run(core.RunSuperseded))))), nil, map[string]string{"1.dev": fair}},
		{"what is applying finishes", snap(ro(1, in("dev", running, frozen(-1, 3), stack("web", run(core.RunApplying)), stack("db")))), nil, map[string]string{"1.dev": fair}},
		{"and ends its stage", snap(ro(1, in("dev", running, frozen(-1, 3), stack("web", run(core.RunSucceeded))))), []string{"1.dev is succeeded"}, nil},
		{"a bake goes on, since it only looks", snap(ro(1, in("dev", bakingNow, bakes(time.Hour, 0), frozen(-1, 3), stack("web", run(core.RunSucceeded), hasVerify)))), []string{"start verify web in 1.dev"}, nil},
	})
}

func TestRule24_OneThatBeginsBeforeTheWindowOpensIsInTheWay(t *testing.T) {
	t.Parallel()
	got := waitsOf(t, snap(ro(1, in("dev", waiting, opens(evening), frozen(3, 24)))), "1.dev")
	if diff := cmp.Diff([]core.Gate{core.GateFreeze, core.GateWindow}, gatesOf(got)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	got = waitsOf(t, snap(ro(1, in("dev", waiting, opens(evening), frozen(3, 5)))), "1.dev")
	if diff := cmp.Diff([]core.Gate{core.GateWindow}, gatesOf(got)); diff != "" {
		t.Errorf("one that is over by then (-want +got):\n%s", diff)
	}
}

func TestRule24_TheLongestFreezeIsSaidFirst(t *testing.T) {
	t.Parallel()
	christmas := Freeze{From: noon.Add(-hour), Until: noon.Add(48 * hour), Zone: time.UTC, Reason: "Christmas", By: "terrace.hcl of release 12"}
	s := snap(ro(1, in("dev", waiting, frozen(-1, 3), frozenAs(christmas))))
	got := waitsOf(t, s, "1.dev")
	if len(got) != 2 || !got[0].Until.Equal(christmas.Until) || got[1].On != "fz-1" {
		t.Errorf("waits for %v", got)
	}
	s = snap(ro(1, in("dev", waiting, frozenAs(christmas), frozen(-1, 0))))
	if got := waitsOf(t, s, "1.dev"); !ForPerson(got) {
		t.Errorf("one without an end lasts longest: %v", got)
	}
}

func TestRule24_NextDueIsWhereAFreezeBeginsAndEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what string
		s    Snapshot
		want time.Time
	}{
		{"its end", snap(ro(1, in("dev", waiting, frozen(-1, 3)))), noon.Add(3 * hour)},
		{"its beginning", snap(ro(1, in("dev", running, frozen(2, 3), stack("web", run(core.RunPlanning))))), noon.Add(2 * hour)},
		{"none", snap(ro(1, in("dev", waiting, frozen(-1, 0)))), time.Time{}},
		{"not of what is over", snap(ro(1, in("dev", succeeded, frozen(2, 3)))), time.Time{}},
	} {
		if got := NextDue(c.s, noon); !got.Equal(c.want) {
			t.Errorf("%s: due at %s, want %s", c.what, got, c.want)
		}
	}
}
