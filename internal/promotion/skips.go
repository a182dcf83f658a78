package promotion

import (
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
)

// Skipped reports whether somebody skipped a gate (rule 23), with a second person's
// agreement where the guardrails want one. Those of today decide, also on a skip that was
// made under others (rule 28).
func Skipped(skips []core.Skip, secondPerson bool, gate core.Gate) bool {
	return slices.ContainsFunc(skips, func(s core.Skip) bool {
		return slices.Contains(s.Gates, gate) && (!secondPerson || s.Second != "")
	})
}

func (st *Stage) skips(gate core.Gate) bool {
	return Skipped(st.Skips, st.Config.SecondPerson, gate)
}

// secondPerson adds to what a stage waits for the agreement that would let it skip some of
// that.
func secondPerson(p place, waits []core.Wait) []core.Wait {
	if !p.st.Config.SecondPerson {
		return waits
	}
	for _, s := range p.st.Skips {
		inTheWay := func(w core.Wait) bool { return slices.Contains(s.Gates, w.Gate) }
		if s.Second == "" && slices.ContainsFunc(waits, inTheWay) {
			waits = append(waits, skipWait(p, s))
		}
	}
	return waits
}

// behind lists the environments that a stage enters before they have verified its release:
// they catch up before ordinary promotion into this one goes on.
func (d *decider) behind(p place) (names []string) {
	if p.ro.repairs() {
		return d.owed(p.st.Config.Name) // as before
	}
	if p.ro.goesBack() || !p.st.skips(core.GateUpstream) {
		return nil
	}
	for _, name := range p.st.Config.After {
		if !d.verified(p.ro, name) {
			names = append(names, name)
		}
	}
	for _, name := range d.owed(p.st.Config.Name) {
		if !slices.Contains(p.st.Config.After, name) {
			names = append(names, name)
		}
	}
	return names
}

// owed lists the environments that a release skipped on its way into this one, and that
// have not caught up with it since.
func (d *decider) owed(environment string) (names []string) {
	e := d.Environments[environment]
	for _, name := range e.AheadOf {
		if d.Environments[name].Verified < e.Ahead {
			names = append(names, name)
		}
	}
	return names
}

// caughtUp is the other half of rule 23. What a stage's own configuration names in after is
// asked for by rule 5 already, and for more.
func caughtUp(d *decider, p place) (waits []core.Wait) {
	if p.ro.goesBack() || p.ro.repairs() {
		return nil // it was verified there: it takes back what ran ahead, or is that
	}
	e := d.Environments[p.st.Config.Name]
	for _, name := range d.owed(p.st.Config.Name) {
		if !slices.Contains(p.st.Config.After, name) {
			waits = append(waits, catchUpWait(e, name, d.Environments[name].Verified))
		}
	}
	return waits
}
