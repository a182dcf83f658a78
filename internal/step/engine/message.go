package engine

import (
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
)

// message is one line of the engine's output with -json.
type message struct {
	Level      string      `json:"@level"`
	Text       string      `json:"@message"`
	Type       string      `json:"type"`
	Diagnostic *Diagnostic `json:"diagnostic"`
	Outputs    map[string]struct {
		Sensitive bool   `json:"sensitive"`
		Action    string `json:"action"`
	} `json:"outputs"`
}

// Diagnostic is an error or a warning of the engine.
type Diagnostic struct {
	Severity string   `json:"severity"` // "error" or "warning"
	Summary  string   `json:"summary"`
	Detail   string   `json:"detail"`
	Address  string   `json:"address,omitempty"` // of the resource
	Range    *Range   `json:"range,omitempty"`
	Snippet  *Snippet `json:"snippet,omitempty"`
}

// Range is where in the code. File is relative to the root module, as the engine says it,
// until the session makes it relative to the repository.
type Range struct {
	File  string `json:"filename"`
	Start struct {
		Line int `json:"line"`
	} `json:"start"`
}

// Snippet is the code itself.
type Snippet struct {
	Context string `json:"context"`
	Code    string `json:"code"`
	Line    int    `json:"start_line"`
}

// where names the place for a person: "stacks/web/main.tf:12", else the resource, else "".
func (d Diagnostic) where() string {
	if d.Range != nil && d.Range.File != "" {
		return d.Range.File + ":" + strconv.Itoa(d.Range.Start.Line)
	}
	return d.Address
}

// lines is the diagnostic as it looks in a log.
func (d Diagnostic) lines() []string {
	title := "Error: "
	if d.Severity == "warning" {
		title = "Warning: "
	}
	out := []string{title + d.Summary}
	if d.Address != "" {
		out = append(out, "  with "+d.Address)
	}
	if d.Range != nil && d.Range.File != "" {
		at := fmt.Sprintf("  on %s line %d", d.Range.File, d.Range.Start.Line)
		if d.Snippet != nil {
			if d.Snippet.Context != "" {
				at += ", in " + d.Snippet.Context
			}
			out = append(out, at+":")
			for i, code := range strings.Split(strings.TrimRight(d.Snippet.Code, "\n"), "\n") {
				out = append(out, fmt.Sprintf("  %4d: %s", d.Snippet.Line+i, code))
			}
		} else {
			out = append(out, at)
		}
	}
	for line := range strings.SplitSeq(strings.TrimRight(d.Detail, "\n"), "\n") {
		if line != "" || len(out) > 1 {
			out = append(out, strings.TrimRight("  "+line, " "))
		}
	}
	return out
}

// reader turns the engine's output into lines for people, and keeps its diagnostics.
type reader struct {
	mu          sync.Mutex // two streams end up in one log
	say         func(line string)
	base        string // of file names: the root module's path in the repository
	applying    bool   // the plan's changes were listed before
	diagnostics []Diagnostic
	other       tail // what is not JSON
}

// maxLine is the longest line of JSON that is understood.
const maxLine = 16 << 20

// line takes a line of standard output.
func (r *reader) line(line string) {
	var m message
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &m) != nil || m.Level == "" {
		r.plain(line)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case m.Diagnostic != nil:
		d := *m.Diagnostic
		if d.Range != nil && !path.IsAbs(d.Range.File) {
			d.Range.File = path.Join(r.base, d.Range.File)
		}
		r.diagnostics = append(r.diagnostics, d)
		for _, line := range d.lines() {
			r.say(line)
		}
	case m.Type == "version", m.Type == "planned_change" && r.applying, chatter(m.Text):
	case m.Type == "outputs":
		r.outputs(m)
	default:
		for line := range strings.SplitSeq(strings.TrimRight(m.Text, "\n"), "\n") {
			r.say(strings.TrimRight(line, "\r"))
		}
	}
}

func (r *reader) outputs(m message) {
	changed := 0
	for _, o := range m.Outputs {
		if o.Action != "" && o.Action != "noop" {
			changed++
		}
	}
	if changed > 0 {
		r.say(fmt.Sprintf("Outputs: %d to change.", changed))
	}
}

// plain takes a line that is not JSON: warnings about the configuration of the command
// line, crashes.
func (r *reader) plain(line string) {
	if strings.TrimSpace(line) == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.other.add(line)
	r.say(line)
}

// chatter is what the engine tells people at a terminal to do next.
func chatter(text string) bool {
	for _, start := range []string{"You may now begin working with", "Successfully configured the backend", "If you ever set or change modules",
		"OpenTofu has created a lock file", "Terraform has created a lock file", "Initializing the backend", "Initializing provider plugins"} {
		if strings.HasPrefix(text, start) {
			return true
		}
	}
	return strings.TrimSpace(text) == "" || strings.Contains(text, "is built in to ")
}

// errors are the diagnostics that are errors.
func (r *reader) errors() []Diagnostic {
	var out []Diagnostic
	for _, d := range r.diagnostics {
		if d.Severity == "error" {
			out = append(out, d)
		}
	}
	return out
}

// tail keeps the last lines of a text.
type tail struct{ lines []string }

const tailLines = 15

func (t *tail) add(line string) {
	const most = 500
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	if len(t.lines) == tailLines {
		t.lines = append(t.lines[:0], t.lines[1:]...)
	}
	t.lines = append(t.lines, line)
}

func (t *tail) String() string { return strings.Join(t.lines, "\n") }
