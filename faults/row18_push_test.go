package faults

import (
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

func init() {
	register(row{number: 18, fault: "a push between approval and apply", run: pushAfterApproval})
}

// A stack left the code. Somebody agrees to its destruction, and while that is on its way,
// others push, and may have brought it back. What is destroyed is what was agreed to, of
// the release that it was agreed for, or nothing.
func pushAfterApproval(t *trial) {
	w := newWorld(t, func(w *world) { w.agrees, w.spare = true, true })
	for i := range t.times(2, 12) {
		w.spare = true
		w.settle(w.commit())
		w.agrees = false
		seq := w.watch.last()
		w.spare = false
		first := w.commit()
		run := w.watch.became(seq, aside+"@dev", "awaiting_approval")
		push := func() string {
			w.spare = i%2 == 0 // it is back, or it stays away
			return w.commit()
		}
		var second string
		if i%4 < 2 { // the push comes first
			second = push()
			w.watch.first(seq, "the second release", func(e event) bool { return e.Kind == "release.made" && e.On == second })
			w.approve(run)
		} else {
			w.approve(run)
			second = push()
		}
		t.injected("a push beside the approval of %s", run)
		w.passes(w.somewhere(t.rng))
		w.agrees = true
		w.settle(second)
		shown, err := w.api.Run(w.Context(), run)
		t.wants(err == nil && shown.Release.Commit == first && shown.Kind == "destroy", "%s was approved as the destruction of release %.8s and is %+v, %v", run, first, shown, err)
		w.approvedOnly(seq)
		w.check()
	}
	w.checkAll()
}

// approvedOnly: each destruction since then was one that somebody had approved.
func (w *world) approvedOnly(seq int64) {
	w.Helper()
	approved := map[string]bool{}
	for _, e := range w.watch.since(seq) {
		if e.Kind == "run.approved" {
			approved[e.On] = true
		}
	}
	for _, e := range w.journal() {
		shown, err := w.api.Run(w.Context(), e.Run)
		if err != nil {
			w.Fatal(err)
		}
		if shown.Kind == "destroy" && w.watch.knows(seq, e.Run) {
			w.wants(approved[e.Run], "%s did the %s of %s, and nobody had approved it", e.Run, e.Operation, e.Resource.ID)
		}
	}
}

func (w *world) approve(run string) {
	w.Helper()
	if _, err := w.api.Approve(w.Context(), run, wire.Ballot{}); err != nil {
		w.Logf("the approval came too late: %v", err) // a newer release took its place
	}
}

// approveAll agrees to everything that waits.
func (w *world) approveAll() error {
	ctx, cancel := w.context()
	defer cancel()
	runs, err := w.api.Runs(ctx, project, client.RunFilter{Limit: 30})
	if err != nil {
		return err
	}
	for _, r := range runs {
		if r.Status == "awaiting_approval" {
			_, _ = w.api.Approve(ctx, r.ID, wire.Ballot{}) // it may be superseded
		}
	}
	return nil
}
