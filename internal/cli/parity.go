package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

// declaredShown is how many declared differences of a stack are shown without --all.
const declaredShown = 10

func newParityCommand(s *settings) *cobra.Command {
	var stack string
	var all bool
	var atLeast float64
	c := &cobra.Command{Use: "parity ENVIRONMENT ENVIRONMENT", Short: "How alike two environments are, and what nobody wrote down", Args: cobra.ExactArgs(2),
		Long: `Compares two environments as they are: releases, engine and provider versions,
variables, and every resource by address and attribute. What identifies a thing is
compared by what it stands for. A difference is declared when it follows from a variable,
a setting or a release; all others are undeclared. The number is 1 when there are none.

Exit code 1 when the number is below --at-least, or when that was asked for and something
could not be compared.`,
		Example: "  terrace parity staging production\n  terrace parity staging production --stack web --all\n  terrace parity staging production --at-least 0.98",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			if atLeast < 0 || atLeast > 1 {
				return usage(fmt.Errorf("--at-least is a number from 0 to 1, not %g", atLeast))
			}
			p, err := c.Parity(ctx, project, args[0], args[1], stack)
			if err != nil {
				return err
			}
			if err := s.show(cmd, p, func(out io.Writer) { printParity(out, p, all) }); err != nil {
				return err
			}
			if !cmd.Flags().Changed("at-least") {
				return nil
			}
			return belowParity(p, atLeast)
		})}
	c.Flags().StringVar(&stack, "stack", "", "only this stack")
	c.Flags().BoolVar(&all, "all", false, "every declared difference, and stacks that are alike")
	c.Flags().Float64Var(&atLeast, "at-least", 0, "fail when the number is lower, for example 0.98")
	return c
}

// belowParity fails for a number that is too low, and for one that does not stand for everything.
func belowParity(p wire.Parity, atLeast float64) error {
	if p.Number == nil {
		return fmt.Errorf("nothing of %s and %s could be compared", p.A, p.B)
	}
	if *p.Number < atLeast {
		return fmt.Errorf("%s and %s are alike to %.4f, which is below %g", p.A, p.B, *p.Number, atLeast)
	}
	for _, in := range p.Instances {
		if in.NotCompared != "" {
			return fmt.Errorf("%s: not compared: %s", in.Stack, in.NotCompared)
		}
	}
	return nil
}

func printParity(out io.Writer, p wire.Parity, all bool) {
	number := "nothing could be compared"
	if p.Number != nil {
		number = fmt.Sprintf("%.4f", *p.Number)
	}
	_, _ = fmt.Fprintf(out, "%s ~ %s: %s (%d resources, %d attributes; %d undeclared differences, %d declared)\n", p.A, p.B, number, p.Resources, p.Attributes, p.Undeclared, p.Declared)
	for _, in := range p.Instances {
		if in.NotCompared != "" {
			_, _ = fmt.Fprintf(out, "\n%s: not compared: %s\n", in.Stack, in.NotCompared)
			continue
		}
		for _, at := range []*wire.ParityState{in.A, in.B} {
			if at != nil && at.NoCode != "" {
				_, _ = fmt.Fprintf(out, "\n%s: the code of release %d could not be read, so nothing of it is declared: %s\n", in.Stack, at.Release.Number, oneLine(at.NoCode))
			}
		}
		printParityOf(out, p, in, all)
	}
	if p.Undeclared > 0 {
		_, _ = fmt.Fprintf(out, "\nUndo what nobody wanted and refresh the state, or write it down as a variable; what is never to be compared goes into the project's parity block.\n")
	}
}

func printParityOf(out io.Writer, p wire.Parity, in wire.ParityInstance, all bool) {
	var undeclared, declared [][]string
	for _, d := range in.Differences {
		row := []string{"  " + differenceName(d), valueText(d, d.A), valueText(d, d.B), d.Because}
		if d.Declared {
			declared = append(declared, row)
		} else {
			undeclared = append(undeclared, row)
		}
	}
	if len(in.Differences) == 0 {
		if all {
			_, _ = fmt.Fprintf(out, "\n%s: alike (%d resources)\n", in.Stack, in.Resources)
		}
		return
	}
	header := func(word string) []string {
		return []string{"  " + word, strings.ToUpper(p.A), strings.ToUpper(p.B), "BECAUSE"}
	}
	_, _ = fmt.Fprintf(out, "\n%s\n", in.Stack)
	if len(undeclared) > 0 {
		table(out, header("UNDECLARED"), undeclared)
	}
	if len(declared) > 0 {
		left := 0
		if !all && len(declared) > declaredShown {
			left = len(declared) - declaredShown
			declared = declared[:declaredShown]
		}
		table(out, header("DECLARED"), declared)
		if left > 0 {
			_, _ = fmt.Fprintf(out, "  and %d more declared ones: --all\n", left)
		}
	}
}

func differenceName(d wire.ParityChange) string {
	switch d.Kind {
	case "attribute":
		return d.Address + "." + d.Path
	case "resource":
		return d.Address
	}
	return strings.TrimSpace(d.Kind + " " + d.Address)
}

// valueText is a value in a table.
func valueText(d wire.ParityChange, v json.RawMessage) string {
	const longest = 40
	switch {
	case d.Sensitive:
		return "(sensitive)"
	case len(v) == 0:
		return "-"
	case d.Kind == "resource" || d.Kind == "stack":
		return "there"
	}
	if r := []rune(string(v)); len(r) > longest {
		return string(r[:longest]) + "…"
	}
	return string(v)
}
