package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newKeyCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "key", Short: "Keys that seal what is stored: list, rotate, retire",
		Long: `States, plans and secrets are sealed with a sealing key, which is stored beside them,
wrapped by the master key, which is not. "rotate" replaces the sealing key. The master key
is replaced by starting the server with the new one and the old one, in that order
(--master-key NEW --master-key OLD, or two lines in the key file): it wraps the sealing keys
anew at its start, and needs the old one no more.`}
	c.AddCommand(newKeyList(s), newKeyRotate(s),
		&cobra.Command{Use: "retire ID", Short: "Delete a key on which nothing hangs any more", Args: cobra.ExactArgs(1),
			RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
				if err := c.RetireKey(ctx, args[0]); err != nil {
					return err
				}
				return s.show(cmd, map[string]string{"retired": args[0]}, func(out io.Writer) {
					_, _ = fmt.Fprintf(out, "%s is deleted. Backups of the database have it still, and open as before.\n", args[0])
				})
			})})
	return c
}

func newKeyList(s *settings) *cobra.Command {
	return &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Sealing keys, without their secrets", Args: cobra.NoArgs,
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			all, err := c.Keys(ctx)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) { printKeys(out, all) })
		})}
}

func printKeys(out io.Writer, all wire.Keys) {
	var rows [][]string
	for _, k := range all.Keys {
		does := "opens"
		switch {
		case k.Seals:
			does = "seals"
		case all.Retirable:
			does = "can be retired"
		}
		rows = append(rows, []string{k.ID, does, ago(k.Made), k.Master})
	}
	table(out, []string{"KEY", "DOES", "MADE", "WRAPPED BY"}, rows)
	if p := all.Passage; p != nil && !all.Retirable {
		_, _ = fmt.Fprintln(out)
		if p.Done {
			_, _ = fmt.Fprintf(out, "Everything is sealed with the newest key (%d things sealed anew). The older ones can be retired some minutes after %s.\n", p.Sealed, all.From.Local().Format(time.TimeOnly))
		} else {
			_, _ = fmt.Fprintf(out, "Sealing everything with the newest key: %d things looked at, %d sealed anew.\n", p.Looked, p.Sealed)
		}
	}
	if p := all.Passage; p != nil && p.Lost > 0 {
		_, _ = fmt.Fprintf(out, "%d things open with no key; which: terrace admin check\n", p.Lost)
	}
}

func newKeyRotate(s *settings) *cobra.Command {
	var noWait bool
	c := &cobra.Command{Use: "rotate", Short: "Seal with a new key from now on, and everything that is stored anew", Args: cobra.NoArgs,
		Long: `Makes a new sealing key, which seals from now on, and seals everything that is stored
anew, in the background: it goes on when this command is cancelled, and after a restart of
the server. The older keys open what they sealed until they are retired.`,
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			all, err := c.RotateKeys(ctx)
			if err != nil {
				return err
			}
			made := all.Keys[0].ID
			said := int64(-1)
			for !noWait && all.Keys[0].ID == made && !all.Passage.Done {
				if all.Passage.Looked != said {
					said = all.Passage.Looked
					_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "looked at %d, sealed %d anew\n", said, all.Passage.Sealed)
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(500 * time.Millisecond):
				}
				if all, err = c.Keys(ctx); err != nil {
					return err
				}
			}
			return s.show(cmd, all, func(out io.Writer) {
				printKeys(out, all)
				if len(all.Keys) > 1 && !noWait {
					_, _ = fmt.Fprintf(out, "Then: terrace key retire %s\n", strings.TrimSpace(all.Keys[1].ID))
				}
			})
		})}
	c.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until everything is sealed anew")
	return c
}
