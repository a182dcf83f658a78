package cli

import (
	"context"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/app"
	"github.com/terrace-cd/terrace/internal/demo"
	"github.com/terrace-cd/terrace/internal/demo/democloud/provider"
)

// Hidden commands that the demo's own processes are started with.
const (
	providerCommand = "demo-provider"
	hookCommand     = "demo-hook"
)

func newDemoCommand(s *settings) *cobra.Command {
	var o demo.Options
	var listen string
	c := &cobra.Command{Use: "demo", Short: "A whole world to try it in", Args: cobra.NoArgs,
		Long: "Starts a small cloud and a server on loopback, pushes an example repository through dev, staging and production,\nthen pushes a change and shows that only what it touches runs. It stays up for playing until Ctrl-C.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			o.JSON = s.json
			o.Stdout, o.Stderr = cmd.OutOrStdout(), cmd.ErrOrStderr()
			o.Exe, o.ProviderArgs, o.HookArgs = exe, []string{providerCommand}, []string{hookCommand}
			o.StartServer = func(ctx context.Context, so demo.ServerOptions) (demo.Server, error) {
				return app.Start(ctx, app.Options{Data: so.Data, Listen: listen, ProviderMirrors: []string{so.ProviderMirror}, Version: s.version,
					Log: slog.New(slog.NewTextHandler(so.Log, nil))})
			}
			return demo.Run(cmd.Context(), o)
		}}
	c.Flags().StringVar(&o.Dir, "dir", "", "keep everything in this folder, new or empty (default: a temporary one)")
	c.Flags().BoolVar(&o.Exit, "exit", false, "end after the second rollout")
	c.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address of the server")
	return c
}

func newProviderCommand() *cobra.Command {
	return &cobra.Command{Use: providerCommand, Hidden: true, Args: cobra.NoArgs, Short: "Serve the provider of the demo's cloud",
		RunE: func(cmd *cobra.Command, _ []string) error { return provider.Serve(cmd.Context()) }}
}

func newHookCommand() *cobra.Command {
	return &cobra.Command{Use: hookCommand + " URL FILE", Hidden: true, Args: cobra.ExactArgs(2), Short: "Send the webhook of the demo's repository",
		RunE: func(cmd *cobra.Command, args []string) error {
			return demo.SendHook(cmd.Context(), args[0], args[1], cmd.InOrStdin())
		}}
}
