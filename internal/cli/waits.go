package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// printWaits lists all that something waits for: what, since when, until when, and what ends it.
func printWaits(out io.Writer, indent string, waits []wire.Wait) {
	for _, w := range waits {
		_, _ = fmt.Fprintf(out, "%s- %s\n", indent, ansi.Strip(w.What))
		facts := []string{w.Gate}
		if !w.Since.IsZero() {
			facts = append(facts, "since "+ago(w.Since))
		}
		if left := time.Until(w.Until); !w.Until.IsZero() && left > 0 {
			facts = append(facts, "ends in "+left.Round(time.Second).String())
		}
		if len(w.Who) > 0 {
			facts = append(facts, "from "+strings.Join(w.Who, ", "))
		}
		_, _ = fmt.Fprintf(out, "%s  %s\n", indent, strings.Join(facts, ", "))
		if w.OpensBy != "" {
			_, _ = fmt.Fprintf(out, "%s  opens by: %s\n", indent, ansi.Strip(w.OpensBy))
		}
	}
}

// printExplained says of each stage of a rollout what it waits for, and what people skipped.
func printExplained(out io.Writer, ro wire.Rollout) {
	over := core.RolloutStatus(ro.Status).Terminal()
	for _, st := range ro.Stages {
		if len(st.Waits) > 0 && !over && !core.StageStatus(st.Status).Terminal() {
			_, _ = fmt.Fprintf(out, "\n%s (%s) waits for\n", st.Environment, st.Status)
			printWaits(out, "  ", st.Waits)
		}
		for _, s := range st.Skips {
			_, _ = fmt.Fprintf(out, "\n%s: %s\n", st.Environment, skipText(s))
		}
	}
}

func skipText(s wire.Skip) string {
	text := fmt.Sprintf("%s skipped %s, %s: %s", s.By, strings.Join(s.Gates, ", "), ago(s.At), oneLine(ansi.Strip(s.Reason)))
	if s.Second != "" {
		text += fmt.Sprintf(" (%s agreed, %s)", s.Second, ago(s.SecondAt))
	}
	return text
}

// waitsText is all that a stage waits for in one line.
func waitsText(st wire.Stage) string {
	if len(st.Waits) == 0 {
		return st.WaitsFor
	}
	var texts []string
	for _, w := range st.Waits {
		texts = append(texts, oneLine(ansi.Strip(w.What)))
	}
	return strings.Join(texts, "; and for ")
}

// printWaiting says what keeps each environment: its newest release that waits for more than
// to be verified before, and what is there.
func printWaiting(out io.Writer, all []wire.StageWaits) {
	said := map[string]bool{}
	for _, w := range all {
		key := w.Environment + " " + w.Status
		onTheWay := !slices.ContainsFunc(w.Waits, func(wait wire.Wait) bool {
			return wait.Gate != "upstream" && wait.Gate != "lease" && wait.Gate != "order"
		})
		if said[key] || onTheWay {
			continue
		}
		said[key] = true
		_, _ = fmt.Fprintf(out, "\nRelease %s in %s (%s) waits for\n", releaseText(&w.Release), w.Environment, w.Status)
		printWaits(out, "  ", w.Waits)
	}
}
