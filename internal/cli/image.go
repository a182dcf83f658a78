package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/client"
)

func newImageCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "image", Short: "Images that stacks use: list, forget",
		Long: `Images are built by the command of an image block in terrace.hcl, once for all environments,
with the first release that needs them. The runs that build them are in terrace run list, as
image.NAME@ENVIRONMENT.`}
	c.AddCommand(newImageList(s), newImageForget(s))
	return c
}

func newImageList(s *settings) *cobra.Command {
	var name string
	c := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "Images that were built, newest first, and where each is", Args: cobra.NoArgs,
		Example: "  terrace image list\n  terrace image list --name web --json",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, _ []string) error {
			all, err := c.Images(ctx, project)
			if err != nil {
				return err
			}
			shown := all[:0]
			for _, im := range all {
				if name == "" || im.Name == name {
					shown = append(shown, im)
				}
			}
			return s.show(cmd, shown, func(out io.Writer) {
				if len(shown) == 0 {
					_, _ = fmt.Fprintln(out, "No image was built yet. They are built with the first release that uses them; write image blocks in terrace.hcl.")
					return
				}
				var rows [][]string
				for _, im := range shown {
					rows = append(rows, []string{im.Name, im.Digest[:min(len(im.Digest), 12)], im.ID, fmt.Sprint(im.Release.Number), im.Run, ago(im.Since), orDash(strings.Join(im.UsedIn, ", "))})
				}
				table(out, []string{"IMAGE", "DIGEST", "ID", "RELEASE", "RUN", "BUILT", "IN"}, rows)
			})
		})}
	c.Flags().StringVar(&name, "name", "", "only images of this name")
	return c
}

func newImageForget(s *settings) *cobra.Command {
	return &cobra.Command{Use: "forget NAME DIGEST|ID", Short: "Have an image built again when it is wanted next", Args: cobra.ExactArgs(2),
		Long: `Forgets that an image was built, by its digest, of which the first 8 characters are enough, or
by its id. The next run that wants it builds it again, also with nothing of it changed: for a
base with a hole, or an image that is not there any more. What has the image keeps it until
then; nothing is deleted anywhere but in Terrace. Refused while a run uses it.`,
		Example: "  terrace image forget web ami-0abc1234\n  terrace rollout start",
		RunE: s.with(func(ctx context.Context, c *client.Client, project string, cmd *cobra.Command, args []string) error {
			gone, err := c.ForgetImage(ctx, project, args[0], args[1])
			if err != nil {
				return err
			}
			return s.show(cmd, gone, func(out io.Writer) {
				for _, im := range gone {
					_, _ = fmt.Fprintf(out, "%s %s (%.12s) is forgotten. The next run that wants it builds it again: terrace rollout start\n", im.Name, im.ID, im.Digest)
				}
			})
		})}
}
