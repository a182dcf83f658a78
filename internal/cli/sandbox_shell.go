package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/workbench"
)

func newSandboxShell(s *settings) *cobra.Command {
	var print bool
	c := &cobra.Command{Use: "shell NAME STACK [-- COMMAND...]", Short: "A shell in which plain tofu works on a stack in a sandbox, from the files that are here", Args: cobra.MinimumNArgs(2),
		Long: `Opens a shell in the stack's folder of this clone. Plain tofu plan and tofu apply in it work
from the files that are there, also uncommitted ones, against the sandbox's state with its
lock, with the variables, upstream outputs and secrets that a run would have. The folder is
made ready (init) first. With a command after --, that is run instead of a shell; with --print,
the settings are printed as lines for a shell of yours.

While it is open, a file ` + workbench.Override + ` points the backend at the server;
it is in .git/info/exclude, and gone afterwards. Only the owner of a sandbox may do this.`,
		Example: "  terrace sandbox shell ana-try web\n  terrace sandbox shell ana-try web -- tofu plan\n  eval \"$(terrace sandbox shell ana-try web --print)\"",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			shell, err := c.SandboxShell(ctx, project, args[0], args[1])
			if err != nil {
				return err
			}
			here, err := os.Getwd()
			if err != nil {
				return err
			}
			bench := workbench.Bench{Backend: append(httpBackend(c, shell.State), registryToken(c, shell.Registry)...), Shell: shell}
			bench.Repository, _ = repositoryOf(here)
			if bench.Kept, err = workFolder(c.URL(), project, args[0], args[1]); err != nil {
				return err
			}
			if err := bench.Prepare(); err != nil {
				return err
			}
			if print {
				return s.show(cmd, named(bench.Variables()), func(out io.Writer) {
					export(out, bench.Variables())
					_, _ = fmt.Fprintf(out, "cd %s\n# Once: %s init -reconfigure. In the end: rm %s\n", workbench.Quoted(bench.Stack()), shell.Engine, workbench.Override)
				})
			}
			defer bench.Leave()
			return openShell(ctx, cmd, bench, args[2:])
		})}
	c.Flags().BoolVar(&print, "print", false, "print the settings as lines for a shell, and leave the override file")
	return c
}

// registryToken lets the engine in at the server's module registry, where its name can be that
// of a variable.
func registryToken(c *client.Client, host string) [][2]string {
	if host == "" || strings.Contains(host, ":") {
		return nil
	}
	return [][2]string{{"TF_TOKEN_" + strings.NewReplacer(".", "_", "-", "__").Replace(host), c.Token()}}
}

// workFolder is where the engine's data of an instance stays from one shell to the next.
func workFolder(server, project, name, stack string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	place := noName.ReplaceAllString(server+"-"+project, "-")
	dir := filepath.Join(cache, "terrace", "sandboxes", place, name, stack)
	return dir, os.MkdirAll(dir, 0o700)
}

// openShell makes a folder ready and runs a shell or a command in it.
func openShell(ctx context.Context, cmd *cobra.Command, bench workbench.Bench, command []string) error {
	engine, instance := bench.Shell.Engine, bench.Shell.Instance
	_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "Getting %s ready for %s …\n", bench.Shell.Path, instance)
	if err := bench.Run(ctx, nil, io.Discard, cmd.ErrOrStderr(), engine, "init", "-input=false", "-reconfigure", "-no-color"); err != nil {
		return exitError{exitFailed, fmt.Errorf("%s init in %s: %w", engine, bench.Stack(), err)}
	}
	if len(command) == 0 {
		command = []string{"/bin/sh"}
		if shell := os.Getenv("SHELL"); shell != "" {
			command[0] = shell
		}
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "In this shell, %s works on %s. Its end (exit) takes the settings away.\n", engine, instance)
	}
	err := bench.Run(ctx, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr(), command...)
	var exit interface{ ExitCode() int }
	if errors.As(err, &exit) {
		return exitError{max(exit.ExitCode(), exitFailed), nil}
	}
	return err
}
