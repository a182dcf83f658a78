package runner

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/step/checkout"
	"github.com/terrace-cd/terrace/internal/step/hook"
	"github.com/terrace-cd/terrace/internal/wire"
)

// before runs the hooks that come before a change, each in the files of the release that
// wrote it. Nothing has been changed yet, and one that does not end well ends the run so.
func (a *attempt) before(next wire.Next) error {
	if err := a.out.flush(); err != nil {
		return err
	}
	a.clock.enter(phaseBefore)
	a.say("%s", next.Reason)
	for _, h := range next.Before {
		if slices.ContainsFunc(a.hooked, func(done wire.Hooked) bool { return done.ID == h.ID }) {
			return core.Errorf(core.Internal, "the server asks for a hook that has run already; are server and runner of the same version?")
		}
		dir, err := a.hookDir(h)
		if err != nil {
			return err
		}
		done := hook.Run(a.work, h, hook.Options{Dir: dir, Env: a.environment(), Output: a.out, Mask: a.mask})
		a.hooked = append(a.hooked, done)
		if a.work.Err() != nil {
			return a.work.Err()
		}
		a.say("before_change: %s", done.Message)
		if !done.OK {
			return verdictf(core.RunFailed, "before_change (%s): %s: %s. %s; so nothing was changed. Mend what it says, then: terrace rollout start --commit %d",
				h.From, strings.Join(done.Command, " "), done.Message, next.Reason, a.job.Release.Number)
		}
	}
	return nil
}

// hookDir is the directory of terrace.hcl among the files that a hook runs in.
func (a *attempt) hookDir(h wire.Hook) (string, error) {
	if h.Commit == "" || h.Commit == a.job.Source.Commit {
		return a.tree.File(a.job.Source.Root), nil
	}
	tree := &checkout.Tree{}
	err := a.retry("the checkout for before_change", func(ctx context.Context) (err error) {
		scratch := filepath.Join(a.temp(), "before")
		if err := os.MkdirAll(scratch, 0o700); err != nil {
			return core.Errorf(core.Unavailable, "no folder for a work tree: %w", err)
		}
		// It goes with the run's folder.
		tree, err = checkout.Open(ctx, checkout.Options{Root: filepath.Join(scratch, "trees"), Project: a.job.Project, Environment: a.job.Environment, Stack: a.job.Stack,
			Mirror: a.job.Source.Mirror, Commit: h.Commit, Path: a.job.Source.Root, Scratch: scratch})
		return err
	})
	if err != nil {
		return "", err
	}
	return tree.File(a.job.Source.Root), tree.Close()
}
