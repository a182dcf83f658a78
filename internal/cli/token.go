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
	var wanted wire.CreateToken
	create := &cobra.Command{Use: "create NAME", Short: "Make a token; it is shown once", Args: cobra.ExactArgs(1),
		Long: `Makes a token. With --role it lets do what that role may, everywhere or in one project or
environment. Without, it lets do what the guardrails give its user; while they name no
roles, that is everything.

viewer      looks at everything that is not secret
developer   also reads whole states
operator    also approves, promotes, holds, makes exceptions, recovers and writes states
admin       also changes projects, secrets, guardrails, tokens and keys`,
		Example: "  terrace token create ana\n  terrace token create deploy-bot --role operator --project shop --environment dev\n  terrace token create ana-phone --user ana --for 720h",
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			wanted.Name, wanted.TTL = args[0], ttl
			if cmd.Flags().Changed("project") { // what TERRACE_PROJECT says is no wish for a narrower token
				wanted.Project = s.project
			}
			t, err := c.CreateToken(ctx, wanted)
			if err != nil {
				return err
			}
			return s.show(cmd, t, func(out io.Writer) { _, _ = fmt.Fprintln(out, t.Secret) })
		})}
	create.Flags().StringVar(&ttl, "for", "", "how long it is good, for example 720h (default: until revoked)")
	create.Flags().StringVar(&wanted.User, "user", "", "whose it is, as the guardrails and the audit log name them (default: NAME)")
	create.Flags().StringVar(&wanted.Role, "role", "", "what it lets do: viewer, developer, operator or admin (default: what the guardrails say)")
	create.Flags().StringVar(&wanted.Environment, "environment", "", "the only environment where the role holds; --project likewise")
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
						rows = append(rows, []string{t.ID, t.Name, t.User, roleText(t), ago(t.Created)})
					}
					table(out, []string{"ID", "NAME", "USER", "ROLE", "MADE"}, rows)
				})
			})},
		&cobra.Command{Use: "revoke ID", Short: "End a token", Args: cobra.ExactArgs(1),
			RunE: s.withClient(func(ctx context.Context, c *client.Client, _ *cobra.Command, args []string) error {
				return c.RevokeToken(ctx, args[0])
			})})
	return c
}

// roleText says what a token lets do, and where.
func roleText(t wire.Token) string {
	text := t.Role
	if text == "" {
		return "as the guardrails say"
	}
	if t.Environment != "" {
		text += " in " + t.Environment
	}
	if t.Project != "" {
		text += " of " + t.Project
	}
	return text
}
