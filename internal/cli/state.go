package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newStateCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "state", Short: "States: list, show, versions, diff, pull, push, restore, import, env, unlock"}
	c.AddCommand(newStateList(s), newStateShow(s), newStateVersions(s), newStateDiff(s), newStatePull(s), newStatePush(s), newStateRestore(s),
		newStateImport(s), newStateEnv(s), newStateUnlock(s), newStateRecovered(s), newStateForget(s))
	return c
}

// instanceFunc is a command about one instance.
type instanceFunc func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, args []string) error

func (s *settings) onInstance(f instanceFunc) func(*cobra.Command, []string) error {
	return s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
		stack, environment, err := core.ParseInstance(args[0])
		if err != nil {
			return usage(err)
		}
		return f(ctx, c, project, environment, stack, cmd, args)
	})
}

func newStateList(s *settings) *cobra.Command {
	return &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Every instance that has a state", Args: cobra.NoArgs,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			all, err := c.States(ctx, project)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				if len(all) == 0 {
					_, _ = fmt.Fprintln(out, "No states yet.")
					return
				}
				table(out, []string{"INSTANCE", "VERSION", "SERIAL", "RESOURCES", "SIZE", "BY", "WRITTEN"}, versionRows(all, true))
			})
		})}
}

func versionRows(all []wire.StateVersion, instance bool) [][]string {
	var rows [][]string
	for _, v := range all {
		first := strconv.FormatInt(v.ID, 10)
		row := []string{first, fmt.Sprint(v.Serial), fmt.Sprint(v.Resources), fmt.Sprint(v.Size), v.By, ago(v.Created)}
		if instance {
			row = append([]string{v.Instance}, row...)
		} else if v.Current {
			row[0] += " (current)"
		}
		rows = append(rows, row)
	}
	return rows
}

func newStateShow(s *settings) *cobra.Command {
	return &cobra.Command{Use: "show INSTANCE", Short: "An instance's resources, outputs, lock and recovery slot", Args: cobra.ExactArgs(1),
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, _ []string) error {
			st, err := c.State(ctx, project, environment, stack)
			if err != nil {
				return err
			}
			return s.show(cmd, st, func(out io.Writer) { printState(out, st) })
		})}
}

func printState(out io.Writer, st wire.State) {
	if st.Current == nil {
		_, _ = fmt.Fprintf(out, "%s has no state yet.\n", st.Instance)
	} else {
		v := st.Current
		_, _ = fmt.Fprintf(out, "Instance  %s\nVersion   %d (serial %d, lineage %s)\nWritten   %s by %s\nSize      %d bytes, MD5 %s\n", st.Instance, v.ID, v.Serial, v.Lineage, ago(v.Created), v.By, v.Size, v.MD5)
	}
	if l := st.Lock; l != nil {
		_, _ = fmt.Fprintf(out, "Locked    by %s, %s (ID %s). Take it away: terrace state unlock %s\n", l.By, ago(l.Created), l.ID, st.Instance)
	}
	if len(st.Resources) > 0 {
		_, _ = fmt.Fprintln(out, "\nResources")
		for _, r := range st.Resources {
			tainted := ""
			if r.Tainted {
				tainted = "  (tainted)"
			}
			_, _ = fmt.Fprintf(out, "  %s%s\n", r.Address, tainted)
		}
	}
	if len(st.Outputs) > 0 {
		_, _ = fmt.Fprintln(out, "\nOutputs")
		for _, o := range st.Outputs {
			value := string(o.Value)
			if o.Sensitive {
				value = "(sensitive)"
			}
			_, _ = fmt.Fprintf(out, "  %s = %s\n", o.Name, value)
		}
	}
	if len(st.Recovered) > 0 {
		_, _ = fmt.Fprintln(out, "\nRecovery slot (writes that were refused and kept)")
		var rows [][]string
		for _, r := range st.Recovered {
			rows = append(rows, []string{fmt.Sprint(r.ID), fmt.Sprint(r.Serial), r.Run, ago(r.Created), r.Reason})
		}
		table(out, []string{"ID", "SERIAL", "RUN", "KEPT", "WHY"}, rows)
	}
}

func newStateVersions(s *settings) *cobra.Command {
	return &cobra.Command{Use: "versions INSTANCE", Short: "Every stored version, newest first", Args: cobra.ExactArgs(1),
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, args []string) error {
			all, err := c.StateVersions(ctx, project, environment, stack)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				if len(all) == 0 {
					_, _ = fmt.Fprintf(out, "%s has no state yet.\n", args[0])
					return
				}
				table(out, []string{"VERSION", "SERIAL", "RESOURCES", "SIZE", "BY", "WRITTEN"}, versionRows(all, false))
			})
		})}
}

func newStatePull(s *settings) *cobra.Command {
	var version int64
	c := &cobra.Command{Use: "pull INSTANCE", Short: "Write a state, with its secrets, to standard output", Args: cobra.ExactArgs(1),
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, _ []string) error {
			data, err := c.PullState(ctx, project, environment, stack, version)
			if err != nil {
				return err
			}
			_, err = cmd.OutOrStdout().Write(data)
			return err
		})}
	c.Flags().Int64Var(&version, "version", 0, "an older version (terrace state versions)")
	return c
}

func newStatePush(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "push INSTANCE [FILE]", Short: "Store a state under the rules of any write: same lineage, greater serial", Args: cobra.RangeArgs(1, 2),
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, args []string) error {
			in := cmd.InOrStdin()
			if len(args) == 2 && args[1] != "-" {
				f, err := os.Open(args[1])
				if err != nil {
					return err
				}
				defer func() { _ = f.Close() }()
				in = f
			}
			data, err := io.ReadAll(in)
			if err != nil {
				return err
			}
			v, err := c.PushState(ctx, project, environment, stack, data)
			if err != nil {
				return err
			}
			return s.show(cmd, v, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s now has version %d (serial %d).\n", args[0], v.ID, v.Serial)
			})
		})}
	return c
}

func newStateUnlock(s *settings) *cobra.Command {
	var yes bool
	var reason string
	c := &cobra.Command{Use: "unlock INSTANCE", Short: "Take a state's lock away from who holds it", Args: cobra.ExactArgs(1),
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, args []string) error {
			st, err := c.State(ctx, project, environment, stack)
			if err != nil {
				return err
			}
			if st.Lock == nil {
				return core.Errorf(core.Conflict, "%s is not locked", args[0])
			}
			if err := confirm(cmd, yes, fmt.Sprintf("Take the lock of %s away from %s, who has had it since %s?", args[0], st.Lock.By, ago(st.Lock.Created))); err != nil {
				return err
			}
			if err := c.UnlockState(ctx, project, environment, stack, reason); err != nil {
				return err
			}
			return s.show(cmd, map[string]string{"unlocked": args[0]}, func(out io.Writer) { _, _ = fmt.Fprintf(out, "%s is unlocked.\n", args[0]) })
		})}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return c
}
