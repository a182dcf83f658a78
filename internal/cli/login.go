package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
)

// login is what terrace login keeps, for this person alone.
type login struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

func loginFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "terrace", "login.json"), nil
}

func readLogin() (login, error) {
	file, err := loginFile()
	if err != nil {
		return login{}, nil // no home folder: nobody can have logged in
	}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return login{}, nil
	}
	var l login
	if err == nil {
		err = json.Unmarshal(data, &l)
	}
	if err != nil {
		return login{}, core.Errorf(core.Invalid, "%s cannot be read; delete it and run terrace login again: %w", file, err)
	}
	return l, nil
}

func newLoginCommand(s *settings) *cobra.Command {
	return &cobra.Command{
		Use: "login URL", Short: "Keep a server's address and a token for later commands",
		Long: "Keeps a server's address and a token for later commands. The token is asked for, or read from standard input.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			url := strings.TrimRight(args[0], "/")
			token := s.token
			if token == "" {
				var err error
				if token, err = readSecret(cmd, "Token: "); err != nil {
					return err
				}
			}
			c := client.New(url, token)
			defer c.Close()
			if _, err := c.Projects(cmd.Context()); err != nil {
				return err
			}
			file, err := loginFile()
			if err != nil {
				return err
			}
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				return err
			}
			data, err := json.Marshal(login{URL: url, Token: token})
			if err != nil {
				return err
			}
			if err := os.WriteFile(file, data, 0o600); err != nil {
				return err
			}
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "Logged in to %s; kept in %s.\n", url, file)
			return nil
		},
	}
}

// readSecret asks on a terminal without echo, and otherwise reads standard input.
func readSecret(cmd *cobra.Command, prompt string) (string, error) {
	if f, ok := cmd.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(cmd.ErrOrStderr(), prompt)
		data, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(cmd.ErrOrStderr())
		return strings.TrimSpace(string(data)), err
	}
	data, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<20))
	return strings.TrimRight(string(data), "\r\n"), err
}

// confirm asks before something that cannot be undone. --yes and a pipe that says
// "yes" skip it.
func confirm(cmd *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	f, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return usage(errors.New(question + " Say --yes to do it without a question"))
	}
	_, _ = fmt.Fprint(cmd.ErrOrStderr(), question+" [y/N] ")
	var answer string
	_, _ = fmt.Fscanln(cmd.InOrStdin(), &answer)
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return exitError{exitFailed, errors.New("nothing was done")}
	}
	return nil
}

func newBrowseCommand(s *settings) *cobra.Command {
	return &cobra.Command{Use: "browse", Short: "Print a link that lets a browser in, once, within ten minutes", Args: cobra.NoArgs,
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
			e, err := c.CreateEntry(ctx)
			if err != nil {
				return err
			}
			return s.show(cmd, map[string]string{"url": c.URL() + e.Path}, func(out io.Writer) { _, _ = fmt.Fprintln(out, c.URL()+e.Path) })
		})}
}

func newSecretCommand(s *settings) *cobra.Command {
	var previews bool
	place := func(environment string) string {
		if previews {
			return core.PreviewSecretsOf(environment)
		}
		return environment
	}
	c := &cobra.Command{Use: "secret", Short: "Secrets of an environment: set, list, remove",
		Long: `Secrets of an environment are given to its runs alone. Sandboxes and previews never have them:
in place of ENVIRONMENT, "sandboxes" is for all sandboxes and "previews" for all previews of a
project, and with --previews it is for the previews of that environment. Give those what can
only read.`}
	c.PersistentFlags().BoolVar(&previews, "previews", false, "of the environment's previews, which never have its own")
	c.AddCommand(
		&cobra.Command{Use: "set ENVIRONMENT NAME", Short: "Store a value, asked for or read from standard input", Args: cobra.ExactArgs(2),
			Example: "  terrace secret set production CLOUD_TOKEN\n  terrace secret set production CLOUD_TOKEN --previews < read-only\n  terrace secret set dev SSH_KEY < ~/.ssh/deploy",
			RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
				value, err := readSecret(cmd, "Value of "+args[1]+": ")
				if err != nil {
					return err
				}
				if strings.Contains(value, "\n") {
					value += "\n" // a key file ends with one
				}
				if err := c.SetSecret(ctx, project, place(args[0]), args[1], value); err != nil {
					return err
				}
				return s.show(cmd, map[string]string{"environment": args[0], "name": args[1]}, func(out io.Writer) {
					_, _ = fmt.Fprintf(out, "Stored %s for %s.\n", args[1], args[0])
				})
			})},
		&cobra.Command{Use: "list ENVIRONMENT", Short: "Names; values never leave the server", Args: cobra.ExactArgs(1),
			RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
				names, err := c.Secrets(ctx, project, place(args[0]))
				if err != nil {
					return err
				}
				return s.show(cmd, names, func(out io.Writer) {
					if len(names) == 0 {
						_, _ = fmt.Fprintf(out, "%s has no secrets. Set one: terrace secret set %[1]s NAME\n", args[0])
					}
					for _, n := range names {
						_, _ = fmt.Fprintln(out, n)
					}
				})
			})},
		&cobra.Command{Use: "remove ENVIRONMENT NAME", Short: "Forget a value", Args: cobra.ExactArgs(2),
			RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
				return c.RemoveSecret(ctx, project, place(args[0]), args[1])
			})},
	)
	return c
}
