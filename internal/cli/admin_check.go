package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/app"
)

// newAdminCommand holds what is done to a server's data, not through its API.
func newAdminCommand(s *settings) *cobra.Command {
	c := &cobra.Command{Use: "admin", Short: "Look after a server's data",
		Long: "Commands on a server's data itself, for the machine that has it. They need the data folder\nwith its master key, and no token."}
	c.AddCommand(newAdminCheck(s), newAdminCopy(s), newAdminBackup(s), newAdminRestore(s))
	return c
}

// dataFlags are those that say where a server's data is, as for the server itself.
func dataFlags(c *cobra.Command, o *app.Options) {
	f := c.Flags()
	f.StringVar(&o.Data, "data", defaultData(), "the server's data folder")
	f.StringVar(&o.Database, "database", "", "its database (TERRACE_DATABASE; default: SQLite in the data folder)")
	f.StringVar(&o.Storage, "storage", "", "where it keeps states (default: a folder in the data folder)")
}

const masterKeyHelp = "master key: file:PATH, env:VARIABLE or a key service's URL such as awskms://alias/terrace?region=eu-west-1; repeatable, the first one is used anew (default: the variable TERRACE_MASTER_KEY, else master.key in the data folder)"

func newAdminCheck(s *settings) *cobra.Command {
	var o app.Options
	c := &cobra.Command{Use: "check", Short: "Compare what is stored with what the database says", Args: cobra.NoArgs,
		Long: `Reads everything that a server stored and compares it with its database: that every
state is there, opens, and is the one its row describes; that everything encrypted in the
database opens; that nobody changed the audit log. It changes nothing and may run beside
the server. It exits with 1 when something is wrong, and names each thing with what to do.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			told := false
			report, err := app.Check(cmd.Context(), o, func(done int64) {
				told = true
				_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "\rchecked %d", done)
			})
			if told {
				_, _ = fmt.Fprintln(cmd.ErrOrStderr())
			}
			if err != nil {
				return err
			}
			if err := s.show(cmd, report, func(out io.Writer) { printCheck(out, report) }); err != nil {
				return err
			}
			if len(report.Problems) > 0 {
				return exitError{code: exitFailed}
			}
			return nil
		}}
	dataFlags(c, &o)
	c.Flags().StringArrayVar(&o.MasterKeys, "master-key", nil, masterKeyHelp)
	return c
}

func printCheck(out io.Writer, r app.CheckReport) {
	for _, p := range r.Problems {
		name := []string{p.What}
		if p.Project != "" {
			name = append(name, "of "+p.Project+":")
		}
		if p.Instance != "" {
			name = append(name, p.Instance)
		}
		switch {
		case p.What == "kept state":
			name = append(name, fmt.Sprintf("entry %d (serial %d)", p.Version, p.Serial))
		case p.Version != 0 && p.Current:
			name = append(name, fmt.Sprintf("version %d (serial %d, the current one)", p.Version, p.Serial))
		case p.Version != 0:
			name = append(name, fmt.Sprintf("version %d (serial %d)", p.Version, p.Serial))
		}
		if p.Name != "" {
			name = append(name, p.Name)
		}
		_, _ = fmt.Fprintf(out, "%s\n  why: %s\n", strings.Join(name, " "), p.Why)
		if p.Blob != "" {
			_, _ = fmt.Fprintf(out, "  blob: %s\n", p.Blob)
		}
		_, _ = fmt.Fprintf(out, "  do: %s\n\n", p.Do)
	}
	_, _ = fmt.Fprintf(out, "Checked %d state versions, %d kept states, %d documents, %d secrets, %d events (the last one is %s).\n", r.States, r.Kept, r.Documents, r.Secrets, r.Events, r.EventsHash)
	_, _ = fmt.Fprintf(out, "The storage has %d blobs; %d of them (%d bytes) are named by nothing and will be collected.\n", r.Blobs, r.Orphans, r.OrphanBytes)
	switch n := len(r.Problems); n {
	case 0:
		_, _ = fmt.Fprintln(out, "Everything is as it should be.")
	case 1:
		_, _ = fmt.Fprintln(out, "1 thing is wrong.")
	default:
		_, _ = fmt.Fprintf(out, "%d things are wrong.\n", n)
	}
}
