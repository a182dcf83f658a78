package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

func newVariablesCommand(s *settings) *cobra.Command {
	var commit string
	c := &cobra.Command{Use: "variables INSTANCE", Aliases: []string{"vars"}, Short: "An instance's variables: value, type, and where each is written", Args: cobra.ExactArgs(1),
		Long: `Lists the variables that the stack's code declares, with the values that the newest release (or
--commit) gives them there, and where each value is written: the guardrails win over inputs of
the stack, those over its var_files, those over variables of the sandbox, of the environment
and of the project, and those over what is in the stack's folder and the code's own defaults.
Sensitive values are not shown.`,
		Example: "  terrace variables web@production\n  terrace variables web@dev --commit 12 --json",
		RunE: s.onInstance(func(ctx context.Context, c *client.Client, project, environment, stack string, cmd *cobra.Command, _ []string) error {
			list, err := c.Variables(ctx, project, environment, stack, commit)
			if err != nil {
				return err
			}
			return s.show(cmd, list, func(out io.Writer) {
				if len(list.Variables) == 0 {
					_, _ = fmt.Fprintf(out, "The code of %s declares no variables.\n", list.Instance)
					return
				}
				var rows [][]string
				for _, v := range list.Variables {
					value, source := oneLine(string(v.Value)), written(v)
					switch {
					case v.Sensitive:
						value = "(sensitive)"
					case v.Default:
						value = ""
					}
					rows = append(rows, []string{v.Name, ansi.Strip(value), v.Type, source})
				}
				_, _ = fmt.Fprintf(out, "%s, release %s\n\n", list.Instance, releaseText(&list.Release))
				table(out, []string{"VARIABLE", "VALUE", "TYPE", "FROM"}, rows)
			})
		})}
	c.Flags().StringVar(&commit, "commit", "", "of this release: a commit (or the start of one) or a number (default: the newest)")
	return c
}

// written says where a value is from.
func written(v wire.Variable) string {
	source := v.Source
	if len(v.From) > 0 {
		source += " (" + strings.Join(v.From, ", ") + ")"
	}
	switch {
	case v.At == "":
		return source
	case v.Default:
		return "default in " + v.At
	case strings.HasPrefix(v.At, v.Source+":"):
		return v.At
	}
	return source + ", " + v.At
}
