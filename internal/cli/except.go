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

func newExceptCommand(s *settings) *cobra.Command {
	var lifetime time.Duration
	var reason string
	c := &cobra.Command{Use: "except INSTANCE ADDRESS", Short: "Let one apply destroy, replace or forget a protected address", Args: cobra.ExactArgs(2),
		Long: `Makes an exception from the protection of one address (stateful in terrace.hcl). The next
plan of the instance that would destroy, replace or forget exactly this resource may be
applied, once, while the exception has not expired. Where the guardrails want a second
person, another operator has to confirm it first. The exception and its use are in the
audit log.

A run that was denied is over; start its release again: terrace rollout start --commit N.`,
		Example: `  terrace except web@production democloud_database.main --for 2h --reason "moved to the new cluster, backup 2026-11-20 tested"`,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			stack, environment, err := core.ParseInstance(args[0])
			if err != nil {
				return usage(err)
			}
			if reason == "" {
				return usage(core.Errorf(core.Invalid, "say why, for those who read the audit log later: --reason"))
			}
			e, err := c.Except(ctx, project, environment, stack, wire.Except{Address: args[1], For: lifetime.String(), Reason: reason})
			if err != nil {
				return err
			}
			return s.show(cmd, e, func(out io.Writer) {
				if e.Status == "pending" {
					_, _ = fmt.Fprintf(out, "%s lets nothing yet: the guardrails want a second person. Another operator confirms it, until %s: terrace except approve %[1]s --project %[3]s\n",
						e.ID, e.Expires.Local().Format("15:04 on 2 January"), project)
					return
				}
				_, _ = fmt.Fprintf(out, "%s: one apply of %s may destroy, replace or forget %s, until %s.\nStart the release again: terrace rollout start --commit N. Take it back: terrace except end %[1]s\n",
					e.ID, e.Instance, e.Address, e.Expires.Local().Format("15:04 on 2 January"))
			})
		})}
	c.Flags().DurationVar(&lifetime, "for", 2*time.Hour, "how long it may wait to be used, at most 168h")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	c.AddCommand(newExceptList(s), newExceptApprove(s), newExceptEnd(s))
	return c
}

func newExceptList(s *settings) *cobra.Command {
	var all bool
	var environment string
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Exceptions that can be used; with --all, every one there was", Args: cobra.NoArgs,
		Example: "  terrace except list\n  terrace except list --environment production --all",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			exceptions, err := c.Exceptions(ctx, project)
			if err != nil {
				return err
			}
			shown := []wire.Exception{}
			for _, e := range exceptions {
				if (all || e.Status == "open" || e.Status == "pending") && isIn(environment, e.Instance) {
					shown = append(shown, e)
				}
			}
			return s.show(cmd, shown, func(out io.Writer) {
				if len(shown) == 0 {
					_, _ = fmt.Fprintln(out, "No exceptions: what is protected is protected.")
					return
				}
				var rows [][]string
				for _, e := range shown {
					status := e.Status
					switch {
					case e.UsedBy != "":
						status += " by " + e.UsedBy
					case e.Status == "pending":
						status = "waits for a second person: terrace except approve " + e.ID
					case e.Status == "open":
						status = "until " + e.Expires.Local().Format("15:04 on 2 January")
					}
					rows = append(rows, []string{e.ID, e.Instance, e.Address, status, e.By, e.Reason})
				}
				table(out, []string{"ID", "INSTANCE", "ADDRESS", "", "BY", "WHY"}, rows)
			})
		})}
	c.Flags().StringVar(&environment, "environment", "", "only those of this environment")
	c.Flags().BoolVar(&all, "all", false, "also those that are used, expired or taken back")
	return c
}

// isIn reports whether an instance is in an environment; "" is any.
func isIn(environment, instance string) bool {
	return environment == "" || strings.HasSuffix(instance, "@"+environment)
}

func newExceptApprove(s *settings) *cobra.Command {
	return &cobra.Command{Use: "approve ID", Short: "Confirm an exception that another operator made", Args: cobra.ExactArgs(1), Example: "  terrace except approve x-06erf0k2m8a1b2c3",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			e, err := c.ConfirmException(ctx, project, args[0])
			if err != nil {
				return err
			}
			return s.show(cmd, e, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s: one apply of %s may destroy, replace or forget %s, until %s.\nStart the release again: terrace rollout start --commit N\n",
					e.ID, e.Instance, e.Address, e.Expires.Local().Format("15:04 on 2 January"))
			})
		})}
}

func newExceptEnd(s *settings) *cobra.Command {
	return &cobra.Command{Use: "end ID", Short: "Take an exception back", Args: cobra.ExactArgs(1),
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			if err := c.EndException(ctx, project, args[0]); err != nil {
				return err
			}
			return s.show(cmd, map[string]string{"ended": args[0]}, func(out io.Writer) { _, _ = fmt.Fprintf(out, "%s lets nothing any more.\n", args[0]) })
		})}
}
