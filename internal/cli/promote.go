package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newPromoteCommand(s *settings) *cobra.Command {
	var p wire.Promote
	var yes, wait bool
	var timeout time.Duration
	c := &cobra.Command{Use: "promote ENVIRONMENT", Short: "Let a release enter an environment on purpose: lift its hold, or skip gates", Args: cobra.ExactArgs(1),
		Long: `Promotes the candidate of an environment, or --release: the newest release that waits for
nothing before it. A hold that is in the way is shown and, after a question, lifted. A
rollout that is under way is joined; otherwise one is made.

--skip-gate names gates that this release does not wait for here: upstream (it is not verified
in every environment before), hold, freeze, window, and bake, which ends the bake of what is in
the environment. It needs a --reason, stays with the rollout for ever, and takes effect only
when a second person agrees where the guardrails want one. Checks, approvals and protection
are never skipped. Environments that were skipped catch up before ordinary promotion goes on.

Exit code 3: it waits for something still, which is shown.`,
		Example: `  terrace promote production
  terrace promote production --release 12 --skip-gate window,freeze --reason "the shop is down"
  terrace promote staging --skip-gate bake --reason "production needs it now" --yes`,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			if len(p.SkipGate) > 0 && strings.TrimSpace(p.Reason) == "" {
				return usage(fmt.Errorf("skipping a gate needs a reason, which stays with the rollout: --reason"))
			}
			candidate, err := c.Candidate(ctx, project, args[0], p)
			if err != nil {
				return err
			}
			if candidate.Hold != nil || len(p.SkipGate) > 0 {
				printCandidate(cmd.ErrOrStderr(), candidate, p)
				if err := confirm(cmd, yes, promoteQuestion(candidate, p)); err != nil {
					return err
				}
			}
			// What was shown is what is promoted.
			p.Release, p.LiftHold = candidate.Release.Number, candidate.Hold != nil
			done, err := c.Promote(ctx, project, args[0], p)
			if err != nil {
				return err
			}
			if wait && !done.SecondPerson {
				return s.watch(ctx, c, cmd, done.Journey.ID, timeout)
			}
			if err := s.show(cmd, done, func(out io.Writer) { printPromoted(out, done) }); err != nil {
				return err
			}
			if len(done.Waits) > 0 || done.SecondPerson {
				return exitError{exitWaiting, nil}
			}
			return nil
		})}
	f := c.Flags()
	f.Int64Var(&p.Release, "release", 0, "a release's number (default: the candidate)")
	f.StringSliceVar(&p.SkipGate, "skip-gate", nil, "gates to skip for it: upstream, hold, freeze, window, bake")
	f.StringVar(&p.Reason, "reason", "", "why; needed to skip, for everybody who looks at the rollout")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	f.BoolVar(&wait, "wait", false, "show progress and wait for the end")
	f.DurationVar(&timeout, "timeout", 0, "give up waiting after this long (the rollout goes on)")
	return c
}

func printCandidate(out io.Writer, c wire.Candidate, p wire.Promote) {
	_, _ = fmt.Fprintf(out, "Release %s %s\n", releaseText(&c.Release), c.Release.Subject)
	if h := c.Hold; h != nil {
		_, _ = fmt.Fprintf(out, "%s is held by %s, %s: %s\n", h.Environment, h.By, ago(h.Since), h.Reason)
	}
	if c.SecondPerson {
		_, _ = fmt.Fprintf(out, "Skipping %s takes effect when somebody else agrees.\n", strings.Join(p.SkipGate, ", "))
	}
	printWaits(out, "", c.Waits)
}

func promoteQuestion(c wire.Candidate, p wire.Promote) string {
	lift, skip := "Lift the hold on "+c.Environment, "skip "+strings.Join(p.SkipGate, ", ")
	switch {
	case len(p.SkipGate) == 0:
		return fmt.Sprintf("%s for release %d?", lift, c.Release.Number)
	case c.Hold != nil:
		return fmt.Sprintf("%s and %s for release %d?", lift, skip, c.Release.Number)
	}
	return fmt.Sprintf("S%s of %s for release %d?", skip[1:], c.Environment, c.Release.Number)
}

func printPromoted(out io.Writer, p wire.Promoted) {
	if p.Lifted != nil {
		_, _ = fmt.Fprintf(out, "The hold on %s is lifted.\n", p.Environment)
	}
	if p.Skipped != nil && p.SecondPerson {
		_, _ = fmt.Fprintf(out, "Somebody other than %s has to agree to skip %s: terrace approve %s\n", p.Skipped.By, strings.Join(p.Skipped.Gates, ", "), p.Stage)
	} else if p.Skipped != nil {
		_, _ = fmt.Fprintf(out, "Release %d does not wait for these gates of %s: %s.\n", p.Release.Number, p.Environment, strings.Join(p.Skipped.Gates, ", "))
	}
	if len(p.Waits) > 0 {
		_, _ = fmt.Fprintf(out, "Release %s waits in %s:\n", releaseText(&p.Release), p.Environment)
		printWaits(out, "  ", p.Waits)
	} else if !p.SecondPerson {
		_, _ = fmt.Fprintf(out, "Release %s goes on in %s.\n", releaseText(&p.Release), p.Environment)
	}
	_, _ = fmt.Fprintf(out, "Follow it: terrace rollout watch %s\n", p.Journey.ID)
}
