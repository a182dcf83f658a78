package promotion

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/terrace-cd/terrace/internal/core"
)

// What people do with gates in the world, and its own reading of them.

func (w *world) freeze(t *rapid.T) {
	f := Freeze{ID: w.id("fz"), From: w.now, Zone: time.UTC, Reason: "quiet", By: "user:ana"}
	switch rapid.IntRange(0, 3).Draw(t, "how") {
	case 0:
		f.From = w.now.Add(hour)
		f.Until = w.now.Add(3 * hour)
	case 1, 2:
		f.Until = w.now.Add(time.Duration(rapid.IntRange(1, 30).Draw(t, "minutes")) * time.Minute)
	}
	e := rapid.SampledFrom(w.graph).Draw(t, "environment").Name
	w.freezes[e] = append(w.freezes[e], f)
}

func (w *world) unfreeze(t *rapid.T) {
	delete(w.freezes, rapid.SampledFrom(w.graph).Draw(t, "environment").Name)
}

// skip is terrace promote --skip-gate, on any stage that is not over.
func (w *world) skip(t *rapid.T) {
	var stages []*Stage
	for _, ro := range w.open() {
		for i := range ro.Stages {
			if !ro.Stages[i].Status.Terminal() {
				stages = append(stages, &ro.Stages[i])
			}
		}
	}
	if len(stages) == 0 {
		return
	}
	st := rapid.SampledFrom(stages).Draw(t, "stage")
	s := core.Skip{By: "user:ana", Reason: "it burns", At: w.now}
	for _, g := range core.Skippable {
		if rapid.Bool().Draw(t, string(g)) {
			s.Gates = append(s.Gates, g)
		}
	}
	st.Skips = append(slices.Clone(st.Skips), s)
}

// agree is a second person's word on every skip that lacks it.
func (w *world) agree(*rapid.T) {
	for _, ro := range w.open() {
		for i := range ro.Stages {
			st := &ro.Stages[i]
			st.Skips = slices.Clone(st.Skips)
			for j := range st.Skips {
				st.Skips[j].Second = "user:ben"
			}
		}
	}
}

// skipped is the world's own reading of rule 23.
func (w *world) skipped(st *Stage, g core.Gate) bool {
	for _, s := range st.Skips {
		for _, named := range s.Gates {
			if named == g && (s.Second != "" || !w.twoPersons) {
				return true
			}
		}
	}
	return false
}

// shut is the world's own reading of rule 24.
func (w *world) shut(st *Stage) string {
	for _, f := range w.freezes[st.Config.Name] {
		begun, over := !f.From.After(w.now), !f.Until.IsZero() && !f.Until.After(w.now)
		if begun && !over && !w.skipped(st, core.GateFreeze) {
			return "frozen"
		}
	}
	if !w.skipped(st, core.GateWindow) {
		for _, ws := range st.Config.Windows {
			if h := w.now.UTC().Hour(); len(ws) > 0 && (h < int(ws[0].From/hour) || h >= int(ws[0].To/hour)) {
				return "shut"
			}
		}
	}
	return ""
}

// passing lists the environments that a stage enters before.
func (w *world) passing(ro *Rollout, st *Stage) (names []string) {
	if ro.goesBack() {
		return nil
	}
	for _, name := range st.Config.After {
		if !w.passed(ro, name) {
			names = append(names, name)
		}
	}
	e := w.envs[st.Config.Name]
	for _, name := range e.AheadOf {
		if w.envs[name].Verified < e.Ahead && !slices.Contains(st.Config.After, name) {
			names = append(names, name)
		}
	}
	return names
}

// explained asserts that whoever waits says why, since when, and what ends it.
func (w *world) explained() {
	for _, ro := range w.open() {
		for _, st := range ro.Stages {
			if st.Status == core.StageWaiting && len(st.Waits) == 0 && !ro.Cancel && w.envs[st.Config.Name].Stage == "" {
				w.t.Fatalf("%s of release %d waits for nothing", st.Config.Name, ro.Release.Number)
			}
			for _, wait := range st.Waits {
				if wait.What == "" || wait.OpensBy == "" || wait.On == "" || wait.Since.IsZero() {
					w.t.Fatalf("%s of release %d waits for something that is not explained: %+v", st.Config.Name, ro.Release.Number, wait)
				}
			}
			if st.WaitsFor != Text(st.Waits) && st.Status != core.StageSuperseded {
				w.t.Fatalf("%s of release %d waits for %q and for %v", st.Config.Name, ro.Release.Number, st.WaitsFor, st.Waits)
			}
		}
	}
}
