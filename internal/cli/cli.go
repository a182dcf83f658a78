// Package cli is the command line: one file for each command, its flags, its exit
// code and its output, as a table for people and as JSON for machines.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
)

// defaultURL is where a CLI looks for a server when nobody says.
const defaultURL = "http://127.0.0.1:8750"

// settings are the flags that every command about a server has.
type settings struct {
	url, token, project string
	json                bool
	version             string
}

// Main runs the command line and returns the exit code.
func Main(version string, args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot(version)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && err.Error() != "" {
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			err = exitError{exitFailed, errors.New("interrupted")}
		}
		_, _ = fmt.Fprintln(stderr, "Error: "+messageOf(err))
	}
	return codeOf(err)
}

func newRoot(version string) *cobra.Command {
	s := &settings{version: version}
	root := &cobra.Command{
		Use:           "terrace",
		Short:         "Infrastructure continuous deployment",
		Long:          "Terrace carries every commit of an infrastructure repository through its environments to production:\nplan, check, apply, provision, verify, bake, next environment.",
		SilenceErrors: true, SilenceUsage: true,
		Version: version,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	flags := root.PersistentFlags()
	flags.StringVar(&s.url, "url", os.Getenv("TERRACE_URL"), "the server (TERRACE_URL; default "+defaultURL+")")
	flags.StringVar(&s.token, "token", "", "the token (TERRACE_TOKEN; default: what terrace login kept)")
	flags.StringVarP(&s.project, "project", "p", os.Getenv("TERRACE_PROJECT"), "the project (TERRACE_PROJECT; default: the only one)")
	flags.BoolVar(&s.json, "json", false, "machine-readable output")
	root.AddGroup(&cobra.Group{ID: "begin", Title: "Begin:"}, &cobra.Group{ID: "look", Title: "Look:"},
		&cobra.Group{ID: "act", Title: "Act:"}, &cobra.Group{ID: "admin", Title: "Administer:"})
	groups := map[string][]*cobra.Command{
		"begin": {newInitCommand(), newValidateCommand(), newFmtCommand(), newServerCommand(s), newDemoCommand(s), newLoginCommand(s), newBrowseCommand(s), newProjectCommand(s)},
		"look":  {newStatusCommand(s), newParityCommand(s), newDriftCommand(s), newVerifyCommand(s), newRunCommand(s), newVariablesCommand(s), newModulesCommand(s), newImageCommand(s), newInventoryCommand(s), newHostsCommand(s), newEventsCommand(s)},
		"act":   {newRolloutCommand(s), newSandboxCommand(s), newPreviewCommand(s), newRollbackCommand(s), newApproveCommand(s), newRejectCommand(s), newPromoteCommand(s), newHoldCommand(s), newUnholdCommand(s), newFreezeCommand(s), newUnfreezeCommand(s), newExceptCommand(s), newReplaceCommand(s)},
		"admin": {newStateCommand(s), newSecretCommand(s), newModuleCommand(s), newGuardrailsCommand(s), newTokenCommand(s), newKeyCommand(s), newAdminCommand(s)},
	}
	for id, commands := range groups {
		for _, c := range commands {
			c.GroupID = id
			root.AddCommand(c)
		}
	}
	root.AddCommand(newExecCommand(), newProvisionCommand(), newProviderCommand(), newHookCommand(), newManCommand(root))
	strict(root)
	return root
}

// strict makes a group of commands refuse a name it does not have, with the code for
// wrong usage, and turns cobra's own argument errors into it.
func strict(c *cobra.Command) {
	if c.HasSubCommands() && c.RunE == nil && c.Run == nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return c.Help()
			}
			message := fmt.Sprintf("%s has no command %q", c.CommandPath(), args[0])
			if near := c.SuggestionsFor(args[0]); len(near) > 0 {
				message += "; did you mean " + strings.Join(near, " or ") + "?"
			}
			return usage(errors.New(message + " (see " + c.CommandPath() + " --help)"))
		}
		c.Args = cobra.ArbitraryArgs
	} else if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usage(fmt.Errorf("%w\nusage: %s", err, c.UseLine()))
			}
			return nil
		}
	}
	for _, sub := range c.Commands() {
		strict(sub)
	}
}

// api returns a client of the server that flags, environment and login name.
func (s *settings) api() (*client.Client, error) {
	kept, err := readLogin()
	if err != nil {
		return nil, err
	}
	url, token := s.url, s.token
	if url == "" {
		url = kept.URL
	}
	if url == "" {
		url = defaultURL
	}
	url = strings.TrimRight(url, "/")
	if token == "" {
		token = os.Getenv("TERRACE_TOKEN")
	}
	if token == "" && url == kept.URL {
		token = kept.Token
	}
	if token == "" && url == defaultURL {
		// A server on this machine with its default data folder.
		if data, err := os.ReadFile(filepath.Join(defaultData(), "admin-token")); err == nil {
			token = strings.TrimSpace(string(data))
		}
	}
	return client.New(url, token), nil
}

// projectName is the project that flags name, or the only one there is.
func (s *settings) projectName(ctx context.Context, c *client.Client) (string, error) {
	if s.project != "" {
		return s.project, nil
	}
	all, err := c.Projects(ctx)
	if err != nil {
		return "", err
	}
	switch len(all) {
	case 0:
		return "", core.Errorf(core.NotFound, "there is no project yet; add one: terrace project add NAME --repo URL")
	case 1:
		return all[0].Name, nil
	}
	var names []string
	for _, p := range all {
		names = append(names, p.Name)
	}
	return "", usage(fmt.Errorf("there are several projects (%s); say which with --project", strings.Join(names, ", ")))
}

// with runs f with a client and the project's name.
func (s *settings) with(f func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := s.api()
		if err != nil {
			return err
		}
		defer c.Close()
		project, err := s.projectName(cmd.Context(), c)
		if err != nil {
			return err
		}
		return f(cmd.Context(), c, project, cmd, args)
	}
}

// withClient runs f with a client alone.
func (s *settings) withClient(f func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		c, err := s.api()
		if err != nil {
			return err
		}
		defer c.Close()
		return f(cmd.Context(), c, cmd, args)
	}
}

// defaultData is the data folder of a server that was not told another.
func defaultData() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "terrace")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "terrace-data"
	}
	return filepath.Join(home, ".local", "share", "terrace")
}
