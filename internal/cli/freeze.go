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

func newFreezeCommand(s *settings) *cobra.Command {
	var everywhere bool
	var from, until, zone string
	var lifetime time.Duration
	var reason string
	c := &cobra.Command{Use: "freeze ENVIRONMENT|--all", Short: "Let nothing change in an environment for a while, though a window is open", Args: cobra.MaximumNArgs(1),
		Long: `Freezes an environment, or all of the project: from now or --from on, until --until, for
--for, or until somebody lifts it. Nothing enters a frozen environment, no run starts in it,
and what was planned is not applied; what is applying finishes, and a bake goes on.

Times are written as 2026-12-20T00:00, by the clocks of --zone, or with an offset as
2026-12-20T00:00:00Z. Freezes that belong to the code stand in terrace.hcl (freeze { }).`,
		Example: `  terrace freeze production --for 4h --reason "the network is being moved"
  terrace freeze --all --from 2026-12-20T00:00 --until 2027-01-02T09:00 --zone Europe/Berlin --reason Christmas`,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			environment, err := oneOrAll(args, everywhere)
			if err != nil {
				return err
			}
			f := wire.SetFreeze{Environment: environment, Reason: reason}
			if f.From, f.Until, err = span(from, until, zone); err != nil {
				return err
			}
			if lifetime != 0 {
				f.For = lifetime.String()
			}
			set, err := c.Freeze(ctx, project, f)
			if err != nil {
				return err
			}
			return s.show(cmd, set, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s: %s is frozen %s. Lift it: terrace unfreeze %[1]s\n", set.ID, frozenName(set), freezeSpan(set))
			})
		})}
	f := c.Flags()
	f.BoolVar(&everywhere, "all", false, "all environments of the project, also those that come later")
	f.StringVar(&from, "from", "", "when it begins (default: now)")
	f.StringVar(&until, "until", "", "when it ends (default: when somebody lifts it)")
	f.DurationVar(&lifetime, "for", 0, "how long it lasts, instead of --until")
	f.StringVar(&zone, "zone", "", "whose clocks --from and --until are by, as Europe/Berlin (default: this machine's)")
	f.StringVar(&reason, "reason", "", "why, for everybody who waits")
	c.MarkFlagsMutuallyExclusive("until", "for")
	c.AddCommand(newFreezeList(s))
	return c
}

func newUnfreezeCommand(s *settings) *cobra.Command {
	var everywhere bool
	c := &cobra.Command{Use: "unfreeze ENVIRONMENT|FREEZE|--all", Short: "Lift freezes that people set", Args: cobra.MaximumNArgs(1),
		Long: `Lifts the freezes that people set on an environment, also those that have not begun; with
--all those of all environments at once; or one by its ID. Those that are written in
terrace.hcl or in the guardrails are changed there.`,
		Example: "  terrace unfreeze production",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			what, err := oneOrAll(args, everywhere)
			if err != nil {
				return err
			}
			var lifted []wire.Freeze
			if _, id := core.IDTime(what); id && strings.HasPrefix(what, core.PrefixFreeze+"-") {
				lifted, err = c.LiftFreeze(ctx, project, what)
			} else {
				lifted, err = c.Unfreeze(ctx, project, what)
			}
			if err != nil {
				return err
			}
			return s.show(cmd, lifted, func(out io.Writer) {
				for _, f := range lifted {
					_, _ = fmt.Fprintf(out, "%s of %s is lifted: %s\n", f.ID, frozenName(f), f.Reason)
				}
			})
		})}
	c.Flags().BoolVar(&everywhere, "all", false, "what freezes all environments at once")
	return c
}

func newFreezeList(s *settings) *cobra.Command {
	var all bool
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Freezes, of people and of configurations; with --all, every one there was", Args: cobra.NoArgs,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			freezes, err := c.Freezes(ctx, project)
			if err != nil {
				return err
			}
			shown := []wire.Freeze{}
			for _, f := range freezes {
				if all || f.Status == "planned" || f.Status == "active" {
					shown = append(shown, f)
				}
			}
			return s.show(cmd, shown, func(out io.Writer) {
				if len(shown) == 0 {
					_, _ = fmt.Fprintln(out, "No freezes.")
					return
				}
				var rows [][]string
				for _, f := range shown {
					rows = append(rows, []string{f.ID, frozenName(f), f.Status, freezeSpan(f), f.By, oneLine(f.Reason)})
				}
				table(out, []string{"ID", "ENVIRONMENT", "STATUS", "WHEN", "BY", "WHY"}, rows)
			})
		})}
	c.Flags().BoolVar(&all, "all", false, "also those that are over or were lifted")
	return c
}

// oneOrAll is the one argument of a command, or "" with --all.
func oneOrAll(args []string, all bool) (string, error) {
	if all == (len(args) == 1) {
		return "", usage(core.Errorf(core.Invalid, "name one environment, or say --all"))
	}
	if all {
		return "", nil
	}
	return args[0], nil
}

// span reads two times of a freeze. It takes as much as they can mean: of a time that comes
// twice, the first for from and the second for until.
func span(from, until, zone string) (begin, end time.Time, err error) {
	where := time.Local
	if zone != "" {
		if where, err = time.LoadLocation(zone); err != nil {
			return begin, end, usage(core.Errorf(core.Invalid, "%q is not a time zone; write a name of the IANA database, as Europe/Berlin", zone))
		}
	}
	read := func(flag, text string) (first, last time.Time, err error) {
		if text == "" {
			return first, last, nil
		}
		if t, err := time.Parse(time.RFC3339, text); err == nil {
			return t, t, nil
		}
		wall, err := time.Parse(core.WallLayout, text)
		if err != nil {
			return first, last, usage(core.Errorf(core.Invalid, "--%s %q is not a time; write 2026-12-20T00:00, or with an offset 2026-12-20T00:00:00Z", flag, text))
		}
		first, last = core.Instants(wall, where)
		return first, last, nil
	}
	if begin, _, err = read("from", from); err != nil {
		return begin, end, err
	}
	_, end, err = read("until", until)
	return begin, end, err
}

func frozenName(f wire.Freeze) string {
	if f.Environment == "" {
		return "every environment"
	}
	return f.Environment
}

// freezeSpan says when a freeze closes, by this machine's clock.
func freezeSpan(f wire.Freeze) string {
	const layout = "15:04 on 2 January 2006"
	text := ""
	if f.Status == "planned" {
		text = "from " + f.From.Local().Format(layout) + " "
	}
	if f.Until == nil {
		return text + "until it is lifted"
	}
	return text + "until " + f.Until.Local().Format(layout)
}
