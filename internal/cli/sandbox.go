package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
	"github.com/terrace-cd/terrace/internal/workbench"
)

func newSandboxCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "sandbox", Short: "Sandboxes: create, list, shell, set, extend, destroy",
		Long: `A sandbox is your own copy of an environment, for one branch: with states, locks and secrets
of its own, and an end. Every push to the branch is applied there. It feeds no promotion, and
what is not in it is read from its base and never written.

In a sandbox everything is named as in an environment: web@NAME.`}
	c.AddCommand(newSandboxCreate(s), newSandboxList(s), newSandboxShell(s), newSandboxSet(s), newSandboxExtend(s), newSandboxDestroy(s))
	return c
}

func newSandboxCreate(s *settings) *cobra.Command {
	var ask wire.CreateSandbox
	var lifetime, timeout time.Duration
	var variables []string
	var wait bool
	c := &cobra.Command{Use: "create [NAME]", Short: "Make a sandbox, and apply the newest commit of a branch there", Args: cobra.MaximumNArgs(1),
		Long: `Makes a copy of the base under the name of the sandbox, with the variables of the base, and
applies the newest commit of the branch there; from then on, every push to it. With --var it
has values of its own. The branch is
the one that is checked out here, else the project's; the name comes from the branch. With
--stacks only those are in the sandbox, and the outputs of others are the base's.

Secrets are never the base's: terrace secret set NAME SECRET for this sandbox, or
terrace secret set sandboxes SECRET for all sandboxes of the project.`,
		Example: "  terrace sandbox create --base dev\n  terrace sandbox create ana-try --base staging --branch bigger-servers --stacks web --for 2h --wait\n  terrace sandbox create --base dev --var servers=1 --var 'zones=[\"a\"]'",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			var err error
			if ask.Variables, err = assignments(variables); err != nil {
				return err
			}
			if ask.Branch == "" {
				ask.Branch = workbench.Branch(ctx, ".")
			}
			if ask.Base == "" {
				p, err := c.Project(ctx, project)
				if err != nil {
					return err
				}
				if len(p.Environments) == 0 {
					return usage(core.Errorf(core.Invalid, "say of which environment it is a copy: --base"))
				}
				ask.Base = p.Environments[0]
			}
			if ask.Name = sandboxName(ask.Branch); len(args) > 0 {
				ask.Name = args[0]
			}
			if ask.Name == "" {
				return usage(core.Errorf(core.Invalid, "a sandbox needs a name: terrace sandbox create NAME"))
			}
			if lifetime != 0 {
				ask.For = lifetime.String()
			}
			box, err := c.CreateSandbox(ctx, project, ask)
			if err != nil {
				return err
			}
			if !wait || box.Rollout == "" {
				return s.show(cmd, box, func(out io.Writer) {
					_, _ = fmt.Fprintf(out, "%s is a copy of %s for the branch %s, until %s.\nLook: terrace sandbox list. Work there: terrace sandbox shell %[1]s STACK. End it: terrace sandbox destroy %[1]s\n",
						box.Name, box.Base, box.Branch, clock(box.Expires))
				})
			}
			return s.watch(ctx, c, cmd, box.Rollout, timeout)
		})}
	f := c.Flags()
	f.StringVar(&ask.Base, "base", "", "the environment that it is a copy of (default: the first)")
	f.StringVar(&ask.Branch, "branch", "", "whose commits are applied (default: the one checked out here)")
	f.StringSliceVar(&ask.Stacks, "stacks", nil, "only these stacks, separated by commas (default: all of the base)")
	f.DurationVar(&lifetime, "for", 0, "how long it lasts (default 8h)")
	f.StringArrayVar(&variables, "var", nil, "NAME=VALUE of a variable in the sandbox; JSON, unless its stack wants a string (repeatable)")
	f.BoolVar(&wait, "wait", false, "show progress and wait until the first commit is applied")
	f.DurationVar(&timeout, "timeout", 0, "give up waiting after this long (it goes on)")
	return c
}

var noName = regexp.MustCompile(`[^A-Za-z0-9_-]+`)

// sandboxName makes a name of a branch's.
func sandboxName(branch string) string {
	const most = 40
	name := strings.Trim(noName.ReplaceAllString(branch, "-"), "-_")
	return strings.Trim(name[:min(len(name), most)], "-_")
}

func clock(t time.Time) string { return t.Local().Format("15:04 on 2 January") }

func newSandboxList(s *settings) *cobra.Command {
	return &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "The sandboxes of a project: whose, for what, how they stand, until when", Args: cobra.NoArgs,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			all, err := c.Sandboxes(ctx, project)
			if err != nil {
				return err
			}
			return s.show(cmd, all, func(out io.Writer) {
				if len(all) == 0 {
					_, _ = fmt.Fprintf(out, "No sandboxes. Your own copy of an environment, for a branch: terrace sandbox create --base ENVIRONMENT\n")
					return
				}
				var rows [][]string
				for _, b := range all {
					stacks, release := "all", ""
					if len(b.Stacks) > 0 {
						stacks = strings.Join(b.Stacks, ",")
					}
					if b.Release != nil {
						release = core.ShortCommit(b.Release.Commit)
					}
					rows = append(rows, []string{b.Name, b.Base, stacks, b.Branch, release, b.Status, strings.TrimPrefix(b.Owner, "user:"), clock(b.Expires)})
				}
				table(out, []string{"SANDBOX", "BASE", "STACKS", "BRANCH", "COMMIT", "STATUS", "OWNER", "UNTIL"}, rows)
				for _, b := range all {
					if b.Reason != "" {
						_, _ = fmt.Fprintf(out, "\n%s: %s\n", b.Name, ansi.Strip(b.Reason))
					}
				}
			})
		})}
}

// assignments reads NAME=VALUE.
func assignments(all []string) (map[string]string, error) {
	var out map[string]string
	for _, text := range all {
		name, value, ok := strings.Cut(text, "=")
		if _, twice := out[name]; !ok || name == "" || twice {
			return nil, usage(core.Errorf(core.Invalid, "--var %q: write NAME=VALUE, each name once", text))
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	return out, nil
}

func newSandboxSet(s *settings) *cobra.Command {
	var variables []string
	var ask wire.SetSandbox
	var timeout time.Duration
	var wait bool
	c := &cobra.Command{Use: "set NAME", Short: "Give variables of a sandbox values of its own, and apply them", Args: cobra.ExactArgs(1),
		Example: "  terrace sandbox set ana-try --var servers=3\n  terrace sandbox set ana-try --unset servers --wait",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			var err error
			if ask.Variables, err = assignments(variables); err != nil {
				return err
			}
			if len(ask.Variables)+len(ask.Unset) == 0 {
				return usage(core.Errorf(core.Invalid, "say what to set: --var NAME=VALUE, or --unset NAME"))
			}
			box, err := c.SetSandbox(ctx, project, args[0], ask)
			if err != nil {
				return err
			}
			if !wait || box.Rollout == "" {
				return s.show(cmd, box, func(out io.Writer) {
					_, _ = fmt.Fprintf(out, "%s applies its newest commit with that. Look: terrace variables STACK@%[1]s\n", box.Name)
				})
			}
			return s.watch(ctx, c, cmd, box.Rollout, timeout)
		})}
	f := c.Flags()
	f.StringArrayVar(&variables, "var", nil, "NAME=VALUE; JSON, unless its stack wants a string (repeatable)")
	f.StringSliceVar(&ask.Unset, "unset", nil, "names whose value is the base's again, separated by commas")
	f.BoolVar(&wait, "wait", false, "show progress and wait until it is applied")
	f.DurationVar(&timeout, "timeout", 0, "give up waiting after this long (it goes on)")
	return c
}

func newSandboxExtend(s *settings) *cobra.Command {
	var lifetime time.Duration
	c := &cobra.Command{Use: "extend NAME", Short: "Let a sandbox last longer, from now on", Args: cobra.ExactArgs(1), Example: "  terrace sandbox extend ana-try --for 4h",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			box, err := c.ExtendSandbox(ctx, project, args[0], wire.ExtendSandbox{For: lifetime.String()})
			if err != nil {
				return err
			}
			return s.show(cmd, box, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s lasts until %s.\n", box.Name, clock(box.Expires))
			})
		})}
	c.Flags().DurationVar(&lifetime, "for", 8*time.Hour, "how long from now on")
	return c
}

func newSandboxDestroy(s *settings) *cobra.Command {
	var yes, wait bool
	var timeout time.Duration
	c := &cobra.Command{Use: "destroy NAME", Short: "Destroy all that is in a sandbox, and forget it", Args: cobra.ExactArgs(1),
		Long: `Stops what is under way in the sandbox, destroys all that is in its states, and then forgets
it. A destruction that fails is shown in terrace sandbox list, and tried again, after longer
and longer; asking again tries it at once.`,
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			if err := confirm(cmd, yes, fmt.Sprintf("Destroy all that is in the sandbox %s of %s?", args[0], project)); err != nil {
				return err
			}
			box, err := c.DestroySandbox(ctx, project, args[0])
			if err != nil {
				return err
			}
			if wait {
				return s.awaitGone(ctx, c, cmd, project, box, timeout)
			}
			return s.show(cmd, box, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s is being destroyed. Follow it: terrace sandbox list\n", box.Name)
			})
		})}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	c.Flags().BoolVar(&wait, "wait", false, "wait until it is gone")
	c.Flags().DurationVar(&timeout, "timeout", 0, "give up waiting after this long (it goes on)")
	return c
}

// awaitGone waits until a sandbox is forgotten, or its destruction failed.
func (s *settings) awaitGone(ctx context.Context, c *client.Client, cmd *cobra.Command, project string, box wire.Sandbox, timeout time.Duration) error {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	said := ""
	for {
		now, err := c.Sandbox(ctx, project, box.Name)
		var refused *client.Error
		switch {
		case errors.As(err, &refused) && refused.Code == string(core.NotFound):
			return s.show(cmd, map[string]string{"destroyed": box.Name}, func(out io.Writer) {
				_, _ = fmt.Fprintf(out, "%s is gone, and nothing of it is left.\n", box.Name)
			})
		case err != nil && ctx.Err() == nil:
			return err
		case err == nil && now.Reason != said:
			said = now.Reason
			_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s  %s\n", time.Now().Format("15:04:05"), ansi.Strip(said))
		}
		if strings.Contains(said, "destroying it failed") {
			return exitError{exitFailed, fmt.Errorf("%s is still there: %s", box.Name, said)}
		}
		select {
		case <-ctx.Done():
			return exitError{exitWaiting, fmt.Errorf("%s is still being destroyed; follow it: terrace sandbox list", box.Name)}
		case <-time.After(watchEvery):
		}
	}
}
