package cli

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newProjectForge(s *settings) *cobra.Command {
	var in wire.SetForge
	var remove bool
	var login func(*cobra.Command, *wire.SetForge) error
	c := &cobra.Command{Use: "forge [NAME]", Short: "Say where the repository is hosted: pull requests, comments, statuses, clones", Args: cobra.MaximumNArgs(1),
		Long: `With the forge known, pull requests are previewed and told so in one comment and a status for each
environment, commits get statuses of their rollouts, and private repositories are cloned. The token
is read from standard input; it is kept encrypted. Where the repository is hosted is taken from its
address as far as that tells.

GitHub: a fine-grained token with Contents (read), Pull requests and Commit statuses (read and write),
or an app with the same (--app, --key). GitLab: a project token with the scope api and the role
Developer. Gitea and Forgejo: a token with write:repository and write:issue.`,
		Example: "  terrace project forge shop --kind gitea < token\n  terrace project forge shop --app 12345 --key app.pem\n  terrace project forge shop --remove",
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			name, err := s.named(ctx, c, args)
			if err != nil {
				return err
			}
			if remove {
				p, err := c.RemoveForge(ctx, name)
				if err != nil {
					return err
				}
				return s.show(cmd, p, func(out io.Writer) { _, _ = fmt.Fprintf(out, "Where %s is hosted is forgotten.\n", name) })
			}
			if err := login(cmd, &in); err != nil {
				return err
			}
			p, err := c.SetForge(ctx, name, in)
			if err != nil {
				return err
			}
			return s.show(cmd, p, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "Pull requests of %s at %s are previewed. To be told of a push at once, add a webhook there (pushes, pull requests):\n  URL     %s\n  secret  %s\n",
					p.Forge.Repo, p.Forge.URL, p.Webhook.URL, p.Webhook.Secret)
			})
		})}
	f := c.Flags()
	f.StringVar(&in.Kind, "kind", "", "github, gitlab or gitea (Forgejo, too); default: as the repository's address tells")
	f.StringVar(&in.URL, "url", "", "of the forge (default: as the repository's address tells)")
	f.StringVar(&in.Repo, "repo", "", "path of the repository there, as team/shop (default: as its address tells)")
	login = loginFlags(c)
	f.BoolVar(&remove, "remove", false, "forget it")
	return c
}

// loginFlags are as whom Terrace is on a forge: an app, or the owner of a token that is read
// from standard input.
func loginFlags(c *cobra.Command) func(*cobra.Command, *wire.SetForge) error {
	var app wire.ForgeApp
	var keyFile string
	f := c.Flags()
	f.Int64Var(&app.ID, "app", 0, "be this GitHub app, in place of a token")
	f.Int64Var(&app.Installation, "installation", 0, "of the app (default: that on the repository)")
	f.StringVar(&keyFile, "key", "", "file of the app's private key")
	return func(cmd *cobra.Command, in *wire.SetForge) (err error) {
		if app.ID == 0 {
			in.Token, err = readSecret(cmd, "Token for the forge: ")
			return err
		}
		key, err := os.ReadFile(keyFile)
		if err != nil {
			return usage(core.Errorf(core.Invalid, "an app needs its private key, --key FILE: %w", err))
		}
		app.Key, in.App = string(key), &app
		return nil
	}
}
