package config

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hcled"
	"github.com/rivo/uniseg"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// maxRendered bounds what is printed: one mistake in a module that thousands of stacks
// use must not bury the rest.
const maxRendered = 100

// Problem is a diagnostic for machines.
type Problem struct {
	Severity  string `json:"severity"` // "error" or "warning"
	Summary   string `json:"summary"`
	Detail    string `json:"detail"`
	File      string `json:"file,omitempty"`
	Line      int    `json:"line,omitempty"`
	Column    int    `json:"column,omitempty"`
	EndLine   int    `json:"end_line,omitempty"`
	EndColumn int    `json:"end_column,omitempty"`
}

// Problems returns diagnostics for machines.
func Problems(diags hcl.Diagnostics) []Problem {
	out := make([]Problem, 0, len(diags))
	for _, d := range diags {
		p := Problem{Severity: severity(d), Summary: d.Summary, Detail: d.Detail}
		if d.Subject != nil {
			p.File, p.Line, p.Column = d.Subject.Filename, d.Subject.Start.Line, d.Subject.Start.Column
			p.EndLine, p.EndColumn = d.Subject.End.Line, d.Subject.End.Column
		}
		out = append(out, p)
	}
	return out
}

func severity(d *hcl.Diagnostic) string {
	if d.Severity == hcl.DiagWarning {
		return "warning"
	}
	return "error"
}

// Render writes diagnostics for a person: what is wrong, where, the lines with a mark
// under the place, and what to do. Control characters of the files are not passed on.
func Render(diags hcl.Diagnostics, tree Tree, color bool) string {
	r := renderer{tree: tree, color: color, files: map[string]*rendered{}}
	for i, d := range diags {
		if i == maxRendered {
			fmt.Fprintf(&r.out, "%d more problems are not shown.\n", len(diags)-maxRendered)
			break
		}
		r.diagnostic(d)
	}
	return r.out.String()
}

type renderer struct {
	tree  Tree
	color bool
	out   strings.Builder
	files map[string]*rendered
}

// rendered is a file that an excerpt is taken of.
type rendered struct {
	lines [][]byte
	file  *hcl.File
}

const (
	bold   = "1"
	red    = "1;31"
	yellow = "1;33"
)

func (r *renderer) paint(code, s string) string {
	if !r.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (r *renderer) diagnostic(d *hcl.Diagnostic) {
	word, code := "Error", red
	if d.Severity == hcl.DiagWarning {
		word, code = "Warning", yellow
	}
	fmt.Fprintf(&r.out, "%s %s\n", r.paint(code, word+":"), r.paint(bold, printable(d.Summary)))
	if d.Subject != nil {
		r.excerpt(*d.Subject, code)
	}
	if d.Detail != "" {
		for line := range strings.SplitSeq(strings.TrimSpace(d.Detail), "\n") {
			for _, l := range wrap(printable(line), 96) {
				fmt.Fprintf(&r.out, "  %s\n", l)
			}
		}
	}
	r.out.WriteByte('\n')
}

func (r *renderer) excerpt(rng hcl.Range, code string) {
	f := r.open(rng.Filename)
	context := ""
	if f.file != nil {
		if c := hcled.ContextString(f.file, rng.Start.Byte); c != "" {
			context = ", in " + c
		}
	}
	if rng.Start == hcl.InitialPos && rng.End == hcl.InitialPos {
		fmt.Fprintf(&r.out, "  %s\n", printable(rng.Filename)) // the file as a whole
		return
	}
	fmt.Fprintf(&r.out, "  %s:%d:%d%s\n", printable(rng.Filename), rng.Start.Line, rng.Start.Column, printable(context))
	i := rng.Start.Line - 1
	if i < 0 || i >= len(f.lines) || len(bytes.TrimSpace(f.lines[i])) == 0 {
		return
	}
	const maxLine = 200
	// The byte offset in the line; columns count what a reader sees.
	line := f.lines[i]
	before := columns(line, rng.Start.Column-1)
	length := max(1, rng.End.Column-rng.Start.Column)
	text := printable(string(line))
	if rng.End.Line > rng.Start.Line {
		length = max(1, uniseg.StringWidth(text)-before)
	}
	if before+length > maxLine || len(text) > 4*maxLine {
		return // a mark under the middle of an endless line helps nobody
	}
	number := fmt.Sprintf("%5d", rng.Start.Line)
	fmt.Fprintf(&r.out, "%s | %s\n", number, strings.TrimRight(text, " "))
	fmt.Fprintf(&r.out, "%s | %s%s\n", strings.Repeat(" ", len(number)), strings.Repeat(" ", before), r.paint(code, strings.Repeat("^", length)))
}

// columns is the width of the first n characters of a line as printable shows it.
func columns(line []byte, n int) int {
	width := 0
	g := uniseg.NewGraphemes(string(line))
	for range n {
		if !g.Next() {
			break
		}
		width += uniseg.StringWidth(printable(g.Str()))
	}
	return width
}

func (r *renderer) open(name string) *rendered {
	if f := r.files[name]; f != nil {
		return f
	}
	f := &rendered{}
	r.files[name] = f
	src, err := r.tree.ReadFile(name)
	if err != nil || len(src) > maxFileSize {
		return f
	}
	f.lines = bytes.Split(src, []byte("\n"))
	if !strings.HasSuffix(name, ".json") {
		f.file, _ = parse(name, src)
	}
	return f
}

// printable replaces what a terminal would act on.
func printable(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\t':
			return ' '
		case c == '\r' || c == '\n':
			return -1
		case unicode.IsControl(c), unicode.Is(unicode.Bidi_Control, c):
			return '\uFFFD'
		}
		return c
	}, s)
}

// wrap breaks a line at spaces.
func wrap(s string, width int) []string {
	var out []string
	line := ""
	for _, word := range strings.Fields(s) {
		if line != "" && uniseg.StringWidth(line)+1+uniseg.StringWidth(word) > width {
			out = append(out, line)
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return append(out, line)
}
