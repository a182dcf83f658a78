package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/terrace-cd/terrace/internal/app"
)

// place is where the installation is that data flags name.
func place(o app.Options) app.Place {
	return app.Place{Database: cmp.Or(o.Database, os.Getenv("TERRACE_DATABASE"), filepath.Join(o.Data, "terrace.db")),
		Storage: cmp.Or(o.Storage, filepath.Join(o.Data, "blobs"))}
}

func keyFile(o app.Options) string { return filepath.Join(o.Data, "master.key") }

// progress says on standard error what is being done.
func progress(cmd *cobra.Command) app.Progress {
	return func(format string, args ...any) { _, _ = fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...) }
}

func (s *settings) showTransferred(cmd *cobra.Command, done app.Transferred, last string) error {
	return s.show(cmd, done, func(out io.Writer) {
		var rows int64
		for _, n := range done.Rows {
			rows += n
		}
		_, _ = fmt.Fprintf(out, "%d rows in %d tables, every one read again and equal; the audit log verified up to event %d (%.12s…).\n", rows, len(done.Rows), done.Event, done.EventHash)
		if done.Blobs > 0 {
			_, _ = fmt.Fprintf(out, "%d blobs (%d bytes), every one read again and equal.\n", done.Blobs, done.Bytes)
		}
		_, _ = fmt.Fprintln(out, last)
	})
}

func newAdminCopy(s *settings) *cobra.Command {
	var from, to app.Place
	var keep bool
	c := &cobra.Command{Use: "copy --from DATABASE --to DATABASE", Short: "Move a server's database, for example from SQLite to PostgreSQL", Args: cobra.NoArgs,
		Long: `Copies every row into an empty database and proves it: each table is read again and
compared by a digest, the audit chain is verified. The server may be running: the old
database refuses every write from the moment when the copy is complete, so nothing is
lost in between; runners keep what they have until a server answers again. Then start
the server with --database and the new one.

With --keep the old database stays in use and the copy is one of a moment. With
--from-storage and --to-storage the states are copied, too.`,
		Example: `  terrace admin copy --from /var/lib/terrace/terrace.db --to postgres://terrace@db.example.com/terrace
  terrace admin copy --from terrace.db --to postgres://… --from-storage blobs --to-storage 's3://states?region=eu-west-1'`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if (from.Storage == "") != (to.Storage == "") {
				return usage(fmt.Errorf("--from-storage and --to-storage go together"))
			}
			done, err := app.Copy(cmd.Context(), from, to, !keep, progress(cmd))
			if err != nil {
				return err
			}
			last := "Moved. Start the server with --database and the new one; the old one refuses writes from now on."
			if keep {
				last = "Copied. The old database is in use as before."
			}
			return s.showTransferred(cmd, done, last)
		}}
	f := c.Flags()
	f.StringVar(&from.Database, "from", "", "the database now: a file, or postgres://…")
	f.StringVar(&to.Database, "to", "", "an empty database: a file, or postgres://…")
	f.StringVar(&from.Storage, "from-storage", "", "the storage now: a folder, or s3://…")
	f.StringVar(&to.Storage, "to-storage", "", "a storage to copy the states to")
	f.BoolVar(&keep, "keep", false, "leave the old database in use")
	_ = c.MarkFlagRequired("from") // the flag exists
	_ = c.MarkFlagRequired("to")   // the flag exists
	return c
}

func newAdminBackup(s *settings) *cobra.Command {
	var from app.Options
	var withKey bool
	c := &cobra.Command{Use: "backup DIR", Short: "Write a consistent copy of everything into a new folder", Args: cobra.ExactArgs(1),
		Long: `Writes a consistent copy of the database and of the states that it names into a new
folder, which appears when it is complete. The server may be running. Without --with-key
the backup does not hold the master key: keep that elsewhere, the backup cannot be read
without it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			key := ""
			if withKey {
				key = keyFile(from)
			}
			m, err := app.Backup(cmd.Context(), place(from), key, args[0], s.version, progress(cmd))
			if err != nil {
				return err
			}
			last := "The backup is in " + args[0] + "."
			if !withKey {
				last += " It needs the master key (" + keyFile(from) + "), which is not in it."
			}
			return s.showTransferred(cmd, m.Transferred, last)
		}}
	dataFlags(c, &from)
	c.Flags().BoolVar(&withKey, "with-key", false, "include the master key: whoever has the backup can read every state and secret")
	return c
}

func newAdminRestore(s *settings) *cobra.Command {
	var to app.Options
	var noHold bool
	c := &cobra.Command{Use: "restore DIR", Short: "Bring a backup back into an empty place", Args: cobra.ExactArgs(1),
		Long: `Brings a backup back into a database that is empty, and a storage. What happened after
the backup was made is not known to it, while the infrastructure is as it is. So every
environment is held until a person has looked: compare (terrace status, a plan), then
terrace unhold ENVIRONMENT. States in the storage that are newer than the backup are found
when the server starts; they go to the recovery slots.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := app.Restore(cmd.Context(), args[0], place(to), keyFile(to), !noHold, progress(cmd))
			if err != nil {
				return err
			}
			last := "Restored. Start the server."
			if len(done.Held) > 0 {
				last = fmt.Sprintf("Restored. %d environments are held: look at each, then terrace unhold ENVIRONMENT. Start the server.", len(done.Held))
			}
			if _, err := os.Stat(keyFile(to)); err != nil {
				last += " Before that, put the master key in " + keyFile(to) + ", or name it with terrace server --master-key."
			}
			return s.showTransferred(cmd, done, last)
		}}
	dataFlags(c, &to)
	c.Flags().BoolVar(&noHold, "no-hold", false, "do not hold the environments: the next commit goes through them")
	return c
}
