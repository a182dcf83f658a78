package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// printJSON writes what machines read.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// show prints v as JSON or lets human print it.
func (s *settings) show(cmd *cobra.Command, v any, human func(out io.Writer)) error {
	if s.json {
		return printJSON(cmd.OutOrStdout(), v)
	}
	human(cmd.OutOrStdout())
	return nil
}

// isTerminal reports whether w is a terminal that may be coloured.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd()))
}

// table prints rows in columns as wide as their widest cell, without trailing space.
func table(w io.Writer, header []string, rows [][]string) {
	widths := make([]int, len(header))
	all := append([][]string{header}, rows...)
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	colour := isTerminal(w)
	for n, row := range all {
		var line strings.Builder
		for i, cell := range row {
			text := cell
			if colour {
				text = paint(n == 0, cell)
			}
			line.WriteString(text)
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// colours of the words that things can be.
var colours = map[string]string{
	"succeeded": "32", "up_to_date": "32", "running": "34", "baking": "34", "waiting": "33", "behind": "33", "held": "33", "awaiting_approval": "33",
	"failed": "31", "errored": "31", "unknown": "35", "cancelled": "90", "superseded": "90", "never": "90",
	"queued": "34", "preparing": "34", "planning": "34", "checking": "34", "applying": "34", "provisioning": "34", "verifying": "34", "building": "34",
}

func paint(header bool, cell string) string {
	if header {
		return "\x1b[1m" + cell + "\x1b[0m"
	}
	word, _, _ := strings.Cut(cell, " ")
	if c := colours[word]; c != "" {
		return "\x1b[" + c + "m" + cell + "\x1b[0m"
	}
	return cell
}

// ago says how long ago t was, in one unit.
func ago(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := time.Since(t)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", max(0, int(d.Seconds())))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	}
	return fmt.Sprintf("%dd ago", int(d.Hours()/24))
}

func releaseText(r *wire.Release) string {
	if r == nil || r.Number == 0 {
		return ""
	}
	return fmt.Sprintf("%d (%s)", r.Number, core.ShortCommit(r.Commit))
}

func changesText(r wire.Run) string {
	c := r.Changes
	if c == (wire.Changes{}) {
		if r.NoChanges {
			return "no changes"
		}
		return ""
	}
	var parts []string
	for _, p := range []struct {
		n    int
		sign string
	}{{c.Create, "+"}, {c.Update, "~"}, {c.Replace, "±"}, {c.Delete, "-"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%s%d", p.sign, p.n))
		}
	}
	return strings.Join(parts, " ")
}

func took(from, to time.Time) string {
	if from.IsZero() {
		return ""
	}
	if to.IsZero() {
		to = time.Now()
	}
	return to.Sub(from).Round(100 * time.Millisecond).String()
}

// oneLine keeps a message inside of a table.
func oneLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
