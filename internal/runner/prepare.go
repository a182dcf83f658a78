package runner

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/step/checkout"
	"github.com/terrace-cd/terrace/internal/step/engine"
)

// tries is how often clone, init and plan are tried (rule 19), with growing pauses.
const tries = 3

var firstPause = time.Second

// retry calls f until it succeeds, says no for a reason that a repetition does not
// change, or was tried often enough.
func (a *attempt) retry(what string, f func(context.Context) error) error {
	return a.retryIn(a.work, what, f)
}

func (a *attempt) retryIn(ctx context.Context, what string, f func(context.Context) error) error {
	for try, pause := 1, firstPause; ; try, pause = try+1, 4*pause {
		err := f(ctx)
		if err == nil || try == tries || ctx.Err() != nil || core.CodeOf(err) != core.Unavailable || isLocked(err) {
			return err
		}
		a.say("%s did not work, in try %d of %d: %s; again in %s", what, try, tries, core.MessageOf(err), pause)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// checkout gets the commit's files.
func (a *attempt) checkout() error {
	return a.retry("the checkout", func(ctx context.Context) (err error) {
		scratch := filepath.Join(a.temp(), "tree")
		if err := os.MkdirAll(scratch, 0o700); err != nil {
			return core.Errorf(core.Unavailable, "no folder for a work tree: %w", err)
		}
		a.tree, err = checkout.Open(ctx, checkout.Options{
			Root: a.trees(), Project: a.job.Project, Environment: a.job.Environment, Stack: a.job.Stack,
			Mirror: a.job.Source.Mirror, Commit: a.job.Source.Commit, Path: a.job.Source.Path, Apart: a.job.Apart,
			Keep: engine.Kept(), Scratch: scratch,
		})
		return err
	})
}
