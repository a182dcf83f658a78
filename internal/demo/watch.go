package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// lookEvery is how often the server is asked while something is shown.
const lookEvery = 150 * time.Millisecond

// seenWithin is how long the server may take to notice a push that it was told of.
const seenWithin = time.Minute

// promote starts something that makes a release, and shows its rollout to the end. An
// error when it does not succeed; what is known of it is returned all the same.
func (w *world) promote(ctx context.Context, title string, start func(context.Context) (commit string, err error)) (RolloutSummary, error) {
	w.screen.printf("%s\n\n", title)
	began := time.Now()
	commit, err := start(ctx)
	if err != nil {
		return RolloutSummary{}, err
	}
	found, err := w.appear(ctx, commit)
	if err != nil {
		return RolloutSummary{}, err
	}
	ended, err := w.watch(ctx, found.ID, began)
	sum := summarize(ended, time.Since(began))
	if err != nil {
		return sum, err
	}
	w.screen.printf("\n")
	return sum, outcome(ended)
}

// appear waits for the rollout of a commit.
func (w *world) appear(ctx context.Context, commit string) (wire.Rollout, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, seenWithin, core.Errorf(core.Unavailable, "the server did not start a rollout of commit %s within %v; see %s", short(commit), seenWithin, w.log.Name()))
	defer cancel()
	for {
		rollouts, err := w.api.Rollouts(ctx, project, 10)
		if err != nil && ctx.Err() == nil {
			return wire.Rollout{}, err
		}
		if i := slices.IndexFunc(rollouts, func(r wire.Rollout) bool { return r.Release.Commit == commit }); i >= 0 {
			return rollouts[i], nil
		}
		status, err := w.api.Status(ctx, project, false)
		switch {
		case err != nil && ctx.Err() == nil:
			return wire.Rollout{}, err
		case status.CheckError != "":
			return wire.Rollout{}, core.Errorf(core.Unavailable, "the server cannot read the repository: %s", status.CheckError)
		case status.Head != nil && status.Head.Invalid != "":
			return wire.Rollout{}, core.Errorf(core.Invalid, "the shop's terrace.hcl does not hold:\n%s", status.Head.Invalid)
		}
		if err := pause(ctx); err != nil {
			return wire.Rollout{}, err
		}
	}
}

// watch shows a rollout until it has ended.
func (w *world) watch(ctx context.Context, id string, began time.Time) (wire.Rollout, error) {
	var last wire.Rollout
	for {
		now, err := w.api.Rollout(ctx, id)
		if err != nil {
			return last, err
		}
		took := time.Since(began)
		if w.screen.live {
			status, err := w.api.Status(ctx, project, false)
			if err != nil {
				return now, err
			}
			w.screen.draw(board(status, now, took, w.screen.width(), w.screen.color))
		} else {
			for _, line := range changes(last, now) {
				w.screen.printf("%7.1fs  %s\n", took.Seconds(), line)
			}
		}
		last = now
		if over(now) {
			return now, nil
		}
		if err := pause(ctx); err != nil {
			return now, err
		}
	}
}

// over reports whether nothing more happens by itself.
func over(r wire.Rollout) bool {
	status := core.RolloutStatus(r.Status)
	return status.Terminal() || status == core.RolloutUnknown
}

// outcome turns a rollout that did not succeed into an error that says why.
func outcome(r wire.Rollout) error {
	if r.Status == string(core.RolloutSucceeded) {
		return nil
	}
	var why []string
	for _, run := range inOrder(r.Runs) {
		if run.Error != nil {
			why = append(why, fmt.Sprintf("%s (run %s): %s", run.Instance, run.ID, run.Error.Message))
		}
	}
	if why == nil {
		why = []string{"no run says why"}
	}
	return core.Errorf(core.Conflict, "the rollout of release %d ended as %s: %s", r.Release.Number, r.Status, strings.Join(why, "; "))
}

// follow shows every rollout that somebody starts by playing, until ctx ends.
func (w *world) follow(ctx context.Context) error {
	seen := map[string]bool{}
	rollouts, err := w.api.Rollouts(ctx, project, 20)
	for _, r := range rollouts {
		seen[r.ID] = true
	}
	for ctx.Err() == nil && err == nil {
		rollouts, err = w.api.Rollouts(ctx, project, 20)
		for _, r := range slices.Backward(rollouts) {
			if seen[r.ID] || ctx.Err() != nil || err != nil {
				continue
			}
			seen[r.ID] = true
			w.screen.printf("\nRelease %d: %s\n\n", r.Release.Number, r.Release.Subject)
			_, err = w.watch(ctx, r.ID, r.Created)
		}
		if err == nil {
			err = pause(ctx)
		}
	}
	if ctx.Err() != nil {
		return nil // that is how it is meant to end
	}
	return err
}

// cancelRollouts ends what is under way and waits for it: runners outlive a server,
// and would look for this one in vain.
func (w *world) cancelRollouts(ctx context.Context) error {
	asked := map[string]bool{}
	for {
		rollouts, err := w.api.Rollouts(ctx, project, 20)
		if err != nil {
			return err
		}
		open := 0
		for _, r := range rollouts {
			if over(r) {
				continue
			}
			open++
			if !asked[r.ID] {
				asked[r.ID] = true
				w.screen.printf("Stopping the rollout of release %d …\n", r.Release.Number)
				if _, err := w.api.CancelRollout(ctx, r.ID); err != nil {
					return err
				}
			}
		}
		if open == 0 {
			return nil
		}
		if err := pause(ctx); err != nil {
			return core.Errorf(core.Unavailable, "a run did not stop within %v", stopWithin)
		}
	}
}

// invite says what there is to try.
func (w *world) invite(ctx context.Context, s Summary) error {
	page, err := w.entry(ctx)
	if err != nil {
		return err
	}
	w.screen.printf(`That took %.0f s. Everything stays up until you press Ctrl-C. To try:

  the board            %s
  the shop             %s
  the cloud            %s
  the command line     export TERRACE_URL=%s TERRACE_TOKEN=%s
                       %s status
  a sandbox            export TF_CLI_CONFIG_FILE=%s
                       in a branch of the clone: terrace sandbox create --wait
                       then: terrace sandbox shell BRANCH web
  a change             cd %s
                       edit ansible/page.yml, or servers in terrace.hcl, or break something;
                       then git commit -am "My change" && git push
  more ideas           %s

`, s.Seconds, page, s.Production.URL, w.cloud.URL(), w.server.URL(), w.server.Token(), w.options.Exe, w.engineConfig(), w.repo.clone, w.repo.clone+"/README.md")
	return nil
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
