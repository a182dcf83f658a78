package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	eventPage = 500
	eventPoll = time.Second // how often --follow looks for more
)

func newEventsCommand(s *settings) *cobra.Command {
	var after int64
	var limit int
	var follow bool
	c := &cobra.Command{Use: "events", Short: "The audit log, oldest first", Args: cobra.NoArgs,
		Long: `Shows the audit log: who did what, when. With --follow it goes on with what happens,
and with --json it then prints one event on each line.`,
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usage(fmt.Errorf("--limit %d: how many events can that be?", limit))
			}
			if follow {
				return followEvents(ctx, c, s, cmd.OutOrStdout(), after, limit)
			}
			all, err := readEvents(ctx, c, s.project, after, limit)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				var rows [][]string
				for _, e := range all {
					rows = append(rows, eventCells(e))
				}
				table(out, []string{"SEQ", "AT", "BY", "WHAT", "PROJECT", "ON"}, rows)
			})
		})}
	f := c.Flags()
	f.Int64Var(&after, "after", 0, "only events after this number")
	f.IntVar(&limit, "limit", 0, "at most so many (default: all)")
	f.BoolVarP(&follow, "follow", "f", false, "go on with what happens")
	c.AddCommand(newEventsVerify(s))
	return c
}

func eventCells(e wire.Event) []string {
	return []string{fmt.Sprint(e.Seq), e.At.Local().Format("2006-01-02 15:04:05"), e.By, e.Kind, e.Project, e.On}
}

// readEvents reads up to limit events (0: all) in pages.
func readEvents(ctx context.Context, c *client.Client, project string, after int64, limit int) ([]wire.Event, error) {
	all := []wire.Event{}
	for {
		n := eventPage
		if limit > 0 {
			n = min(n, limit-len(all))
		}
		if n == 0 {
			return all, nil
		}
		page, err := c.EventPage(ctx, project, after, n)
		if err != nil || len(page) == 0 {
			return all, err
		}
		all = append(all, page...)
		after = page[len(page)-1].Seq
	}
}

// followEvents prints events as they happen, until limit of them (0: for ever). A server
// that is away for a while is waited for.
func followEvents(ctx context.Context, c *client.Client, s *settings, out io.Writer, after int64, limit int) error {
	tick := time.NewTicker(eventPoll)
	defer tick.Stop()
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	for printed, connected := 0, false; ; {
		n := eventPage
		if limit > 0 {
			n = min(n, limit-printed)
		}
		if n == 0 {
			return nil
		}
		page, err := c.EventPage(ctx, s.project, after, n)
		if err != nil && (!connected || ctx.Err() != nil || client.Permanent(err)) {
			return err
		}
		connected = connected || err == nil
		for _, e := range page {
			if s.json {
				if err := lines.Encode(e); err != nil {
					return err
				}
			} else {
				cells := eventCells(e)
				_, _ = fmt.Fprintf(out, "%-6s %s  %-20s %-26s %s %s\n", cells[0], cells[1], cells[2], cells[3], cells[4], cells[5])
			}
			after, printed = e.Seq, printed+1
		}
		if len(page) == n {
			continue
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func newEventsVerify(s *settings) *cobra.Command {
	return &cobra.Command{Use: "verify", Short: "Find out whether the audit log was changed", Args: cobra.NoArgs,
		Long: `Has the server compute the hash of every event anew. An event that was changed, removed,
inserted or moved is named, and the exit code is 1. Note the last number and hash elsewhere
from time to time: they show a log that was rewritten as a whole.`,
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			v, err := c.VerifyEvents(ctx)
			if err != nil {
				return err
			}
			if err := s.show(cmd, v, func(out io.Writer) {
				if v.Intact {
					_, _ = fmt.Fprintf(out, "The audit log is intact: %d events, the last one has the hash %s.\n", v.Seq, v.Hash)
					return
				}
				_, _ = fmt.Fprintf(out, "%s. Up to event %d it is intact (hash %s).\n", v.Reason, v.Seq, v.Hash)
			}); err != nil {
				return err
			}
			if !v.Intact {
				return exitError{code: exitFailed}
			}
			return nil
		})}
}
