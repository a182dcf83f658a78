package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newDriftCommand(s *settings) *cobra.Command {
	var wait bool
	var timeout time.Duration
	c := &cobra.Command{Use: "drift [ENVIRONMENT|INSTANCE]...", Short: "Look whether what is there still is what the states say", Args: cobra.ArbitraryArgs,
		Long: `Compares what is there with the states, without changing anything: in the environments or
at the instances that are named, or everywhere. Where a stack's ansible block has check = true,
Ansible's check mode looks at its hosts, too. Nobody looks at an environment that a
release is in, and a release that enters does not wait: it ends the looks.

With --wait it waits for the answers and shows them; the exit code is 1 when something
drifted, or could not be looked at.`,
		Example: `  terrace drift production --wait
  terrace drift web@production db@production
  terrace drift show web@production`,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			var ask wire.Look
			for _, arg := range args {
				if strings.Contains(arg, "@") {
					ask.Instances = append(ask.Instances, arg)
				} else {
					ask.Environments = append(ask.Environments, arg)
				}
			}
			looks, err := c.Look(ctx, project, ask)
			if err != nil {
				return err
			}
			if wait {
				return s.awaitLooks(ctx, c, project, cmd, looks, timeout)
			}
			return s.show(cmd, looks, func(out io.Writer) {
				for _, r := range looks.Runs {
					_, _ = fmt.Fprintf(out, "%s looks at %s.\n", r.ID, r.Instance)
				}
				printSkipped(out, looks)
				_, _ = fmt.Fprintln(out, "What they find: terrace drift list")
			})
		})}
	c.Flags().BoolVar(&wait, "wait", false, "wait for the answers and show them")
	c.Flags().DurationVar(&timeout, "timeout", time.Hour, "with --wait: give up waiting after this")
	c.AddCommand(newDriftList(s), newDriftShow(s), newDriftFix(s))
	return c
}

func printSkipped(out io.Writer, looks wire.Looks) {
	for _, n := range looks.Skipped {
		_, _ = fmt.Fprintf(out, "Not at %s: %s.\n", n.Instance, n.Why)
	}
}

// awaitLooks waits until looks are over and shows what each found.
func (s *settings) awaitLooks(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, looks wire.Looks, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	reports := []wire.DriftReport{}
	bad := len(looks.Skipped) > 0
	for _, started := range looks.Runs {
		for {
			run, err := c.Run(ctx, started.ID)
			if err != nil && ctx.Err() == nil {
				return err
			}
			if err == nil && core.RunStatus(run.Status).Terminal() {
				break
			}
			select {
			case <-ctx.Done():
				return exitError{exitWaiting, fmt.Errorf("%s still looks at %s; what it finds: terrace drift show %[2]s", started.ID, started.Instance)}
			case <-tick.C:
			}
		}
		stack, environment, err := core.ParseInstance(started.Instance)
		if err != nil {
			return err
		}
		report, err := c.ShowDrift(ctx, project, environment, stack)
		if err != nil {
			return err
		}
		bad = bad || report.State != "none"
		reports = append(reports, report)
	}
	if err := s.show(cmd, reports, func(out io.Writer) {
		for _, r := range reports {
			printDrift(out, r)
		}
		printSkipped(out, looks)
	}); err != nil || !bad {
		return err
	}
	return exitError{exitFailed, nil}
}

func newDriftList(s *settings) *cobra.Command {
	return &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "What is known of the drift of each instance", Args: cobra.NoArgs,
		Example: `  terrace drift list --json`,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			all, err := c.Drift(ctx, project)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				if len(all) == 0 {
					_, _ = fmt.Fprintln(out, "Nothing was applied yet, so nothing can have drifted.")
					return
				}
				var rows [][]string
				for _, d := range all {
					rows = append(rows, []string{d.Instance, driftWord(d), ago(d.Looked), d.Run, oneLine(d.Message)})
				}
				table(out, []string{"INSTANCE", "DRIFT", "LOOKED", "RUN", ""}, rows)
			})
		})}
}

// driftWord is what is known of an instance's drift, in a few words.
func driftWord(d wire.DriftStatus) string {
	if d.State != "drifted" {
		return d.State
	}
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{d.Changed, "changed"}, {d.Gone, "gone"}, {d.ChangedOutputs, "outputs"}, {d.ChangedHosts, "hosts"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return "drifted: " + strings.Join(parts, ", ")
}

func newDriftShow(s *settings) *cobra.Command {
	return &cobra.Command{Use: "show INSTANCE", Short: "How what is there differs from an instance's state, sensitive values masked", Args: cobra.ExactArgs(1),
		Example: `  terrace drift show web@production`,
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, _ []string) error {
			report, err := c.ShowDrift(ctx, project, environment, stack)
			if err != nil {
				return err
			}
			return s.show(cmd, report, func(out io.Writer) { printDrift(out, report) })
		})}
}

func printDrift(out io.Writer, r wire.DriftReport) {
	_, _ = fmt.Fprintf(out, "%s: %s", r.Instance, driftWord(r.DriftStatus))
	if a := ago(r.Looked); a != "" {
		_, _ = fmt.Fprintf(out, " (looked %s, %s)", a, r.Run)
	}
	_, _ = fmt.Fprintln(out)
	switch {
	case r.State == "unknown" && r.Message == "":
		_, _ = fmt.Fprintf(out, "Nobody looked since its state changed last: terrace drift %s --wait\n", r.Instance)
	case r.Message != "":
		_, _ = fmt.Fprintln(out, r.Message)
	}
	printDifferences(out, r.Drift, true)
}

// printDifferences shows what a look found: what the state says, and what is there.
func printDifferences(out io.Writer, d wire.Drift, diff bool) {
	for _, res := range d.Resources {
		sign := "~"
		if res.What == "gone" {
			sign = "-"
		}
		_, _ = fmt.Fprintf(out, "%s %s  (%s)\n", sign, res.Address, res.What)
		for _, a := range res.Attrs {
			_, _ = fmt.Fprintf(out, "    %s\n", attrText(a))
		}
	}
	for _, o := range d.Outputs {
		_, _ = fmt.Fprintf(out, "output %s\n", attrText(o))
	}
	for _, h := range d.Hosts {
		if h.Status != "changed" {
			_, _ = fmt.Fprintf(out, "could not look at %s: %s\n", ansi.Strip(h.Host), ansi.Strip(h.Message))
			continue
		}
		_, _ = fmt.Fprintf(out, "~ host %s  (Ansible would change it)\n", ansi.Strip(h.Host))
		printTasks(out, h.Host, h.Changes, diff)
	}
}
