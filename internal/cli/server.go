package cli

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/app"
)

// memoryLimit is the memory, in bytes, above which the server looks for garbage before it
// takes more: a state of 100 MB is there twice while it is stored. GOMEMLIMIT changes it.
const memoryLimit = 192 << 20

// stopWithin is how long a stopping server waits for requests under way.
const stopWithin = 10 * time.Second

func newServerCommand(s *settings) *cobra.Command {
	o := app.Options{Version: s.version}
	var verbose bool
	c := &cobra.Command{Use: "server", Short: "Run the server", Args: cobra.NoArgs,
		Long: `Runs the server: API, web pages, state backend and promotion in one process.

A fresh data folder gets a database, a master key and an admin token. The token is
printed once and left in DIR/admin-token; the key is in DIR/master.key: whoever loses
it loses every state and secret. With --master-key it is elsewhere, for example in a key
management service that takes its credentials from where its own tools take them. Runs are processes of their own: stopping or killing
the server does not touch them.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			level := slog.LevelInfo
			if verbose {
				level = slog.LevelDebug
			}
			if os.Getenv("GOMEMLIMIT") == "" {
				debug.SetMemoryLimit(memoryLimit)
			}
			o.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), &slog.HandlerOptions{Level: level}))
			_, err := os.Stat(filepath.Join(o.Data, "admin-token"))
			fresh := err != nil
			a, err := app.Start(cmd.Context(), o)
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			_, _ = fmt.Fprintf(out, "Terrace %s listens on %s, data in %s\n", s.version, a.URL(), o.Data)
			if fresh && a.Token() != "" {
				_, _ = fmt.Fprintf(out, "Admin token (shown once, kept in %s): %s\n", filepath.Join(o.Data, "admin-token"), a.Token())
			}
			waitErr := a.Wait(cmd.Context())
			ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), stopWithin)
			defer cancel()
			if err := a.Close(ctx); err != nil && waitErr == nil {
				return err
			}
			return waitErr
		}}
	f := c.Flags()
	f.StringVar(&o.Data, "data", defaultData(), "folder for everything the server keeps")
	f.StringVar(&o.Listen, "listen", "127.0.0.1:8750", "address to listen on")
	f.StringVar(&o.URL, "url", "", "where runners and webhooks reach the server, when a proxy is in between (default: where it listens)")
	f.StringVar(&o.RegistryHost, "registry-host", "", "host in the sources of modules that this server's registry serves (default: the host of --url)")
	f.StringVar(&o.Database, "database", "", "database: a file or postgres://USER@HOST/NAME (default: TERRACE_DATABASE, else SQLite in the data folder)")
	f.StringVar(&o.Storage, "storage", "", "where states are kept: a folder, or s3://BUCKET?region=REGION (default: a folder in the data folder)")
	f.StringArrayVar(&o.MasterKeys, "master-key", nil, masterKeyHelp)
	f.DurationVar(&o.Poll, "poll", 30*time.Second, "how often branches are read when no webhook says so")
	f.IntVar(&o.MaxRunners, "max-runners", 0, "how many runs work at once (default: twice the processors, at least 4)")
	f.StringSliceVar(&o.ProviderMirrors, "provider-mirror", nil, "folder with providers, in the layout of a filesystem mirror (repeatable)")
	f.Int64Var(&o.KeepLogs, "keep-logs", 1<<30, "bytes of run logs to keep")
	f.IntVar(&o.KeepTrees, "keep-trees", 0, "kept work trees (default 200)")
	f.IntVar(&o.KeepMirrors, "keep-mirrors", 0, "kept mirrors of repositories (default 100)")
	f.BoolVarP(&verbose, "verbose", "v", false, "log more")
	return c
}
