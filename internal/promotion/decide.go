package promotion

import (
	"slices"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// Decide says what to do next, in the order in which to do it. Carrying out any
// beginning of the list leaves a state from which the rest, or something better, is
// decided again; when nothing is left to do the list is empty.
func Decide(s Snapshot, now time.Time) []Decision {
	d := decider{Snapshot: s, now: now, building: map[string]bool{}}
	for i := range d.Rollouts {
		d.sweep(&d.Rollouts[i])
	}
	for _, name := range d.environmentNames() {
		d.environment(name)
	}
	// A rollback that enters changes what is verified, and with it what others go on from:
	// whether they enter, and whether they are over, is asked after it.
	back := slices.ContainsFunc(d.admits, Admit.goesBack)
	if !back {
		for i := range d.Rollouts {
			d.end(&d.Rollouts[i])
		}
	}
	d.look()
	all := make([]Decision, 0, len(d.admits)+len(d.out))
	for _, x := range d.admits {
		if !back || x.goesBack() {
			all = append(all, x)
		}
	}
	return append(all, d.out...)
}

// goesBack reports whether it is a rollback that enters.
func (a Admit) goesBack() bool { return a.Hold != nil }

// decider collects decisions. Its snapshot is never changed: each call decides one
// step, and the next snapshot shows what came of it.
type decider struct {
	Snapshot
	now time.Time
	out []Decision
	// building are the images that are begun, by digest: each once, whoever wants it.
	building map[string]bool
	// admits come before all others: their gates were seen open in this very snapshot,
	// and a stage that succeeds further down the list may close one (rule 5).
	admits []Admit
}

// place is a stage with its rollout.
type place struct {
	ro *Rollout
	st *Stage
}

func (p place) number() int64          { return p.ro.Release.Number }
func (p place) sameStage(o place) bool { return p.st.ID == o.st.ID }

func (d *decider) add(x Decision) { d.out = append(d.out, x) }

// set decides a stage's status and what it waits for, when either differs from what
// is stored.
func (d *decider) set(p place, status core.StageStatus, waits ...core.Wait) {
	waits = continued(waits, p.st.Waits, d.now)
	text := Text(waits)
	if p.st.Status == status && p.st.WaitsFor == text && same(p.st.Waits, waits) {
		return
	}
	d.add(SetStage{Rollout: p.ro.ID, Stage: p.st.ID, From: p.st.Status, Status: status, WaitsFor: text, Waits: waits})
}

// alive reports whether a rollout takes part in promotion at all.
func alive(ro *Rollout) bool { return !ro.Status.Terminal() && ro.Release.Invalid == "" }

// environmentNames lists the environments that rollouts under way go through, in the
// order in which they are met.
func (d *decider) environmentNames() []string {
	var names []string
	seen := map[string]bool{}
	for i := range d.Rollouts {
		if !alive(&d.Rollouts[i]) {
			continue
		}
		for _, st := range d.Rollouts[i].Stages {
			if !seen[st.Config.Name] {
				seen[st.Config.Name] = true
				names = append(names, st.Config.Name)
			}
		}
	}
	return names
}

// environment decides all that concerns one environment: who enters, who gives way,
// and what whoever holds the lease does next.
func (d *decider) environment(name string) {
	holders, waiting := d.places(name)
	next := d.queue(name, waiting, holders)
	for _, h := range holders {
		switch {
		case next == nil || h.ro.Cancel:
			d.work(h)
		case next.ro.goesBack():
			d.leave(h, *next)
		case d.givesWay(h, *next):
			d.supersede(h, next.number())
		default:
			d.work(h)
		}
	}
	if next != nil && len(holders) == 0 && d.Environments[name].Stage == "" {
		d.admits = append(d.admits, Admit{Rollout: next.ro.ID, Stage: next.st.ID, Environment: name, Behind: d.behind(*next), Hold: d.rollbackHold(*next)})
	}
}

// places lists the stages of an environment that hold its lease, which is one at
// most (rule 4), and those that wait for it, oldest release first (rule 2).
func (d *decider) places(name string) (holders, waiting []place) {
	for i := range d.Rollouts {
		ro := &d.Rollouts[i]
		if !alive(ro) {
			continue
		}
		for j := range ro.Stages {
			p := place{ro, &ro.Stages[j]}
			switch {
			case p.st.Config.Name != name:
			case p.st.Status.HoldsLease():
				holders = append(holders, p)
			case p.st.Status == core.StageWaiting && !ro.Cancel:
				waiting = append(waiting, p)
			}
		}
	}
	return holders, waiting
}
