package previews

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// said is what a run of a preview found.
type said struct {
	changes wire.Changes
	plan    wire.Plan
	checks  []wire.Check
}

// comment is what a pull request is told, as Markdown of at most limit characters. What comes
// from the branch is shown as code, so that none of it is markup, a link, or calls somebody.
func comment(pv core.Preview, runs map[string]said, link string, limit int) string {
	head := title(pv, runs) + "\n"
	foot := "\n" + footer(pv, link)
	var parts []string
	switch {
	case pv.Status == core.PreviewWaiting:
		parts = append(parts, "Nothing of it was read or run: it is from a fork. A member of the project lets this commit in with `terrace preview allow "+fmt.Sprint(pv.Pull)+"`.\n")
	case pv.Status == core.PreviewRunning:
		parts = append(parts, "What it would do is being planned.\n")
	case len(pv.Environments) == 0 || pv.Status == core.PreviewCancelled || pv.Status == core.PreviewSuperseded:
		parts = append(parts, block("", pv.Why))
	default:
		parts = append(parts, table(pv, runs), first(pv, runs), refusals(pv), waits(pv))
		for _, in := range pv.Instances {
			parts = append(parts, folded(in, runs[in.Run]))
		}
	}
	return fit(head, parts, foot, limit)
}

// fit leaves out what does not fit, from the end, and says so.
func fit(head string, parts []string, foot string, limit int) string {
	const left = "\n%d more do not fit here.\n"
	room := limit - runes(head) - runes(foot) - len(left) - 8
	var b strings.Builder
	b.WriteString(head)
	for i, part := range parts {
		if part == "" {
			continue
		}
		if room -= runes(part) + 1; room < 0 {
			_, _ = fmt.Fprintf(&b, left, len(slices.DeleteFunc(slices.Clone(parts[i:]), func(s string) bool { return s == "" })))
			break
		}
		b.WriteString("\n" + part)
	}
	return b.String() + foot
}

func runes(s string) int { return len([]rune(s)) }

func title(pv core.Preview, runs map[string]said) string {
	words := map[core.PreviewStatus]string{core.PreviewWaiting: "waits for a member", core.PreviewRunning: "planning", core.PreviewErrored: "could not be planned",
		core.PreviewCancelled: "cancelled", core.PreviewSuperseded: "stopped"}[pv.Status]
	if words == "" {
		words = total(pv.Instances, runs)
	}
	if pv.Status == core.PreviewFailed {
		words = "✗ " + words
		if len(pv.Environments) == 0 {
			words = "✗ it cannot be previewed"
		}
	}
	return "### Terrace: " + pv.Project + ": " + words
}

// total is what all of some instances would do.
func total(all []core.PreviewInstance, runs map[string]said) string {
	var sum core.Changes
	count := map[core.PreviewState]int{}
	for _, in := range all {
		c := runs[in.Run].changes
		sum.Create, sum.Update, sum.Replace, sum.Delete = sum.Create+c.Create, sum.Update+c.Update, sum.Replace+c.Replace, sum.Delete+c.Delete
		count[in.State]++
	}
	var words []string
	for _, w := range []struct {
		n    int
		what string
	}{{sum.Create, "to create"}, {sum.Update, "to update"}, {sum.Replace, "to replace"}, {sum.Delete, "to destroy"}, {count[core.PreviewsRemoval], "removed"},
		{count[core.PreviewsDenied], "denied"}, {count[core.PreviewsFailed], "failed"}, {count[core.PreviewsErrored], "errored"}, {count[core.PreviewsWait], "waiting for an apply"}} {
		if w.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", w.n, w.what))
		}
	}
	if len(words) == 0 {
		return "nothing changes"
	}
	return strings.Join(words, ", ")
}

func of(pv core.Preview, environment string) []core.PreviewInstance {
	return slices.DeleteFunc(slices.Clone(pv.Instances), func(i core.PreviewInstance) bool { return i.Environment != environment })
}

func table(pv core.Preview, runs map[string]said) string {
	var b strings.Builder
	b.WriteString("| environment | what it would do | before it is applied |\n|---|---|---|\n")
	for _, e := range pv.Environments {
		asks := strings.Join(pv.Gates[e], "; ")
		_, _ = fmt.Fprintf(&b, "| %s | %s | %s |\n", e, total(of(pv, e), runs), cell(asks))
	}
	return b.String()
}

// first is what a reviewer has to see: denials and warnings, what is destroyed and replaced.
func first(pv core.Preview, runs map[string]said) string {
	var denied, warned, gone []string
	for _, in := range pv.Instances {
		name := core.InstanceName(in.Stack, in.Environment)
		for _, c := range runs[in.Run].checks {
			line := fmt.Sprintf("- **%s**: %s: %s: %s", c.Verdict, name, code(c.Name), code(c.Message))
			switch c.Verdict {
			case "deny":
				denied = append(denied, line)
			case "warn":
				warned = append(warned, line)
			}
		}
		for _, r := range runs[in.Run].plan.Resources {
			switch r.Action {
			case "delete", "forget":
				gone = append(gone, fmt.Sprintf("- %s destroys %s", name, code(r.Address)))
			case "replace":
				gone = append(gone, fmt.Sprintf("- %s replaces %s", name, code(r.Address)))
			}
		}
		if in.State == core.PreviewsRemoval {
			gone = append(gone, fmt.Sprintf("- %s is removed with all that it has (%d resources), when somebody has approved that (rule 27)", name, in.Resources))
		}
	}
	const most = 30
	all := slices.Concat(denied, warned, gone)
	if len(all) == 0 {
		return ""
	}
	if more := len(all) - most; more > 0 {
		all = append(all[:most], fmt.Sprintf("- and %d more", more))
	}
	return "**Look at this first**\n\n" + strings.Join(all, "\n") + "\n"
}

func refusals(pv core.Preview) string {
	if len(pv.Refused) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("**Refused**: this branch weakens rules. All of them hold for it, and were what it was judged by; they are gone for what comes after it.\n\n")
	for _, r := range pv.Refused {
		_, _ = fmt.Fprintf(&b, "- %s: %s\n", r.Environment, code(r.What))
	}
	return b.String()
}

func waits(pv core.Preview) string {
	var b strings.Builder
	for _, in := range pv.Instances {
		if in.State == core.PreviewsWait {
			name, why := core.InstanceName(in.Stack, in.Environment), in.Why
			if in.On != "" {
				why = "waits for " + in.On
			}
			_, _ = fmt.Fprintf(&b, "- %s: %s\n", name, code(why))
		}
	}
	if b.Len() == 0 {
		return ""
	}
	return "**Not known before an apply**\n\n" + b.String()
}

// folded is the plan of an instance.
func folded(in core.PreviewInstance, run said) string {
	name := core.InstanceName(in.Stack, in.Environment)
	var summary, body string
	switch in.State {
	case core.PreviewsPlan, core.PreviewsDenied:
		summary, body = name+": "+total([]core.PreviewInstance{in}, map[string]said{in.Run: run}), block("diff", diff(run.plan))
		if len(in.Against) > 0 {
			body = "Planned against what " + strings.Join(in.Against, ", ") + " will have as outputs.\n\n" + body
		}
	case core.PreviewsNothing:
		return "- " + name + ": no resource changes\n"
	case core.PreviewsFailed, core.PreviewsErrored:
		summary, body = name+": "+string(in.State), block("", in.Why)
	default:
		return ""
	}
	return "<details><summary>" + summary + "</summary>\n\n" + body + "\n</details>\n"
}

// diff is a plan as text.
func diff(p wire.Plan) string {
	var b strings.Builder
	signs := map[string]string{"create": "+", "delete": "-", "forget": "-", "update": "!", "replace": "!"}
	for _, r := range p.Resources {
		sign := signs[r.Action]
		if sign == "" {
			continue
		}
		_, _ = fmt.Fprintf(&b, "%s %s %s\n", sign, r.Action, r.Address)
		if r.Action == "create" {
			continue
		}
		for _, a := range r.Attrs {
			after := a.After
			if a.Unknown {
				after = "(known after apply)"
			}
			_, _ = fmt.Fprintf(&b, "      %s: %s → %s\n", a.Path, a.Before, after)
		}
	}
	for _, o := range p.Outputs {
		_, _ = fmt.Fprintf(&b, "! output %s: %s → %s\n", o.Path, o.Before, o.After)
	}
	return b.String()
}

func footer(pv core.Preview, link string) string {
	about := "commit `" + core.ShortCommit(pv.Commit) + "`"
	if pv.Target != "" {
		about += ", merged into `" + core.ShortCommit(pv.Target) + "`"
	}
	return "[All of it](" + link + ") · " + about + " · nothing here was applied\n"
}

// block shows a text as it is.
func block(language, text string) string {
	text = strings.TrimRight(shown(text), "\n")
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + language + "\n" + text + "\n" + fence + "\n"
}

// code shows a short text as it is, in a line.
func code(text string) string {
	text = strings.Join(strings.Fields(shown(text)), " ")
	if r := []rune(text); len(r) > 500 {
		text = string(r[:500]) + "…"
	}
	return "`" + strings.ReplaceAll(text, "`", "'") + "`"
}

// cell is text of ours in a table.
func cell(text string) string { return strings.ReplaceAll(text, "|", "\\|") }

// shown drops what is no text.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) {
			return -1
		}
		return r
	}, text)
}
