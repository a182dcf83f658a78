package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newStateForget(s *settings) *cobra.Command {
	var yes bool
	var reason string
	c := &cobra.Command{Use: "forget INSTANCE", Short: "Forget what is known of a state in the stack's own backend", Args: cobra.ExactArgs(1),
		Long: `Forgets which state an instance had in the stack's own backend (state = "stack"),
so that the next run takes what it finds there. Terrace refuses to apply from a backend
that has another state than after the last run, or none; this says that it is right.`,
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, args []string) error {
			if err := confirm(cmd, yes, fmt.Sprintf("Take whatever state the backend of %s has from now on? Resources that are not in it would be created again.", args[0])); err != nil {
				return err
			}
			if err := c.ForgetState(ctx, project, environment, stack, reason); err != nil {
				return err
			}
			return s.show(cmd, map[string]string{"forgotten": args[0]}, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "The next run of %s takes the state that its backend has: terrace rollout start\n", args[0])
			})
		})}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return c
}

func newStateRecovered(s *settings) *cobra.Command {
	var use, discard, yes bool
	var reason string
	c := &cobra.Command{Use: "recovered INSTANCE [ENTRY]", Short: "The recovery slot; with an entry, its state, with its secrets", Args: cobra.RangeArgs(1, 2),
		Long: `Lists the writes that were refused and kept, or found after a restore. With an entry,
its state is written to standard output, with its secrets; with --use it becomes the
current state, when it continues that (same lineage, greater serial); with --discard it is
said that nobody needs it.`,
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				if use || discard {
					return usage(fmt.Errorf("name the entry; see: terrace state recovered %s", args[0]))
				}
				all, err := c.RecoverySlot(ctx, project, environment, stack)
				if err != nil {
					return err
				}
				return s.show(cmd, all, func(out io.Writer) {
					if len(all) == 0 {
						_, _ = fmt.Fprintf(out, "The recovery slot of %s is empty.\n", args[0])
						return
					}
					printRecovered(out, all)
				})
			}
			id, err := strconv.ParseInt(args[1], 10, 64)
			if err != nil {
				return usage(core.Errorf(core.Invalid, "%q is not the number of an entry", args[1]))
			}
			switch {
			case use:
				if err := confirm(cmd, yes, fmt.Sprintf("Make entry %d the current state of %s?", id, args[0])); err != nil {
					return err
				}
				v, err := c.UseRecovered(ctx, project, environment, stack, id)
				if err != nil {
					return err
				}
				return s.show(cmd, v, func(out io.Writer) {
					_, _ = fmt.Fprintf(out, "%s now has version %d (serial %d).\n", args[0], v.ID, v.Serial)
				})
			case discard:
				if err := confirm(cmd, yes, fmt.Sprintf("Discard entry %d of the recovery slot of %s?", id, args[0])); err != nil {
					return err
				}
				if err := c.DiscardRecovered(ctx, project, environment, stack, id, reason); err != nil {
					return err
				}
				return s.show(cmd, map[string]int64{"discarded": id}, func(out io.Writer) { _, _ = fmt.Fprintf(out, "Entry %d is not offered any more.\n", id) })
			}
			data, err := c.PullRecovered(ctx, project, environment, stack, id)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		})}
	f := c.Flags()
	f.BoolVar(&use, "use", false, "make the entry the current state")
	f.BoolVar(&discard, "discard", false, "say that nobody needs the entry")
	f.BoolVarP(&yes, "yes", "y", false, "do not ask")
	f.StringVar(&reason, "reason", "", "why, for the audit log")
	c.MarkFlagsMutuallyExclusive("use", "discard")
	return c
}

func printRecovered(out io.Writer, all []wire.Recovered) {
	var rows [][]string
	for _, r := range all {
		used := ""
		if r.Used {
			used = "settled"
		}
		rows = append(rows, []string{fmt.Sprint(r.ID), fmt.Sprint(r.Serial), r.Run, ago(r.Created), used, r.Reason})
	}
	table(out, []string{"ID", "SERIAL", "RUN", "KEPT", "", "WHY"}, rows)
}

// ownBackends says under a board whose promises hold for which states.
func ownBackends(out io.Writer, instances []wire.InstanceStatus) {
	by := map[string][]string{}
	var kinds []string
	for _, i := range instances {
		if i.Backend != "stack" {
			continue
		}
		if by[i.BackendType] == nil {
			kinds = append(kinds, i.BackendType)
		}
		by[i.BackendType] = append(by[i.BackendType], i.Instance)
	}
	slices.Sort(kinds)
	for _, kind := range kinds {
		const shown = 3
		names := by[kind]
		text := strings.Join(names[:min(shown, len(names))], ", ")
		if more := len(names) - shown; more > 0 {
			text += fmt.Sprintf(" and %d more", more)
		}
		_, _ = fmt.Fprintf(out, "\nState of %s is kept by the stack's own backend (%s): no versions, no fences.\n", text, kind)
	}
}
