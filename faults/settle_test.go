package faults

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

// settle is a patient person: it sees that the server runs, recovers what is unknown,
// starts again what has ended badly, and returns when the commit is in production, with
// what it had to do. It fails the trial when that takes too long (I8).
func (w *world) settle(commit string) settled {
	w.Helper()
	var did settled
	seq := w.watch.last()
	deadline := time.Now().Add(progressWithin)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		state, err := w.nudge(commit, &did)
		if err == nil && state == "succeeded" {
			return did
		}
		if err != nil {
			state = err.Error()
		}
		if time.Now().After(deadline) {
			w.violates("I8", "the commit %.8s is not in production after %s: %s (recovered %d, started again %d)%s%s",
				commit, progressWithin, state, did.recovered, did.again, w.board(), tell(w.watch.since(seq)))
			w.FailNow()
		}
		<-tick.C
	}
}

// settled is what a person had to do.
type settled struct{ recovered, again int }

// nudge looks once and does what is to be done.
func (w *world) nudge(commit string, did *settled) (string, error) {
	if !w.up() {
		w.start()
	}
	ctx, cancel := w.context()
	defer cancel()
	if w.agrees {
		if err := w.approveAll(); err != nil {
			return "", err
		}
	}
	all, err := w.api.Rollouts(ctx, project, 5)
	if err != nil {
		return "", err
	}
	for _, r := range all { // newest first
		if r.Release.Commit != commit {
			continue
		}
		switch r.Status {
		case "succeeded":
			for _, s := range r.Stages {
				if s.Status != "succeeded" {
					return "", fmt.Errorf("the rollout succeeded and its stage %s is %s", s.Environment, s.Status)
				}
			}
			return r.Status, nil
		case "running", "unknown":
			return r.Status, w.recoverAll(did)
		}
		_, err := w.api.StartRollout(ctx, project, wire.StartRollout{Commit: commit})
		if refused := (*client.Error)(nil); errors.As(err, &refused) && refused.Status == http.StatusBadRequest {
			w.Fatal(err) // it will never be otherwise
		} else if err == nil {
			did.again++
		}
		return r.Status, err
	}
	return "there is no rollout of it", w.recoverAll(did)
}

// recoverAll recovers every instance whose outcome is unknown, of whatever release.
func (w *world) recoverAll(did *settled) error {
	ctx, cancel := w.context()
	defer cancel()
	board, err := w.api.Status(ctx, project, false)
	if err != nil {
		return err
	}
	for _, i := range board.Instances {
		if i.State != "unknown" {
			continue
		}
		all, err := w.api.Runs(ctx, project, client.RunFilter{Environment: i.Environment, Stack: i.Stack, Limit: 10})
		if err != nil {
			return err
		}
		for _, run := range all { // newest first
			if run.Kind == "recover" && !terminal(run.Status) {
				break
			}
			if run.Status == "unknown" {
				did.recovered++
				if _, err := w.api.RecoverRun(ctx, run.ID, ""); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

func terminal(status string) bool {
	switch status {
	case "succeeded", "failed", "errored", "cancelled", "superseded", "unknown":
		return true
	}
	return false
}

// board is what a person sees, for messages.
func (w *world) board() string {
	out, err := w.cli("status")
	if err != nil {
		return "\n" + err.Error()
	}
	rollouts, err := w.cli("rollout", "list")
	if err != nil {
		rollouts = err.Error()
	}
	return "\n" + out + rollouts + w.runs()
}

// runs are the newest runs, and why those ended that did not succeed.
func (w *world) runs() string {
	ctx, cancel := w.context()
	defer cancel()
	all, err := w.api.Runs(ctx, project, client.RunFilter{Limit: 20})
	if err != nil {
		return "\n" + err.Error()
	}
	var b strings.Builder
	for _, r := range all {
		_, _ = fmt.Fprintf(&b, "\n  %s %s %s@%s, attempt %d, %s", r.Created.Format("15:04:05.000"), r.ID, r.Stack, r.Environment, r.Attempt, r.Kind+" "+r.Status)
		if r.Error != nil {
			_, _ = fmt.Fprintf(&b, ": %+v", *r.Error)
		}
	}
	return b.String()
}

// quiet waits until nothing of the world works any more, but the server.
func (w *world) quiet() {
	w.Helper()
	w.eventually("all runners to end", func() bool {
		for _, p := range w.processes(somethingOf) {
			if w.kind(p.args) != theServer {
				return false
			}
		}
		return true
	})
}
