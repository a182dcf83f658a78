package demo

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/wire"
)

// tone is how a cell feels; the board says it in words, too.
type tone string

const (
	calm tone = "2"  // nothing here yet, nothing to do
	good tone = "32" // up to date
	busy tone = "33" // under way, or behind
	bad  tone = "31"
)

func (t tone) paint(text string, color bool) string {
	if !color {
		return text
	}
	return "\x1b[" + string(t) + "m" + text + "\x1b[0m"
}

// board draws stacks down and environments across, and below them the rollout.
func board(status wire.Status, rollout wire.Rollout, took time.Duration, width int, color bool) []string {
	var stacks []string
	cells := map[string]wire.InstanceStatus{}
	first := len("stack")
	for _, i := range status.Instances {
		cells[i.Instance] = i
		if !slices.Contains(stacks, i.Stack) {
			stacks = append(stacks, i.Stack)
			first = max(first, utf8.RuneCountInString(i.Stack))
		}
	}
	const gap = 3
	column := 20
	if n := len(status.Environments); n > 0 {
		column = min(column, max(8, (width-first-2*gap)/n))
	}
	line := "  " + pad("stack", first+gap)
	for _, environment := range status.Environments {
		line += pad(environment, column)
	}
	lines := []string{calm.paint(strings.TrimRight(line, " "), color)}
	for _, stack := range stacks {
		line := "  " + pad(stack, first+gap)
		for _, environment := range status.Environments {
			text, t := cell(cells[stack+"@"+environment])
			line += t.paint(pad(text, column), color)
		}
		lines = append(lines, strings.TrimRight(line, " "))
	}
	var stages []string
	for _, s := range rollout.Stages {
		stages = append(stages, s.Environment+": "+s.Status)
	}
	lines = append(lines, "",
		clip(fmt.Sprintf("  release %d (%s) %s", rollout.Release.Number, short(rollout.Release.Commit), rollout.Release.Subject), width),
		clip(fmt.Sprintf("  %s, %.1f s   %s", rollout.Status, took.Seconds(), strings.Join(stages, ", ")), width))
	return lines
}

// cell is what one instance's square says, and how.
func cell(i wire.InstanceStatus) (string, tone) {
	release := ""
	if i.Release != nil {
		release = fmt.Sprintf(" %d", i.Release.Number)
	}
	switch i.State {
	case "":
		return "-", calm
	case "never":
		return "· never", calm
	case "up_to_date":
		return "● release" + release, good
	case "behind":
		return "○ release" + release + ", behind", busy
	case "running":
		phase := i.Phase
		if phase == "" {
			phase = "running"
		}
		return "◐ " + phase, busy
	case "waiting":
		return "◌ waiting", calm
	case "held":
		return "■ held", bad
	}
	return "✗ " + i.State, bad
}

func stageText(s wire.Stage) string {
	if s.Status == "waiting" && s.WaitsFor != "" {
		return "waits for " + s.WaitsFor
	}
	return s.Status
}

func pad(text string, width int) string {
	text = clip(text, width-1)
	return text + strings.Repeat(" ", max(0, width-utf8.RuneCountInString(text)))
}

func clip(text string, width int) string {
	if utf8.RuneCountInString(text) <= width || width < 1 {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}

func short(commit string) string { return commit[:min(8, len(commit))] }

// changes returns a line for everything that is otherwise in now than in before: what
// is shown where no board can be drawn.
func changes(before, now wire.Rollout) []string {
	was := map[string]string{}
	for _, s := range before.Stages {
		was[s.ID] = stageText(s)
	}
	for _, r := range before.Runs {
		was[r.ID] = r.Status
	}
	var lines []string
	for _, r := range inOrder(now.Runs) {
		if was[r.ID] != r.Status {
			text := r.Instance + " " + r.Status
			if r.Kind != "deploy" {
				text = r.Instance + " (" + r.Kind + ") " + r.Status
			}
			if r.Error != nil {
				text += ": " + r.Error.Message
			}
			lines = append(lines, text)
		}
	}
	for _, s := range now.Stages {
		if was[s.ID] != stageText(s) {
			lines = append(lines, s.Environment+": "+stageText(s))
		}
	}
	return lines
}
