package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newProjectCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "project", Short: "Track repositories: add, list, show, remove, acknowledge, forge"}
	c.AddCommand(newProjectAdd(s), newProjectRemove(s), newProjectForge(s),
		&cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Every project", Args: cobra.NoArgs,
			RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, _ []string) error {
				all, err := c.Projects(ctx)
				if err != nil {
					return err
				}
				return s.show(cmd, all, func(out io.Writer) {
					if len(all) == 0 {
						_, _ = fmt.Fprintln(out, "No project yet. Add one: terrace project add NAME --repo URL")
						return
					}
					var rows [][]string
					for _, p := range all {
						health := "ok"
						if p.Stopped != "" {
							health = "stopped: " + oneLine(p.Stopped)
						} else if p.CheckError != "" {
							health = "cannot be read: " + oneLine(p.CheckError)
						}
						rows = append(rows, []string{p.Name, p.Repo, p.Branch, core.ShortCommit(p.Head), health})
					}
					table(out, []string{"NAME", "REPOSITORY", "BRANCH", "HEAD", "HEALTH"}, rows)
				})
			})},
		&cobra.Command{Use: "show [NAME]", Short: "One project, with its webhook", Args: cobra.MaximumNArgs(1),
			RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
				name, err := s.named(ctx, c, args)
				if err != nil {
					return err
				}
				p, err := c.Project(ctx, name)
				if err != nil {
					return err
				}
				return s.show(cmd, p, func(out io.Writer) { printProject(out, p) })
			})},
		&cobra.Command{Use: "acknowledge [NAME]", Short: "Accept a rewritten history, so that promotion goes on (rule 2)", Args: cobra.MaximumNArgs(1),
			RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
				name, err := s.named(ctx, c, args)
				if err != nil {
					return err
				}
				_, err = c.Acknowledge(ctx, name)
				return err
			})},
	)
	return c
}

// named takes a project's name from the arguments or the flags.
func (s *settings) named(ctx context.Context, c *client.Client, args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	return s.projectName(ctx, c)
}

func printProject(out io.Writer, p wire.Project) {
	_, _ = fmt.Fprintf(out, "Project     %s\nRepository  %s\nBranch      %s\nPath        %s\n", p.Name, p.Repo, p.Branch, p.Path)
	if p.Head != "" {
		_, _ = fmt.Fprintf(out, "Head        %s\n", p.Head)
	}
	if p.Stopped != "" {
		_, _ = fmt.Fprintf(out, "Stopped     %s\n", p.Stopped)
	}
	if p.CheckError != "" {
		_, _ = fmt.Fprintf(out, "Unreadable  %s\n", p.CheckError)
	}
	if p.Forge != nil {
		_, _ = fmt.Fprintf(out, "Forge       %s at %s (%s)\n", p.Forge.Repo, p.Forge.URL, p.Forge.Kind)
		if p.Forge.Trouble != "" {
			_, _ = fmt.Fprintf(out, "Trouble     %s\n", p.Forge.Trouble)
		}
	}
	if p.Webhook != nil {
		_, _ = fmt.Fprintf(out, "Webhook     %s\nSecret      %s\n", p.Webhook.URL, p.Webhook.Secret)
	}
}

func newProjectAdd(s *settings) *cobra.Command {
	var in wire.AddProject
	var hosted wire.SetForge
	var login func(*cobra.Command, *wire.SetForge) error
	c := &cobra.Command{Use: "add NAME --repo URL", Short: "Track a repository and start its first rollout", Args: cobra.ExactArgs(1),
		Long: `Tracks a branch of a repository. With --forge the server reads it with a token of the place that
hosts it, which is read from standard input, previews its pull requests and tells them: as
terrace project forge does for a project that is there already.`,
		Example: "  terrace project add shop --repo https://git.example.com/shop/infrastructure.git\n  terrace project add shop --repo https://git.example.com/shop/infrastructure.git --forge gitea < token",
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			in.Name = args[0]
			if info, err := os.Stat(in.Repo); err == nil && info.IsDir() {
				// The server's working folder is not ours.
				if in.Repo, err = filepath.Abs(in.Repo); err != nil {
					return err
				}
			}
			if hosted.Kind != "" {
				if err := login(cmd, &hosted); err != nil {
					return err
				}
				in.Forge = &hosted
			}
			p, err := c.AddProject(ctx, in)
			if err != nil {
				return err
			}
			return s.show(cmd, p, func(out io.Writer) {
				printProject(out, p)
				_, _ = fmt.Fprintf(out, "\nIts newest commit is on its way: terrace rollout watch --project %s\nA push is noticed at once when the repository calls the webhook, see docs/how-to/webhook.md.\n", p.Name)
			})
		})}
	c.Flags().StringVar(&in.Repo, "repo", "", "the repository, as git clone takes it")
	c.Flags().StringVar(&in.Branch, "branch", "", "the branch to track (default: the repository's own)")
	c.Flags().StringVar(&in.Path, "path", ".", "the directory of terrace.hcl")
	c.Flags().StringVar(&hosted.Kind, "forge", "", "github, gitlab or gitea (Forgejo, too): read the repository, and preview its pull requests, with a token")
	login = loginFlags(c)
	_ = c.MarkFlagRequired("repo")
	return c
}

func newProjectRemove(s *settings) *cobra.Command {
	var force, yes bool
	c := &cobra.Command{Use: "remove NAME", Aliases: []string{"rm"}, Short: "Forget a project; destroys no infrastructure", Args: cobra.ExactArgs(1),
		RunE: s.withClient(func(ctx context.Context, c *client.Client, cmd *cobra.Command, args []string) error {
			if err := confirm(cmd, yes, fmt.Sprintf("Forget project %s with its releases, runs and states? Its infrastructure stays.", args[0])); err != nil {
				return err
			}
			if err := c.RemoveProject(ctx, args[0], force); err != nil {
				return err
			}
			return s.show(cmd, map[string]string{"removed": args[0]}, func(out io.Writer) { _, _ = fmt.Fprintf(out, "Forgot %s.\n", args[0]) })
		})}
	c.Flags().BoolVar(&force, "force", false, "also when states still have resources")
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}
