package promotion

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// TestGateMessages keeps what each gate says: what it is, where, why, and what to do.
func TestGateMessages(t *testing.T) {
	t.Parallel()
	web := stack("web", run(core.RunFailed), hasApplied, inconclusive)
	christmas := Freeze{From: noon.Add(-hour), Until: noon.Add(30 * 24 * hour), Zone: zone(t, "Europe/Berlin"), Reason: "Christmas", By: "terrace.hcl of release 12"}
	everywhere := Freeze{ID: "fz-1", Everywhere: true, From: noon.Add(-hour), Zone: time.UTC, Reason: "an incident", By: "user:ana"}
	production := func(o ...func(*Stage)) func(*Rollout) {
		return in("production", waiting, o...)
	}
	for name, s := range map[string]Snapshot{
		"02-stopped":         snap(stopped("the history of main was rewritten"), ro(12, production())),
		"04-lease":           snap(ro(11, in("production", bakingNow, bakes(hour, 0))), ro(12, production())),
		"05-not-verified":    snap(ro(12, in("staging", running, stack("web", run(core.RunApplying))), production(after("staging")))),
		"05-failed-upstream": snap(ro(12, in("staging", hasFailed), production(after("staging")))),
		"05-parity": snap(ro(12, production(func(s *Stage) {
			s.Config.Parity = []Parity{{From: "terrace.hcl of release 12", With: "staging", AtLeast: 0.98, Known: true, Number: 0.9666, Undeclared: 3, First: `web: democloud_server.web[0].size differs: staging's code gives "small"`}}
		}))),
		"06-every":            snap(ro(11, in("staging", running, stack("web", run(core.RunApplying))), production(after("staging"), every)), ro(12, production())),
		"07-barrier":          snap(ro(11, barrier, in("staging", running, stack("web", run(core.RunApplying))), production(after("staging"))), ro(12, production())),
		"16-inconclusive":     snap(ro(12, in("production", running, web))),
		"17-bake":             snap(ro(12, in("production", running, bakes(10*time.Minute, 0), stack("web", run(core.RunSucceeded))))),
		"18-a-failures-hold":  snap(env("production", held(core.HoldFailure, 12)), ro(12, production())),
		"20-unknown":          snap(ro(12, in("production", running, stack("web", isUnknown, run(core.RunUnknown))))),
		"21-first":            snap(env("production", verifiedAt(11), entered(12)), ro(11, back(12, 1), in("production", waiting, frozenAs(christmas))), ro(12, production())),
		"21-looks":            snap(env("production", verifiedAt(12), entered(13), held(core.HoldRollback, 13)), ro(12, backByItself(13), in("production", running, stack("web")))),
		"22-a-rollbacks-hold": snap(env("production", held(core.HoldRollback, 11)), ro(12, production())),
		"22-a-persons-hold":   snap(env("production", held(core.HoldPerson, 0)), ro(12, production())),
		"23-second-person":    snap(env("production", held(core.HoldPerson, 0)), ro(12, production(wantsTwo, skipping(core.GateHold, core.GateWindow)))),
		"23-catch-up":         snap(env("staging", verifiedAt(10)), env("production", ahead(11, "staging")), ro(12, production())),
		"26-sandbox":          snap(ro(12, in("staging", core.StageSucceeded, sandbox), production(after("staging")))),
		"27-renamed":          snap(ro(12, in("production", running, stack("site", movesFrom("web"), isLocked, func(i *Instance) { i.MoveOpensBy = "terrace state unlock web@production" })))),
		"24-window":           snap(ro(12, production(opens(office)))),
		"24-no-window":        snap(ro(12, production(opens(Windows{{From: hour, To: 2 * hour, Zone: time.UTC, Firm: true}}, Windows{{From: 3 * hour, To: 4 * hour, Zone: time.UTC, Firm: true}})))),
		"24-freeze-written":   snap(ro(12, production(frozenAs(christmas)))),
		"24-freeze-set":       snap(ro(12, production(frozen(-1, 3)))),
		"24-freeze-of-all":    snap(ro(12, production(frozenAs(everywhere)))),
	} {
		var text strings.Builder
		for _, w := range waitsOf(t, s, "12.production") {
			_, _ = fmt.Fprintf(&text, "waits for %s\n  gate %s, on %s\n  opens by: %s\n", w.What, w.Gate, w.On, w.OpensBy)
			if !w.Until.IsZero() {
				_, _ = fmt.Fprintf(&text, "  until %s\n", w.Until.UTC().Format(time.RFC3339))
			}
			if w.ForPerson {
				text.WriteString("  for a person\n")
			}
		}
		golden(t, name, text.String())
	}
}

// TestRefusals keeps what rules say that refuse what somebody asks for.
func TestRefusals(t *testing.T) {
	t.Parallel()
	dev := core.EnvironmentState{Name: "dev", Entered: 12, Present: 12, Verified: 12}
	with := func(change func(*core.EnvironmentState)) core.EnvironmentState {
		e := dev
		change(&e)
		return e
	}
	if err := errors.Join(Lookable(dev), Repairable(dev)); err != nil {
		t.Error(err)
	}
	for name, err := range map[string]error{
		"08-too-old":             TooOld(dev, 11),
		"08-overtaken":           errors.New(Overtaken(dev)),
		"10-no-outputs":          NoOutputs("web@dev", "network@dev"),
		"25-under-way":           Lookable(with(func(e *core.EnvironmentState) { e.Stage = "st-1" })),
		"25-repairs-nothing":     Repairable(with(func(e *core.EnvironmentState) { e.Present = 0 })),
		"25-repair-under-way":    Repairable(with(func(e *core.EnvironmentState) { e.Stage = "st-1" })),
		"25-repair-went-back":    Repairable(with(func(e *core.EnvironmentState) { e.Present, e.Verified = 11, 11 })),
		"25-repair-not-verified": Repairable(with(func(e *core.EnvironmentState) { e.Verified = 11 })),
	} {
		if err == nil {
			t.Errorf("%s refuses nothing", name)
			continue
		}
		golden(t, name, core.MessageOf(err)+"\n")
	}
}

// golden compares a text with the one that is kept.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}
