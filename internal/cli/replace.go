package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newReplaceCommand(s *settings) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "replace INSTANCE ADDRESS...", Short: "Have resources replaced by the next run, as a taint does", Args: cobra.MinimumNArgs(2),
		Long: `Asks the next run of an instance to replace resources, without touching its state. From
then on the instance is not up to date: the next rollout plans it with -replace, whatever
its release, and that plan is checked like every other. What was asked for ends with the
apply that did it; a run that fails before leaves it.

Something protected (stateful in terrace.hcl) is refused at once.`,
		Example: `  terrace replace web@production 'democloud_server.web[0]' 'democloud_server.web[1]' --reason "their disks are slow"
  terrace rollout start --wait`,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			stack, environment, err := core.ParseInstance(args[0])
			if err != nil {
				return usage(err)
			}
			all, err := c.Replace(ctx, project, environment, stack, wire.Replace{Addresses: args[1:], Reason: reason})
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				for _, r := range all {
					_, _ = fmt.Fprintf(out, "%s: the next run of %s replaces %s. Take it back: terrace replace end %[1]s\n", r.ID, r.Instance, r.Address)
				}
				_, _ = fmt.Fprintln(out, "Start one: terrace rollout start")
			})
		})}
	c.Flags().StringVar(&reason, "reason", "", "why, for the plan and the audit log")
	c.AddCommand(newReplaceList(s), newReplaceEnd(s))
	return c
}

func newReplaceList(s *settings) *cobra.Command {
	var all bool
	var environment string
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "What is to be replaced; with --all, everything that ever was", Args: cobra.NoArgs,
		Example: "  terrace replace list\n  terrace replace list --environment production --all",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			list, err := c.Replacements(ctx, project)
			if err != nil {
				return err
			}
			shown := []wire.Replacement{}
			for _, r := range list {
				if (all || r.Status == "open") && isIn(environment, r.Instance) {
					shown = append(shown, r)
				}
			}
			return s.show(cmd, shown, func(out io.Writer) {
				if len(shown) == 0 {
					_, _ = fmt.Fprintln(out, "Nothing is to be replaced.")
					return
				}
				var rows [][]string
				for _, r := range shown {
					rows = append(rows, []string{r.ID, r.Instance, r.Address, replacementText(r), r.By, ago(r.Created), r.Reason})
				}
				table(out, []string{"ID", "INSTANCE", "ADDRESS", "", "BY", "ASKED", "WHY"}, rows)
			})
		})}
	c.Flags().StringVar(&environment, "environment", "", "only what is in this environment")
	c.Flags().BoolVar(&all, "all", false, "also what is done or taken back")
	return c
}

func replacementText(r wire.Replacement) string {
	switch {
	case r.Status == "ended":
		return "taken back by " + r.EndedBy
	case r.Status == "done":
		return "done by " + r.Run
	case r.Run != "":
		return "begun by " + r.Run
	}
	return "to be done"
}

func newReplaceEnd(s *settings) *cobra.Command {
	return &cobra.Command{Use: "end ID...", Short: "Take a replacement back that was not done", Args: cobra.MinimumNArgs(1),
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			for _, id := range args {
				if err := c.EndReplacement(ctx, project, id); err != nil {
					return err
				}
			}
			return s.show(cmd, map[string][]string{"ended": args}, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s is taken back.\n", strings.Join(args, ", "))
			})
		})}
}
