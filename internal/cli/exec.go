package cli

import (
	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/runner"
)

// newExecCommand is what an executor starts: one attempt at one run, its orders on
// standard input.
func newExecCommand() *cobra.Command {
	return &cobra.Command{Use: "exec", Hidden: true, Args: cobra.NoArgs, Short: "Execute one run (started by an executor)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := runner.ReadOptions(cmd.InOrStdin())
			if err != nil {
				return usage(err)
			}
			return runner.Run(cmd.Context(), o)
		}}
}
