package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newRollbackCommand(s *settings) *cobra.Command {
	var ask wire.GoBack
	var yes, wait bool
	var timeout time.Duration
	c := &cobra.Command{Use: "rollback ENVIRONMENT", Short: "Take an environment back to a release that was verified there", Args: cobra.ExactArgs(1),
		Long: `Plans what going back to an older release would do, shows it, and after a question does it:
with that release's code, planned afresh, through every check, approval and window of today.
Without --to it is the release verified there before the one that is there.

The environment is held from the moment in which the rollback enters, so that nothing newer
undoes it: terrace unhold. Whatever is at work there makes room; an apply comes to its end.
Protected resources that the older release does not have are kept and named; stacks that it
does not have are destroyed only behind an approval. An old state is never restored.

With --yes it does not plan first. Exit code 1: a plan says no (with --dry-run too).`,
		Example: `  terrace rollback production
  terrace rollback production --to 12 --reason "checkout is slow" --wait
  terrace rollback production --dry-run --json`,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			if ask.DryRun && yes {
				return usage(errors.New("--dry-run does nothing that --yes could agree to; leave one of them out"))
			}
			if !yes {
				look := ask
				look.DryRun = true
				way, err := c.RollBack(ctx, project, args[0], look)
				if err != nil {
					return err
				}
				if err := previewed(ctx, c, cmd.ErrOrStderr(), &way); err != nil {
					return err
				}
				denied := failedPreviews(way)
				if ask.DryRun {
					if err := s.show(cmd, way, func(out io.Writer) { err = printWay(ctx, c, out, way) }); err != nil {
						return err
					}
					if len(denied) > 0 {
						return exitError{exitFailed, nil}
					}
					return err
				}
				if err := printWay(ctx, c, cmd.ErrOrStderr(), way); err != nil {
					return err
				}
				if len(denied) > 0 {
					return exitError{exitFailed, fmt.Errorf("%s would not get through; nothing was rolled back", strings.Join(denied, ", "))}
				}
				if err := confirm(cmd, false, fmt.Sprintf("Roll %s back from release %d to release %d?", way.Environment, way.From, way.To.Number)); err != nil {
					return err
				}
				ask.To = way.To.Commit // what was shown
			}
			done, err := c.RollBack(ctx, project, args[0], ask)
			if err != nil {
				return err
			}
			if wait {
				return s.watch(ctx, c, cmd, done.Rollout.ID, timeout)
			}
			return s.show(cmd, done, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s takes %s back from release %d to release %s. Follow it: terrace rollout watch %[1]s\nWhen newer releases may enter again: terrace unhold %[2]s\n", done.Rollout.ID, done.Environment, done.From, releaseText(&done.To))
			})
		})}
	f := c.Flags()
	f.StringVar(&ask.To, "to", "", "a release's number, or a commit (default: the release verified there before)")
	f.StringVar(&ask.Reason, "reason", "", "why, for everybody who looks at the hold and the rollout")
	f.BoolVar(&ask.DryRun, "dry-run", false, "only plan, and show")
	f.BoolVarP(&yes, "yes", "y", false, "do not plan first, and do not ask")
	f.BoolVar(&wait, "wait", false, "show progress and wait for the end")
	f.DurationVar(&timeout, "timeout", 0, "give up waiting after this long (the rollback goes on)")
	return c
}

// previewed waits until all previews are over. Interrupted, it cancels what is left of them.
func previewed(ctx context.Context, c *client.Client, progress io.Writer, way *wire.Rollback) error {
	if len(way.Previews) > 0 {
		_, _ = fmt.Fprintf(progress, "Planning %d of %s with release %s …\n", len(way.Previews), way.Environment, releaseText(&way.To))
	}
	for i := range way.Previews {
		for !core.RunStatus(way.Previews[i].Status).Terminal() {
			select {
			case <-ctx.Done():
				cleaning, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
				defer stop()
				for _, p := range way.Previews[i:] {
					_, _ = c.CancelRun(cleaning, p.ID) // over already, perhaps
				}
				return ctx.Err()
			case <-time.After(200 * time.Millisecond):
			}
			run, err := c.Run(ctx, way.Previews[i].ID)
			if err != nil {
				return err
			}
			way.Previews[i] = run
		}
	}
	return nil
}

func failedPreviews(way wire.Rollback) (names []string) {
	for _, p := range way.Previews {
		if p.Status != string(core.RunSucceeded) {
			names = append(names, p.Instance)
		}
	}
	return names
}

func printWay(ctx context.Context, c *client.Client, out io.Writer, way wire.Rollback) error {
	_, _ = fmt.Fprintf(out, "%s goes back from release %d to release %s %s\n", way.Environment, way.From, releaseText(&way.To), way.To.Subject)
	for _, p := range way.Previews {
		_, _ = fmt.Fprintf(out, "\n%s\n", p.Instance)
		if p.Status != string(core.RunSucceeded) {
			why := p.Status
			if p.Error != nil {
				why = ansi.Strip(p.Error.Message)
			}
			_, _ = fmt.Fprintln(out, indent(why))
			continue
		}
		plan, err := c.Plan(ctx, p.ID)
		if err != nil {
			return err
		}
		var text strings.Builder
		printPlan(&text, plan)
		for _, check := range p.Checks {
			if check.Verdict == "warn" {
				_, _ = fmt.Fprintf(&text, "%s: %s\n", check.Name, ansi.Strip(check.Message))
			}
		}
		_, _ = fmt.Fprintln(out, indent(text.String()))
	}
	if len(way.Previews) == 0 {
		_, _ = fmt.Fprintln(out, "\nNothing is planned: what was applied last is what that release wants.")
	}
	for _, stack := range way.Removed {
		_, _ = fmt.Fprintf(out, "\n%s is not part of that release. It is destroyed only if somebody approves that, and kept otherwise.\n", core.InstanceName(stack, way.Environment))
	}
	return nil
}

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}
