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

func newApproveCommand(s *settings) *cobra.Command {
	d := decision{verb: "approve", said: "Approved %s of %s. When nothing is missing any more it is planned again, and applied if the plan is still the same.\n", send: (*client.Client).Approve}
	var all bool
	c := &cobra.Command{Use: "approve [RUN|STAGE|ROLLOUT|ENVIRONMENT]...", Short: "Say yes to plans that wait for approvals, or list them",
		Long: `Says yes to the plan of a run that waits for approvals, or to all that wait in a stage, a
rollout or an environment. What the plans would do is shown first, and on a terminal a
question is asked. Without arguments it lists what waits for you. Where skipping a gate takes
a second person, naming the stage or the rollout agrees to it.

An approval is for one release, environment and plan, made from one state under the
guardrails of that moment, and for what Ansible would run after it, where that is shown. When any of these changes, it is void, and the run waits again.`,
		Example: `  terrace approve
  terrace approve r-06f2kq0v8d9mzx3a --reason "seen the plan with Bob"
  terrace approve production --yes`,
		Args: cobra.ArbitraryArgs,
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return s.listApprovals(ctx, c, cmd, all)
			}
			return s.decide(ctx, c, cmd, args, d)
		})}
	d.flags(c)
	c.Flags().BoolVar(&all, "all", false, "list also what waits for others")
	return c
}

func newRejectCommand(s *settings) *cobra.Command {
	d := decision{verb: "reject", said: "Rejected %s of %s.\n", send: (*client.Client).Reject}
	c := &cobra.Command{Use: "reject RUN|STAGE|ROLLOUT|ENVIRONMENT...", Short: "Say no to plans that wait for approvals, which ends their runs",
		Long: `Says no to the plan of a run that waits for approvals, or to all that wait in a stage, a
rollout or an environment. One rejection ends a run, whatever others said; nothing is
changed, and its stage ends as cancelled.`,
		Example: `  terrace reject r-06f2kq0v8d9mzx3a --reason "not before the holidays"`,
		Args:    cobra.MinimumNArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			return s.decide(ctx, c, cmd, args, d)
		})}
	d.flags(c)
	return c
}

// decision is what a person says to plans.
type decision struct {
	verb, said string
	send       func(*client.Client, context.Context, string, wire.Ballot) (wire.Run, error)
	*voting
}

// voting are the flags.
type voting struct {
	reason string
	yes    bool
}

func (d *decision) flags(c *cobra.Command) {
	d.voting = &voting{}
	c.Flags().StringVar(&d.reason, "reason", "", "why, for the audit log and those who wait")
	c.Flags().BoolVarP(&d.yes, "yes", "y", false, "do not ask")
}

func (s *settings) listApprovals(ctx context.Context, c *client.Client, cmd *cobra.Command, all bool) error {
	waiting, err := c.Approvals(ctx, s.project)
	if err != nil {
		return err
	}
	shown := []wire.Approval{}
	for _, a := range waiting {
		if all || a.May {
			shown = append(shown, a)
		}
	}
	skips, err := s.skipsToAgreeTo(ctx, c, all)
	if err != nil {
		return err
	}
	return s.show(cmd, shown, func(out io.Writer) {
		for _, p := range skips {
			printSkip(out, p)
		}
		for i, a := range shown {
			if i > 0 {
				_, _ = fmt.Fprintln(out)
			}
			printApproval(out, a)
		}
		if others := len(waiting) - len(shown); others > 0 {
			_, _ = fmt.Fprintf(out, "Nothing else waits for you; %d for others: terrace approve --all\n", others)
		} else if len(shown)+len(skips) == 0 {
			_, _ = fmt.Fprintln(out, "Nothing waits for an approval.")
		}
	})
}

// printApproval shows who asks for what, what is missing, and what was said so far.
func printApproval(out io.Writer, a wire.Approval) {
	asked := a.AskedBy
	if asked == "" {
		asked = "nobody"
	}
	_, _ = fmt.Fprintf(out, "%s %s, release %s %s\n", a.Kind, a.Instance, releaseText(&a.Release), ansi.Strip(a.Release.Subject))
	_, _ = fmt.Fprintf(out, "  Run      %s, waits since %s\n  Asked    %s\n  Author   %s\n  Would    %s\n", a.Run, ago(a.Since), asked, ansi.Strip(a.Release.Author), countsText(a.Changes))
	for _, r := range a.Requirements {
		_, _ = fmt.Fprintf(out, "  Needs    %s\n", requirementText(r))
	}
	if a.Again != "" {
		_, _ = fmt.Fprintf(out, "  Again    because %s\n", ansi.Strip(a.Again))
	}
	b := a.Binding
	_, _ = fmt.Fprintf(out, "  Void     when another release, plan (%.12s), state (%s) or other guardrails take the place of these\n", b.Plan, stateText(b))
	if a.MayNot != "" {
		_, _ = fmt.Fprintf(out, "  You      may not approve it: %s\n", a.MayNot)
	} else {
		_, _ = fmt.Fprintf(out, "  You      terrace approve %[1]s, or: terrace reject %[1]s\n", a.Run)
	}
	printVotes(out, a.Votes)
}

func stateText(b wire.Binding) string {
	if b.Lineage == "" && b.Serial == 0 {
		return "none yet"
	}
	return fmt.Sprintf("serial %d", b.Serial)
}

func countsText(c wire.Changes) string { return core.Changes(c).String() }

func requirementText(r wire.Requirement) string {
	from := "any operator"
	if len(r.From) > 0 {
		from = strings.Join(r.From, ", ")
	}
	text := fmt.Sprintf("%d of %s", r.Count, from)
	if r.Others {
		text += ", neither the commit's author nor who asked for the rollout"
	}
	if r.Why != "" {
		text += ", since " + r.Why
	}
	text += " (" + r.Source + ")"
	if r.Missing == 0 {
		return text + ": met"
	}
	return fmt.Sprintf("%s: %d missing", text, r.Missing)
}

func printVotes(out io.Writer, votes []wire.Vote) {
	for _, v := range votes {
		verb := "approved"
		if v.Verdict == "reject" {
			verb = "rejected"
		}
		text := fmt.Sprintf("  Said     %s %s it %s", v.By, verb, ago(v.At))
		if v.Reason != "" {
			text += ": " + oneLine(ansi.Strip(v.Reason))
		}
		if v.Void != "" {
			text += " (void: " + ansi.Strip(v.Void) + ")"
		}
		_, _ = fmt.Fprintln(out, text)
	}
}

// decide shows plans that wait, asks, and sends the same decision to each. A plan that is
// another one by then is not decided about.
func (s *settings) decide(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string, d decision) error {
	waiting, err := c.Approvals(ctx, s.project)
	if err != nil {
		return err
	}
	if d.verb == "approve" {
		if args, err = s.agree(ctx, c, cmd, args, d); err != nil || len(args) == 0 {
			return err
		}
	}
	chosen, err := choose(ctx, c, waiting, args)
	if err != nil {
		return err
	}
	out := cmd.ErrOrStderr()
	for _, a := range chosen {
		printApproval(out, a)
		p, err := c.Plan(ctx, a.Run)
		if err != nil {
			return err
		}
		printActions(out, p)
		run, err := c.Run(ctx, a.Run)
		if err != nil {
			return err
		}
		if run.Ansible != nil {
			printForeseen(out, *run.Ansible, false)
		}
		_, _ = fmt.Fprintln(out)
	}
	if f, ok := cmd.InOrStdin().(*os.File); !d.yes && ok && term.IsTerminal(int(f.Fd())) {
		question := strings.ToUpper(d.verb[:1]) + d.verb[1:] + " it?"
		if len(chosen) > 1 {
			question = fmt.Sprintf("%s%s all %d?", strings.ToUpper(d.verb[:1]), d.verb[1:], len(chosen))
		}
		if err := confirm(cmd, false, question); err != nil {
			return err
		}
	}
	done := []wire.Run{}
	var failed error
	for _, a := range chosen {
		r, err := d.send(c, ctx, a.Run, wire.Ballot{Reason: d.reason, Plan: a.Binding.Plan})
		if err != nil {
			if failed != nil {
				_, _ = fmt.Fprintln(out, "Error: "+messageOf(failed)) // the last one is the command's
			}
			failed = err
			continue
		}
		done = append(done, r)
	}
	if err := s.show(cmd, done, func(out io.Writer) {
		for _, r := range done {
			_, _ = fmt.Fprintf(out, d.said, r.ID, r.Instance)
		}
	}); err != nil {
		return err
	}
	return failed
}

// choose finds what arguments mean: a run, a stage, a rollout, or all of an environment.
func choose(ctx context.Context, c *client.Client, waiting []wire.Approval, args []string) (chosen []wire.Approval, err error) {
	for _, arg := range args {
		n, projects := len(chosen), map[string]bool{}
		for _, a := range waiting {
			byName := a.Binding.Environment == arg
			if !byName && !slices.Contains([]string{a.Run, a.Stage, a.Rollout}, arg) {
				continue
			}
			if byName {
				projects[a.Project] = true
			}
			if !slices.ContainsFunc(chosen, func(o wire.Approval) bool { return o.Run == a.Run }) {
				chosen = append(chosen, a)
			} else {
				n = -1 // meant twice
			}
		}
		switch {
		case len(projects) > 1:
			return nil, usage(fmt.Errorf("several projects have runs that wait in %s; say which project with --project", arg))
		case len(chosen) == n:
			return nil, notWaiting(ctx, c, arg)
		}
	}
	return chosen, nil
}

// notWaiting says why an argument means nothing that waits.
func notWaiting(ctx context.Context, c *client.Client, arg string) error {
	if strings.HasPrefix(arg, core.PrefixRun+"-") {
		r, err := c.Run(ctx, arg)
		if err != nil {
			return err
		}
		return core.Errorf(core.Conflict, "%s of %s is %s; it does not wait for an approval", r.ID, r.Instance, r.Status)
	}
	return core.Errorf(core.NotFound, "nothing waits for an approval in %q; what does: terrace approve --all", arg)
}

// printActions shows a plan without its attributes.
func printActions(out io.Writer, p wire.Plan) {
	const shown = 40
	n := 0
	for _, r := range p.Resources {
		if r.Action == "no-op" || r.Action == "read" {
			continue
		}
		if n++; n <= shown {
			_, _ = fmt.Fprintf(out, "    %s %s\n", signOf(r), ansi.Strip(r.Address))
		}
	}
	if n > shown {
		_, _ = fmt.Fprintf(out, "    and %d more: terrace run plan\n", n-shown)
	}
}
