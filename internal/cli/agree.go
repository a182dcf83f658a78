package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// agree is a second person's word on the skips that arguments name by their stage or their
// rollout. It returns the arguments that mean none.
func (s *settings) agree(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string, d decision) (rest []string, err error) {
	var stages []string
	var chosen []wire.PendingSkip
	for _, arg := range args {
		pending, err := pendingSkips(ctx, c, arg)
		if err != nil {
			return nil, err
		}
		if len(pending) == 0 {
			rest = append(rest, arg)
		}
		for _, p := range pending {
			chosen = append(chosen, p)
			if !slices.Contains(stages, p.Stage) {
				stages = append(stages, p.Stage)
			}
		}
	}
	for _, p := range chosen {
		printSkip(cmd.ErrOrStderr(), p)
	}
	if f, ok := cmd.InOrStdin().(*os.File); len(stages) > 0 && !d.yes && ok && term.IsTerminal(int(f.Fd())) {
		if err := confirm(cmd, false, "Agree to skip?"); err != nil {
			return nil, err
		}
	}
	for _, stage := range stages {
		if err := c.AgreeToSkip(ctx, stage, d.reason); err != nil {
			return nil, err
		}
	}
	if len(stages) == 0 || len(rest) > 0 && s.json {
		return rest, nil // what is approved beside it is the answer
	}
	return rest, s.show(cmd, chosen, func(out io.Writer) {
		for _, p := range chosen {
			_, _ = fmt.Fprintf(out, "You agreed to skip %s of %s for release %d.\n", strings.Join(p.Gates, ", "), p.Environment, p.Release.Number)
		}
	})
}

// pendingSkips finds the skips that a stage or a rollout waits with for a second person.
func pendingSkips(ctx context.Context, c *client.Client, arg string) (out []wire.PendingSkip, err error) {
	if _, id := core.IDTime(arg); !id || !strings.HasPrefix(arg, core.PrefixStage+"-") && !strings.HasPrefix(arg, core.PrefixRollout+"-") {
		return nil, nil
	}
	all, err := allPendingSkips(ctx, c)
	for _, skip := range all {
		if skip.Stage == arg || skip.Rollout == arg {
			out = append(out, skip)
		}
	}
	return out, err
}

func allPendingSkips(ctx context.Context, c *client.Client) (out []wire.PendingSkip, err error) {
	projects, err := c.Projects(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range projects {
		all, err := c.PendingSkips(ctx, p.Name)
		if err != nil {
			return nil, err
		}
		out = append(out, all...)
	}
	return out, nil
}

// skipsToAgreeTo lists the skips that wait for whoever asks; with all, those that wait for
// others too.
func (s *settings) skipsToAgreeTo(ctx context.Context, c *client.Client, all bool) (out []wire.PendingSkip, err error) {
	pending, err := allPendingSkips(ctx, c)
	for _, p := range pending {
		if (all || p.MayNot == "") && (s.project == "" || s.project == p.Project) {
			out = append(out, p)
		}
	}
	return out, err
}

func printSkip(out io.Writer, p wire.PendingSkip) {
	_, _ = fmt.Fprintf(out, "%s asks to skip %s of %s for release %s %s: %s\n  terrace approve %s\n", p.By, strings.Join(p.Gates, ", "), p.Environment,
		releaseText(&p.Release), ansi.Strip(p.Release.Subject), ansi.Strip(p.Reason), p.Stage)
}
