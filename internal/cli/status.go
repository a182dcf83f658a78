package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newStatusCommand(s *settings) *cobra.Command {
	var why bool
	c := &cobra.Command{Use: "status", Short: "Stacks by environments: which release, since when, how healthy", Args: cobra.NoArgs,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			status, err := c.Status(ctx, project, why)
			if err != nil {
				return err
			}
			return s.show(cmd, status, func(out io.Writer) { printStatus(out, status, why) })
		})}
	c.Flags().BoolVar(&why, "why", false, "say for each instance why it is or is not up to date")
	return c
}

func printStatus(out io.Writer, status wire.Status, why bool) {
	if status.Head != nil {
		_, _ = fmt.Fprintf(out, "%s, newest release %s: %s\n", status.Project, releaseText(status.Head), status.Head.Subject)
		if status.Head.Invalid != "" {
			_, _ = fmt.Fprintf(out, "\nIts configuration does not hold, so it is not promoted:\n%s\n", status.Head.Invalid)
		}
	}
	for _, text := range []string{status.Stopped, status.CheckError} {
		if text != "" {
			_, _ = fmt.Fprintf(out, "\n%s\n", text)
		}
	}
	for _, h := range status.Holds {
		_, _ = fmt.Fprintf(out, "\n%s is held: %s (%s). Lift it: terrace unhold %[1]s\n", h.Environment, h.Reason, ago(h.Since))
	}
	for _, f := range status.Freezes {
		if f.Status == "active" {
			_, _ = fmt.Fprintf(out, "\n%s is frozen %s: %s (%s)\n", frozenName(f), freezeSpan(f), f.Reason, f.By)
		}
	}
	for _, w := range status.Warnings {
		_, _ = fmt.Fprintf(out, "\nWarning: %s\n", w)
	}
	_, _ = fmt.Fprintln(out)
	if len(status.Instances) == 0 {
		_, _ = fmt.Fprintln(out, "No instances yet. Commit a terrace.hcl (terrace init writes one) and push.")
		return
	}
	if why {
		for _, i := range status.Instances {
			_, _ = fmt.Fprintf(out, "%s: %s. %s\n", i.Instance, i.State, i.Reason)
			if i.Drift == "drifted" {
				_, _ = fmt.Fprintf(out, "  - what is there is not what its state says: terrace drift show %s\n", i.Instance)
			}
			for _, w := range i.Why {
				_, _ = fmt.Fprintf(out, "  - %s\n", w)
			}
		}
		ownBackends(out, status.Instances)
		return
	}
	cells := map[[2]string]wire.InstanceStatus{}
	var stacks []string
	seen := map[string]bool{}
	for _, i := range status.Instances {
		cells[[2]string{i.Stack, i.Environment}] = i
		if !seen[i.Stack] {
			seen[i.Stack] = true
			stacks = append(stacks, i.Stack)
		}
	}
	header := []string{"STACK"}
	for _, e := range status.Environments {
		header = append(header, strings.ToUpper(e))
	}
	var rows [][]string
	for _, stack := range stacks {
		row := []string{stack}
		for _, e := range status.Environments {
			row = append(row, cellText(cells[[2]string{stack, e}]))
		}
		rows = append(rows, row)
	}
	table(out, header, rows)
	if n := len(status.Sandboxes); n > 0 {
		_, _ = fmt.Fprintf(out, "\n%s: terrace sandbox list\n", boxes(n))
	}
	ownBackends(out, status.Instances)
	printWaiting(out, status.Waiting)
	for _, i := range status.Instances {
		switch i.State {
		case "failed", "errored", "unknown", "held":
			_, _ = fmt.Fprintf(out, "\n%s: %s", i.Instance, i.Reason)
			if i.Run != "" {
				_, _ = fmt.Fprintf(out, "\n  terrace run show %s", i.Run)
			}
			_, _ = fmt.Fprintln(out)
		}
		if i.Drift == "drifted" {
			_, _ = fmt.Fprintf(out, "\n%s: what is there is not what its state says: terrace drift show %[1]s\n", i.Instance)
		}
	}
}

func boxes(n int) string {
	if n == 1 {
		return "1 sandbox"
	}
	return fmt.Sprintf("%d sandboxes", n)
}

func cellText(i wire.InstanceStatus) string {
	if i.Instance == "" {
		return "-"
	}
	text := i.State
	if i.State == "running" && i.Phase != "" {
		text += " (" + i.Phase + ")"
	}
	if i.Behind > 0 && i.State == "behind" {
		text += fmt.Sprintf(" by %d, at", i.Behind)
	}
	if r := releaseText(i.Release); r != "" {
		text += " " + r
		if a := ago(i.Since); a != "" {
			text += ", " + a
		}
	}
	if i.Drift == "drifted" {
		text += ", drifted"
	}
	return text
}
