package cli

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
	"github.com/terrace-cd/terrace/internal/workbench"
)

func newPreviewCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "preview", Short: "What a branch or a pull request would do: start, list, show, cancel, allow",
		Long: `A preview merges a branch into the tracked one and plans every instance that the merge wants
something else of, in every environment. Nothing of it can be applied, it has no secret of an
environment, and rules that the branch weakens hold for it all the same.

Pull requests are previewed by themselves when the project's forge is known (terrace project
forge), those of forks when somebody has let their commit in.`}
	c.AddCommand(newPreviewStart(s), newPreviewList(s), newPreviewShow(s), newPreviewCancel(s), newPreviewAllow(s))
	return c
}

func newPreviewStart(s *settings) *cobra.Command {
	var ask wire.StartPreview
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{Use: "start", Short: "Plan what a branch would do, once it is merged", Args: cobra.NoArgs,
		Example: "  terrace preview start --branch bigger-servers --wait\n  terrace preview start --pull 7",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			if ask.Branch == "" && ask.Pull == 0 {
				ask.Branch = workbench.Branch(ctx, ".")
			}
			pv, err := c.StartPreview(ctx, project, ask)
			if err != nil {
				return err
			}
			return s.previewed(ctx, c, cmd, pv, wait, timeout)
		})}
	c.Flags().StringVar(&ask.Branch, "branch", "", "whose newest commit (default: the branch that is checked out here)")
	c.Flags().Int64Var(&ask.Pull, "pull", 0, "number of an open pull request")
	waitFlags(c, &wait, &timeout)
	return c
}

func waitFlags(c *cobra.Command, wait *bool, timeout *time.Duration) {
	c.Flags().BoolVar(wait, "wait", false, "wait until everything is planned; exit 1 when something is denied or failed")
	c.Flags().DurationVar(timeout, "timeout", 0, "give up waiting after this long (it goes on)")
}

// previewed shows a preview, when it is over if somebody waits.
func (s *settings) previewed(ctx context.Context, c *client.Client, cmd *cobra.Command, pv wire.Preview, wait bool, timeout time.Duration) error {
	if wait {
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "Planning what %s would do: %s …\n", pv.Branch, pv.ID)
		for !core.PreviewStatus(pv.Status).Terminal() {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return core.Errorf(core.Unavailable, "%s is still %s; it goes on: terrace preview show %[1]s", pv.ID, pv.Status)
			}
			var err error
			if pv, err = c.Preview(ctx, pv.Project, pv.ID); err != nil {
				return err
			}
		}
	}
	if err := s.show(cmd, pv, func(out io.Writer) { printPreview(out, pv, wait) }); err != nil {
		return err
	}
	if wait && pv.Status != string(core.PreviewSucceeded) {
		return core.Errorf(core.Conflict, "the preview %s ended as %s", pv.ID, pv.Status)
	}
	return nil
}

func printPreview(out io.Writer, pv wire.Preview, whole bool) {
	_, _ = fmt.Fprintf(out, "%s  %s  %s (%s)", pv.ID, pv.Status, pv.Branch, core.ShortCommit(pv.Commit))
	if pv.Pull != 0 {
		_, _ = fmt.Fprintf(out, ", pull request %d", pv.Pull)
	}
	_, _ = fmt.Fprintln(out)
	if pv.Why != "" {
		_, _ = fmt.Fprintf(out, "%s\n", ansi.Strip(pv.Why))
	}
	if !whole && !core.PreviewStatus(pv.Status).Terminal() {
		_, _ = fmt.Fprintf(out, "Look: terrace preview show %s\n", pv.ID)
		return
	}
	var rows [][]string
	for _, e := range pv.Environments {
		for _, in := range e.Instances {
			rows = append(rows, []string{in.Instance, in.State, changesWords(in), in.Run})
		}
	}
	if len(rows) == 0 && len(pv.Environments) > 0 {
		_, _ = fmt.Fprintln(out, "Nothing changes anywhere.")
	} else if len(rows) > 0 {
		_, _ = fmt.Fprintln(out)
		table(out, []string{"INSTANCE", "STATE", "WHAT", "RUN"}, rows)
	}
	for _, e := range pv.Environments {
		for _, what := range e.Refused {
			_, _ = fmt.Fprintf(out, "\nRefused in %s: %s. The rule holds for this branch all the same (rule 28).\n", e.Environment, ansi.Strip(what))
		}
		for _, in := range e.Instances {
			if in.Why != "" {
				_, _ = fmt.Fprintf(out, "\n%s: %s\n", in.Instance, ansi.Strip(in.Why))
			}
		}
	}
}

// changesWords is what an instance would do.
func changesWords(in wire.PreviewInstance) string {
	switch {
	case in.WaitsFor != "":
		return "waits for " + in.WaitsFor
	case in.State == string(core.PreviewsRemoval):
		return fmt.Sprintf("destroys all that it has: %d", in.Resources)
	case in.State == string(core.PreviewsNothing):
		return "no resource changes"
	case in.Changes == (wire.Changes{}):
		return ""
	}
	words := changesText(wire.Run{Changes: in.Changes})
	if len(in.Against) > 0 {
		words += ", against the planned outputs of " + strings.Join(in.Against, ", ")
	}
	return words
}

func newPreviewList(s *settings) *cobra.Command {
	var pull int64
	var limit int
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Previews, newest first, and the pull requests that are open", Args: cobra.NoArgs,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			all, err := c.Previews(ctx, project, pull, limit)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				if len(all.Previews)+len(all.Pulls) == 0 {
					_, _ = fmt.Fprintln(out, "No previews. What a branch would do: terrace preview start --branch BRANCH --wait\nOf every pull request, by itself: terrace project forge")
					return
				}
				var rows [][]string
				for _, p := range all.Previews {
					number := ""
					if p.Pull != 0 {
						number = strconv.FormatInt(p.Pull, 10)
					}
					rows = append(rows, []string{p.ID, number, ansi.Strip(p.Branch), core.ShortCommit(p.Commit), p.Status, ago(p.Created)})
				}
				table(out, []string{"PREVIEW", "PULL", "BRANCH", "COMMIT", "STATUS", "STARTED"}, rows)
				for _, p := range all.Pulls {
					if !p.Allowed {
						_, _ = fmt.Fprintf(out, "\nPull request %d (%s, by %s) is from a fork. Look at %s, and let that commit in: terrace preview allow %[1]d --commit %[4]s\n",
							p.Number, oneLine(ansi.Strip(p.Title)), ansi.Strip(p.Author), core.ShortCommit(p.Commit))
					}
				}
			})
		})}
	c.Flags().Int64Var(&pull, "pull", 0, "only those of a pull request")
	c.Flags().IntVar(&limit, "limit", 20, "how many")
	return c
}

func newPreviewShow(s *settings) *cobra.Command {
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{Use: "show ID", Short: "One preview: what every instance would do; its plans: terrace run plan RUN", Args: cobra.ExactArgs(1),
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			pv, err := c.Preview(ctx, project, args[0])
			if err != nil {
				return err
			}
			if wait {
				return s.previewed(ctx, c, cmd, pv, true, timeout)
			}
			return s.show(cmd, pv, func(out io.Writer) { printPreview(out, pv, true) })
		})}
	waitFlags(c, &wait, &timeout)
	return c
}

func newPreviewCancel(s *settings) *cobra.Command {
	return &cobra.Command{Use: "cancel ID", Short: "Stop a preview", Args: cobra.ExactArgs(1),
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			pv, err := c.CancelPreview(ctx, project, args[0])
			if err != nil {
				return err
			}
			return s.show(cmd, pv, func(out io.Writer) { _, _ = fmt.Fprintf(out, "%s is cancelled.\n", pv.ID) })
		})}
}

func newPreviewAllow(s *settings) *cobra.Command {
	var commit string
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{Use: "allow PULL", Short: "Let the newest commit of a fork's pull request be previewed", Args: cobra.ExactArgs(1),
		Long: `A preview runs code: providers, data sources, modules. That of a fork is not run before somebody
has looked at it. What is let in is one commit; the next one is looked at again.`,
		Example: "  terrace preview allow 7 --commit 9f3c2a1b",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			number, err := strconv.ParseInt(strings.TrimPrefix(args[0], "#"), 10, 64)
			if err != nil || number < 1 {
				return usage(core.Errorf(core.Invalid, "%q is not the number of a pull request", args[0]))
			}
			pv, err := c.AllowPull(ctx, project, number, commit)
			if err != nil {
				return err
			}
			return s.previewed(ctx, c, cmd, pv, wait, timeout)
		})}
	c.Flags().StringVar(&commit, "commit", "", "the one that you looked at: refused when there is a newer one")
	waitFlags(c, &wait, &timeout)
	return c
}
