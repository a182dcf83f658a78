package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newDriftFix(s *settings) *cobra.Command {
	var yes, wait bool
	var timeout time.Duration
	c := &cobra.Command{Use: "fix INSTANCE|ENVIRONMENT", Short: "Run the release that is there again at what drifted, through every gate", Args: cobra.ExactArgs(1),
		Long: `Undoes what drifted at an instance, or at all instances of an environment where that is
known: the release that is there is planned there again, and goes through the checks, the
approvals and the windows like any other. Nothing else is run, and no other environment
is entered. What was done by hand is shown before; to keep it, write it in the code instead.`,
		Example: `  terrace drift fix web@production
  terrace drift fix production --yes --wait`,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			environment := args[0]
			var repair wire.Repair
			if strings.Contains(environment, "@") {
				stack, at, err := core.ParseInstance(environment)
				if err != nil {
					return usage(err)
				}
				environment, repair.Stacks = at, []string{stack}
			}
			if err := showDrifted(ctx, c, cmd.ErrOrStderr(), project, environment, repair.Stacks); err != nil {
				return err
			}
			if err := confirm(cmd, yes, "Undo what drifted at "+args[0]+"?"); err != nil {
				return err
			}
			ro, err := c.Repair(ctx, project, environment, repair)
			if err != nil {
				return err
			}
			if wait {
				return s.watch(ctx, c, cmd, ro.ID, timeout)
			}
			return s.show(cmd, ro, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s repairs %s with release %s. Follow it: terrace rollout watch %[1]s\n", ro.ID, environment, releaseText(&ro.Release))
			})
		})}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&wait, "wait", false, "show progress and wait for the end")
	c.Flags().DurationVar(&timeout, "timeout", 0, "with --wait: give up waiting after this (the repair goes on)")
	return c
}

// showDrifted shows what a repair would undo, so that nobody undoes what they have not seen.
func showDrifted(ctx context.Context, c *client.Client, out io.Writer, project, environment string, stacks []string) error {
	all, err := c.Drift(ctx, project)
	if err != nil {
		return err
	}
	for _, d := range all {
		stack, at, err := core.ParseInstance(d.Instance)
		if err != nil || at != environment || d.State != "drifted" || len(stacks) > 0 && stacks[0] != stack {
			continue
		}
		report, err := c.ShowDrift(ctx, project, at, stack)
		if err != nil {
			return err
		}
		printDrift(out, report)
	}
	return nil
}
