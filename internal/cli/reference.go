package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// WriteReference writes every command with its flags as one Markdown page. It is what
// docs/reference/cli.md holds.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString("# Command line\n\nGenerated from the code (`go test ./internal/cli -run TestReference -update`). Every command takes the global flags; exit codes are 0 done, 1 failed, 2 wrong usage, 3 waiting on a gate.\n")
	root := newRoot("")
	b.WriteString("\n## Global flags\n\n")
	writeFlags(&b, root.PersistentFlags())
	writeCommands(&b, root)
	_, err := io.WriteString(w, b.String())
	return err
}

func writeCommands(b *strings.Builder, c *cobra.Command) {
	commands := slices.Clone(c.Commands())
	slices.SortFunc(commands, func(x, y *cobra.Command) int { return strings.Compare(x.Name(), y.Name()) })
	for _, sub := range commands {
		if sub.Hidden || sub.Name() == "help" || sub.Name() == "completion" {
			continue
		}
		if sub.HasSubCommands() {
			writeCommands(b, sub)
			continue
		}
		_, _ = fmt.Fprintf(b, "\n## %s\n\n    %s\n\n", sub.CommandPath(), sub.UseLine())
		text := sub.Long
		if text == "" {
			text = sub.Short + "."
		}
		b.WriteString(text + "\n")
		if sub.Example != "" {
			_, _ = fmt.Fprintf(b, "\n```\n%s\n```\n", strings.TrimRight(sub.Example, "\n"))
		}
		if sub.LocalFlags().HasAvailableFlags() {
			b.WriteString("\n")
			writeFlags(b, sub.LocalFlags())
		}
	}
}

func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("| flag | meaning |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "--" + f.Name
		if kind := f.Value.Type(); kind != "bool" {
			name += " " + strings.ToUpper(kind)
		}
		if f.Shorthand != "" {
			name += ", -" + f.Shorthand
		}
		usage := strings.ReplaceAll(f.Usage, "|", "\\|")
		// Defaults that depend on who generates the page are said in words.
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "[]" && !strings.HasPrefix(f.DefValue, "/") {
			usage += " (default " + f.DefValue + ")"
		}
		_, _ = fmt.Fprintf(b, "| `%s` | %s |\n", name, usage)
	})
}
