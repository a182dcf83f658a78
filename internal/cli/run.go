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

func newRunCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "run", Short: "Work on instances: list, show, logs, plan, cancel, abandon, recover"}
	act := func(use, short, said string, f func(*client.Client, context.Context, string) (wire.Run, error)) *cobra.Command {
		return &cobra.Command{Use: use + " RUN", Short: short, Args: cobra.ExactArgs(1),
			RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
				r, err := f(c, ctx, args[0])
				if err != nil {
					return err
				}
				return s.show(cmd, r, func(out io.Writer) { _, _ = fmt.Fprintf(out, said+"\n", r.ID, r.Instance) })
			})}
	}
	c.AddCommand(newRunList(s), newRunShow(s), newRunLogs(s), newRunPlan(s),
		act("cancel", "Stop a run; an apply is interrupted and its state kept", "%s of %s is being cancelled.", (*client.Client).CancelRun),
		newRunAbandon(s), newRunRecover(s))
	return c
}

func newRunAbandon(s *settings) *cobra.Command {
	c := newDecision(s, "abandon", "Give up a runner that does not answer", "%s of %s is over without its runner.\n", (*client.Client).AbandonRun)
	c.Long = `For a runner that hangs, or whose machine is gone: it is killed where that is possible,
with all that it started, and its run ends without it. Before anything was changed, a run
starts again, or is cancelled; in an apply its outcome is unknown, and terrace run recover
goes on from there. What the runner still sends, should it wake up, is refused; a state is
kept in the recovery slot. A runner that answers is not abandoned: cancel it first.`
	return c
}

func newRunRecover(s *settings) *cobra.Command {
	var unlock string
	c := &cobra.Command{Use: "recover RUN", Short: "Find out about an unknown outcome, so that the instance can be worked on again", Args: cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			r, err := c.RecoverRun(ctx, args[0], unlock)
			if err != nil {
				return err
			}
			return s.show(cmd, r, func(out io.Writer) { _, _ = fmt.Fprintf(out, "%s recovers %s.\n", r.ID, r.Instance) })
		})}
	c.Flags().StringVar(&unlock, "unlock", "", "take away the lock with this ID first, which a killed runner left in the stack's own backend")
	return c
}

func newRunList(s *settings) *cobra.Command {
	var f client.RunFilter
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Runs, newest first", Args: cobra.NoArgs,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			all, err := c.Runs(ctx, project, f)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				if len(all) == 0 {
					_, _ = fmt.Fprintln(out, "No runs. An instance that is up to date starts none.")
					return
				}
				printRuns(out, all)
			})
		})}
	c.Flags().StringVarP(&f.Environment, "environment", "e", "", "only of this environment")
	c.Flags().StringVar(&f.Stack, "stack", "", "only of this stack")
	c.Flags().StringVar(&f.Rollout, "rollout", "", "only of this rollout")
	c.Flags().IntVar(&f.Limit, "limit", 100, "how many at most")
	return c
}

func printRuns(out io.Writer, all []wire.Run) {
	var rows [][]string
	for _, r := range all {
		message := ""
		if r.Error != nil {
			message = oneLine(r.Error.Message)
		}
		rows = append(rows, []string{r.ID, r.Instance, r.Kind, r.Status, releaseText(&r.Release), changesText(r), took(r.Started, r.Finished), message})
	}
	table(out, []string{"RUN", "INSTANCE", "KIND", "STATUS", "RELEASE", "CHANGES", "TOOK", "ERROR"}, rows)
}

func newRunShow(s *settings) *cobra.Command {
	var diff bool
	c := &cobra.Command{Use: "show RUN", Short: "One run: its end, its checks, its hosts", Args: cobra.ExactArgs(1),
		Example: "  terrace run show r-06h254xf6tvja8vs --diff",
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			r, err := c.Run(ctx, args[0])
			if err != nil {
				return err
			}
			return s.show(cmd, r, func(out io.Writer) { printRun(out, r, diff) })
		})}
	c.Flags().BoolVar(&diff, "diff", false, "also how Ansible changed files on hosts, or would")
	return c
}

// foretoldText says how a plan compares with what a preview said.
func foretoldText(f wire.Foretold) string {
	if f.Same {
		return "said the same"
	}
	return "said something else: " + ansi.Strip(f.Difference)
}

func printRun(out io.Writer, r wire.Run, diff bool) {
	_, _ = fmt.Fprintf(out, "Run       %s (%s, attempt %d)\nInstance  %s\nRelease   %s %s\nStatus    %s\n", r.ID, r.Kind, r.Attempt, r.Instance, releaseText(&r.Release), r.Release.Subject, r.Status)
	if !r.Started.IsZero() {
		_, _ = fmt.Fprintf(out, "Took      %s, begun %s\n", took(r.Started, r.Finished), ago(r.Started))
	}
	if text := changesText(r); text != "" {
		_, _ = fmt.Fprintf(out, "Changes   %s\n", text)
	}
	if r.Rollout != "" {
		_, _ = fmt.Fprintf(out, "Rollout   %s\n", r.Rollout)
	}
	if r.Error != nil {
		_, _ = fmt.Fprintf(out, "\n%s: %s\n", strings.ToUpper(r.Error.Code[:1])+r.Error.Code[1:], ansi.Strip(r.Error.Message))
	}
	if r.Approval != nil {
		_, _ = fmt.Fprintln(out)
		printApproval(out, *r.Approval)
	} else if len(r.Votes) > 0 {
		_, _ = fmt.Fprintln(out)
		printVotes(out, r.Votes)
	}
	if r.Drift != nil {
		_, _ = fmt.Fprintln(out)
		printDifferences(out, *r.Drift, diff)
	}
	if f := r.Foretold; f != nil {
		_, _ = fmt.Fprintf(out, "\nPreview %s: %s\n", f.Preview, foretoldText(*f))
	}
	for _, ch := range r.Checks {
		_, _ = fmt.Fprintf(out, "\nCheck %s: %s. %s\n", ch.Name, ch.Verdict, ch.Message)
	}
	for _, h := range r.Before {
		_, _ = fmt.Fprintf(out, "\nBefore the change (%s): %s\n  $ %s\n", h.From, ansi.Strip(h.Message), ansi.Strip(strings.Join(h.Command, " ")))
		for _, line := range h.Last {
			_, _ = fmt.Fprintf(out, "  | %s\n", ansi.Strip(line))
		}
	}
	if r.Ansible != nil {
		_, _ = fmt.Fprintln(out)
		printForeseen(out, *r.Ansible, diff)
	}
	if len(r.Hosts) > 0 {
		_, _ = fmt.Fprintln(out)
		printHosts(out, r.Hosts, diff)
	} else if len(r.Recap) > 0 {
		var rows [][]string
		for _, h := range r.Recap {
			rows = append(rows, []string{h.Host, fmt.Sprint(h.OK), fmt.Sprint(h.Changed), fmt.Sprint(h.Failed), fmt.Sprint(h.Unreachable), fmt.Sprint(h.Skipped)})
		}
		_, _ = fmt.Fprintln(out)
		table(out, []string{"HOST", "OK", "CHANGED", "FAILED", "UNREACHABLE", "SKIPPED"}, rows)
	}
	for _, w := range r.Warnings {
		_, _ = fmt.Fprintf(out, "\nWarning: %s\n", ansi.Strip(w))
	}
	for _, v := range r.Verified {
		_, _ = fmt.Fprintf(out, "\nVerified %s: %s (%d tries) %s\n", v.Name, v.Verdict, v.Tries, v.Message)
	}
	_, _ = fmt.Fprintf(out, "\nterrace run logs %[1]s\nterrace run plan %[1]s\n", r.ID)
}

func newRunLogs(s *settings) *cobra.Command {
	var follow bool
	c := &cobra.Command{Use: "logs RUN", Aliases: []string{"log"}, Short: "A run's log", Args: cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			print := func(chunk wire.LogChunk) error {
				if s.json {
					return printJSON(out, chunk)
				}
				text := ansi.Strip(chunk.Text)
				if isTerminal(out) {
					text = ansi.Terminal(chunk.Text)
				}
				_, err := io.WriteString(out, text)
				return err
			}
			if follow {
				return c.FollowLogs(ctx, args[0], 0, print)
			}
			for after := int64(0); ; {
				chunks, err := c.Logs(ctx, args[0], after)
				if err != nil || len(chunks) == 0 {
					return err
				}
				for _, chunk := range chunks {
					after = chunk.Seq
					if err := print(chunk); err != nil {
						return err
					}
				}
			}
		})}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until the run is over")
	return c
}

func newRunPlan(s *settings) *cobra.Command {
	return &cobra.Command{Use: "plan RUN", Short: "What a run proposes, sensitive values masked", Args: cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			p, err := c.Plan(ctx, args[0])
			if err != nil {
				return err
			}
			return s.show(cmd, p, func(out io.Writer) { printPlan(out, p) })
		})}
}

// signs are how terraform writes actions.
var signs = map[string]string{"create": "+", "update": "~", "replace": "-/+", "delete": "-", "read": "<=", "forget": ".", "move": ">", "import": "<-"}

func signOf(r wire.ResourceChange) string {
	if r.Action == "replace" && r.Order == "create_first" {
		return "+/-"
	}
	return signs[r.Action]
}

func printPlan(out io.Writer, p wire.Plan) {
	for _, r := range p.Resources {
		if r.Action == "no-op" {
			continue
		}
		_, _ = fmt.Fprintf(out, "%s %s", signOf(r), r.Address)
		if r.Reason != "" {
			_, _ = fmt.Fprintf(out, "  (%s)", strings.ReplaceAll(r.Reason, "_", " "))
		}
		if r.RequestedBy != "" {
			_, _ = fmt.Fprintf(out, "  asked for by %s", ansi.Strip(r.RequestedBy))
		}
		_, _ = fmt.Fprintln(out)
		for _, a := range r.Attrs {
			_, _ = fmt.Fprintf(out, "    %s\n", attrText(a))
		}
	}
	for _, o := range p.Outputs {
		_, _ = fmt.Fprintf(out, "output %s\n", attrText(o))
	}
	c := p.Changes
	_, _ = fmt.Fprintf(out, "%d to create, %d to update, %d to replace, %d to delete\n", c.Create, c.Update, c.Replace, c.Delete)
}

func attrText(a wire.AttrChange) string {
	before, after := ansi.Strip(a.Before), ansi.Strip(a.After)
	if a.Unknown {
		after = "(known after apply)"
	}
	text := a.Path + ": "
	switch {
	case before != "" && after != "":
		text += before + " → " + after
	case before != "":
		text += before + " → null"
	default:
		text += after
	}
	if a.Forces {
		text += "  # forces replacement"
	}
	return text
}

func newDecision(s *settings, use, short, said string, f func(*client.Client, context.Context, string, string) (wire.Run, error)) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: use + " RUN", Short: short, Args: cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			r, err := f(c, ctx, args[0], reason)
			if err != nil {
				return err
			}
			return s.show(cmd, r, func(out io.Writer) { _, _ = fmt.Fprintf(out, said, r.ID, r.Instance) })
		})}
	c.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return c
}

func newHoldCommand(s *settings) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "hold ENVIRONMENT", Short: "Let nothing enter an environment until it is lifted", Args: cobra.ExactArgs(1),
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			if err := c.Hold(ctx, project, args[0], reason); err != nil {
				return err
			}
			return s.show(cmd, map[string]string{"held": args[0]}, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s is held. Lift it: terrace unhold %[1]s\n", args[0])
			})
		})}
	c.Flags().StringVar(&reason, "reason", "", "why, for everybody who waits")
	return c
}

func newUnholdCommand(s *settings) *cobra.Command {
	return &cobra.Command{Use: "unhold ENVIRONMENT", Short: "Lift a hold", Args: cobra.ExactArgs(1),
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			if err := c.Unhold(ctx, project, args[0]); err != nil {
				return err
			}
			return s.show(cmd, map[string]string{"unheld": args[0]}, func(out io.Writer) { _, _ = fmt.Fprintf(out, "%s is open again.\n", args[0]) })
		})}
}
