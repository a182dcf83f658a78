package web

import (
	"strings"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/wire"
)

// diffLine is a line of a diff. It keeps its end: it is shown as it is.
type diffLine struct{ Class, Text string }

// diffLines says of each line of a unified diff what it is.
func diffLines(diff string) (out []diffLine) {
	for line := range strings.Lines(ansi.Strip(diff)) {
		class := "same"
		switch {
		case strings.HasPrefix(line, "+++"), strings.HasPrefix(line, "---"), strings.HasPrefix(line, "@@"):
			class = "head"
		case strings.HasPrefix(line, "+"):
			class = "added"
		case strings.HasPrefix(line, "-"):
			class = "removed"
		}
		out = append(out, diffLine{class, line})
	}
	return out
}

func hostTone(status string) tone {
	switch status {
	case "done":
		return good
	case "failed":
		return bad
	case "unreachable":
		return broken
	}
	return quiet
}

func foreseenTitle(f wire.Foreseen) string {
	for _, h := range f.Hosts {
		if h.Changed > 0 {
			return "Ansible would change"
		}
	}
	return "Ansible afterwards"
}
