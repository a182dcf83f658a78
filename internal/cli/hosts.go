package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newHostsCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "hosts", Short: "Hosts that Ansible provisions: what is known of them, and their SSH host keys"}
	c.AddCommand(newHostsList(s), newHostsForget(s))
	return c
}

func newHostsList(s *settings) *cobra.Command {
	return &cobra.Command{Use: "list INSTANCE", Aliases: []string{"ls"}, Short: "An instance's hosts: where Ansible came to a good end, and their host keys", Args: cobra.ExactArgs(1),
		Long: `Lists the hosts of the release that is there. A host is up_to_date when Ansible came to a
good end there with what the release wants; behind when it did not, or when the host has
drifted; new when Ansible never ran there; gone when the inventory does not have it any
more. The next run of the instance goes to those that are behind or new, and to no others.`,
		Example: `  terrace hosts list web@production`,
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, _ []string) error {
			all, err := c.KnownHosts(ctx, project, environment, stack)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				if len(all) == 0 {
					_, _ = fmt.Fprintln(out, "It has no hosts.")
					return
				}
				var rows [][]string
				for _, h := range all {
					var keys []string
					for _, k := range h.Keys {
						keys = append(keys, k.Type+" "+k.Fingerprint)
					}
					if len(keys) == 0 {
						keys = []string{""}
					}
					rows = append(rows, []string{h.Name, h.Status, h.Run, ago(h.At), keys[0]})
					for _, k := range keys[1:] {
						rows = append(rows, []string{"", "", "", "", k})
					}
				}
				table(out, []string{"HOST", "STATUS", "LAST RUN", "", "KEYS"}, rows)
			})
		})}
}

func newHostsForget(s *settings) *cobra.Command {
	return &cobra.Command{Use: "forget INSTANCE HOST", Short: "Forget a host's keys, so that the one that it shows next is trusted", Args: cobra.ExactArgs(2),
		Long: `A host that shows another key than it did is not worked on: somebody may stand between.
Where you know why it has another key (it was installed anew under its name, say), this
forgets the old one. The key that it shows next is trusted, and kept. Compare it:
terrace hosts list INSTANCE.`,
		Example: "  terrace hosts forget web@production web-3\n  terrace hosts forget web@production bastion:203.0.113.7",
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, args []string) error {
			if err := c.ForgetHost(ctx, project, environment, stack, args[1]); err != nil {
				return err
			}
			return s.show(cmd, map[string]string{"forgotten": args[1]}, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "The keys of %s are forgotten; the one that it shows next is trusted.\n", args[1])
			})
		})}
}

// printHosts shows how Ansible went on each host.
func printHosts(out io.Writer, hosts []wire.HostResult, diff bool) {
	var rows [][]string
	for _, h := range hosts {
		rows = append(rows, []string{ansi.Strip(h.Host), h.Status, fmt.Sprint(h.OK), fmt.Sprint(h.Changed), fmt.Sprint(h.Failed), fmt.Sprint(h.Skipped), oneLine(ansi.Strip(h.Message))})
	}
	table(out, []string{"HOST", "STATUS", "OK", "CHANGED", "FAILED", "SKIPPED", ""}, rows)
	for _, h := range hosts {
		printTasks(out, h.Host, h.Changes, diff)
	}
}

// printTasks shows the tasks that changed something on a host, or would.
func printTasks(out io.Writer, host string, changes []wire.TaskChange, diff bool) {
	for _, ch := range changes {
		line := "  " + ansi.Strip(host) + ": " + ansi.Strip(ch.Task)
		if ch.Place != "" {
			line += "  (" + ansi.Strip(ch.Place) + ")"
		}
		if ch.Again {
			line += "  not idempotent: it changed something the second time, too"
		}
		_, _ = fmt.Fprintln(out, line)
		if !diff || ch.Diff == "" {
			continue
		}
		for text := range strings.Lines(ansi.Strip(ch.Diff)) {
			_, _ = fmt.Fprintf(out, "    %s\n", strings.TrimRight(text, "\r\n"))
		}
	}
}

// printForeseen shows what Ansible would do after the apply of a plan.
func printForeseen(out io.Writer, f wire.Foreseen, diff bool) {
	if f.Why != "" {
		_, _ = fmt.Fprintf(out, "What Ansible would do is not known, or not all: %s\n", ansi.Strip(f.Why))
	}
	if len(f.Hosts) > 0 {
		_, _ = fmt.Fprintln(out, "Ansible would change:")
		printHosts(out, f.Hosts, diff)
	}
	for _, name := range f.New {
		_, _ = fmt.Fprintf(out, "%s will be new\n", ansi.Strip(name))
	}
	if f.Same > 0 {
		_, _ = fmt.Fprintf(out, "%d hosts stay as they are\n", f.Same)
	}
}
