package faults

import (
	"fmt"
	"slices"

	"github.com/terrace-cd/terrace/internal/core"
)

// violation is what the oracle finds.
type violation struct {
	invariant string // "I1"
	what      string
}

func (v violation) String() string { return v.invariant + ": " + v.what }

// oracle judges evidence by the invariants. It believes two witnesses: the cloud, whose
// journal has every change with the run that made it and its fence, and what was seen
// while it happened.
//
// One thing no witness can demand: an engine that is killed takes with it what it did
// since it last stored its state. Such a run has to be unknown, and nothing of it may be
// repeated by itself; what it created and did not store is then allowed to be in the
// cloud and in no state.
type oracle struct {
	evidence
	run   map[string]core.Run
	found []violation
}

// judge returns every violation.
func judge(e evidence) []violation {
	o := &oracle{evidence: e, run: map[string]core.Run{}}
	for _, r := range e.runs {
		o.run[r.ID] = r
	}
	o.versionsStay()   // I1
	o.oneWriter()      // I2
	o.everythingKept() // I3
	o.gatesHeld()      // I4
	o.onlyOnce()       // I5
	o.nothingInClear() // I6
	o.chainHolds()     // I7
	return o.found
}

func (o *oracle) violates(invariant, format string, args ...any) {
	o.found = append(o.found, violation{invariant, fmt.Sprintf(format, args...)})
}

// unknown reports whether nobody saw the end of a run.
func (o *oracle) unknown(run string) bool { return o.run[run].Status == core.RunUnknown }

// of selects what is kept of an instance.
func (o *oracle) of(instance string, all []kept) []kept {
	return slices.DeleteFunc(slices.Clone(all), func(k kept) bool { return k.instance != instance })
}

// current is the newest version of an instance.
func (o *oracle) current(instance string) (kept, bool) {
	all := o.of(instance, o.versions)
	if len(all) == 0 {
		return kept{}, false
	}
	return all[len(all)-1], true
}

// instances are those that anything is known of.
func (o *oracle) instances() []string {
	found := map[string]bool{}
	for _, v := range o.versions {
		found[v.instance] = true
	}
	for _, e := range o.journal {
		found[instanceOf(e.Resource.Tenant)] = true
	}
	var names []string
	for name := range found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// nothingInClear is I6: no secret in a log, an answer, an argument list, the database or
// the blobs.
func (o *oracle) nothingInClear() {
	for _, where := range o.clear {
		o.violates("I6", "the secret is in clear in %s", where)
	}
}

// chainHolds is I7: the audit chain verifies, and what was seen of the log while it was
// written is what it says.
func (o *oracle) chainHolds() {
	if o.auditLog != nil {
		o.violates("I7", "%v", o.auditLog)
	}
	stored := map[int64]core.Event{}
	for _, e := range o.events {
		stored[e.Seq] = e
	}
	for _, s := range o.seen {
		if e, ok := stored[s.Seq]; !ok || e.Hash != s.Hash || e.Kind != s.Kind {
			o.violates("I7", "event %d was seen as %s (%s) and is %q (%s) now", s.Seq, s.Kind, s.Hash, e.Kind, e.Hash)
		}
	}
}

// check has the oracle judge the world, which has to be quiet.
func (w *world) check() { w.judge(false) }

// checkAll is check that reads every stored state again.
func (w *world) checkAll() { w.judge(true) }

func (w *world) judge(all bool) {
	w.Helper()
	w.quiet()
	e := w.gather(all)
	e.converged = true
	for _, v := range judge(e) {
		w.violates(v.invariant, "%s", v.what)
	}
}
