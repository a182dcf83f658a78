package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newTokenCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "Tokens of people and machines: create, list, revoke"}
	var ttl string
	create := &cobra.Command{Use: "create NAME", Short: "Make a token; it is shown once", Args: cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			t, err := c.CreateToken(ctx, wire.CreateToken{Name: args[0], TTL: ttl})
			if err != nil {
				return err
			}
			return s.show(cmd, t, func(out io.Writer) { _, _ = fmt.Fprintln(out, t.Secret) })
		})}
	create.Flags().StringVar(&ttl, "for", "", "how long it is good, for example 720h (default: until revoked)")
	c.AddCommand(create,
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Tokens, without their secrets", Args: cobra.NoArgs,
			RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
				all, err := c.Tokens(ctx)
				if err != nil {
					return err
				}
				return s.show(cmd, all, func(out io.Writer) {
					var rows [][]string
					for _, t := range all {
						rows = append(rows, []string{t.ID, t.Name, t.Kind, ago(t.Created)})
					}
					table(out, []string{"ID", "NAME", "KIND", "MADE"}, rows)
				})
			})},
		&cobra.Command{Use: "revoke ID", Short: "End a token", Args: cobra.ExactArgs(1),
			RunE: s.withClient(func(ctx context.Context, c *client.Client, _ *cobra.Command, args []string) error {
				return c.RevokeToken(ctx, args[0])
			})})
	return c
}
