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

func newVerifyCommand(s *settings) *cobra.Command {
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{Use: "verify INSTANCE|ENVIRONMENT", Short: "Ask again whether what is there works", Args: cobra.ExactArgs(1),
		Long: `Asks the verify blocks of the release that was applied last, once, at an instance or
everywhere in an environment. Nothing is planned or applied. What fails has to run again
before it is up to date: terrace rollout start.

While a release is in the environment its stage asks by itself, and this is refused; one
that enters ends what was asked.

With --wait it waits for the answers and shows them; the exit code is 1 when one is not a
pass, or could not be asked for.`,
		Example: `  terrace verify production --wait
  terrace verify web@production`,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			stack, environment := "", args[0]
			if strings.Contains(args[0], "@") {
				var err error
				if stack, environment, err = core.ParseInstance(args[0]); err != nil {
					return usage(err)
				}
			}
			asked, err := c.Verify(ctx, project, environment, stack)
			if err != nil {
				return err
			}
			if wait {
				return s.awaitVerified(ctx, c, cmd, asked, timeout)
			}
			return s.show(cmd, asked, func(out io.Writer) {
				for _, r := range asked.Runs {
					_, _ = fmt.Fprintf(out, "%s asks at %s. What the answer is: terrace run show %[1]s\n", r.ID, r.Instance)
				}
				printNotVerified(out, asked)
			})
		})}
	c.Flags().BoolVar(&wait, "wait", false, "wait for the answers and show them")
	c.Flags().DurationVar(&timeout, "timeout", time.Hour, "with --wait: give up waiting after this")
	return c
}

// awaitVerified waits until runs are over and shows what they were answered.
func (s *settings) awaitVerified(ctx context.Context, c *client.Client, cmd *cobra.Command, asked wire.Verifications, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	bad := len(asked.Skipped) > 0
	for i := range asked.Runs {
		run, err := ended(ctx, c, asked.Runs[i].ID)
		if err != nil {
			return err
		}
		if run == nil {
			return exitError{exitWaiting, fmt.Errorf("%s still asks at %s; what the answer is: terrace run show %[1]s", asked.Runs[i].ID, asked.Runs[i].Instance)}
		}
		asked.Runs[i] = *run
		bad = bad || run.Status != string(core.RunSucceeded)
	}
	if err := s.show(cmd, asked, func(out io.Writer) {
		for _, r := range asked.Runs {
			printVerified(out, r)
		}
		printNotVerified(out, asked)
	}); err != nil || !bad {
		return err
	}
	return exitError{exitFailed, nil}
}

// ended waits until a run is over; nil when ctx is over before.
func ended(ctx context.Context, c *client.Client, id string) (*wire.Run, error) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		run, err := c.Run(ctx, id)
		switch {
		case ctx.Err() != nil:
			return nil, nil
		case err != nil:
			return nil, err
		case core.RunStatus(run.Status).Terminal():
			return &run, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-tick.C:
		}
	}
}

func printVerified(out io.Writer, r wire.Run) {
	word := r.Status
	switch {
	case r.Status == string(core.RunSucceeded):
		word = "pass"
	case r.Error != nil && r.Error.Code == core.CodeInconclusive:
		word = "inconclusive"
	}
	_, _ = fmt.Fprintf(out, "%s: %s (release %d, %s)\n", r.Instance, word, r.Release.Number, r.ID)
	for _, v := range r.Verified {
		_, _ = fmt.Fprintf(out, "  %s: %s: %s\n", v.Name, v.Verdict, v.Message)
	}
	if len(r.Verified) == 0 && r.Error != nil {
		_, _ = fmt.Fprintln(out, "  "+r.Error.Message)
	}
}

func printNotVerified(out io.Writer, asked wire.Verifications) {
	for _, n := range asked.Skipped {
		_, _ = fmt.Fprintf(out, "Not asked at %s: %s.\n", n.Instance, n.Why)
	}
}
