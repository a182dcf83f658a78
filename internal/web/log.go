package web

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/a-h/templ"

	"github.com/terrace-cd/terrace/internal/ansi"
	"github.com/terrace-cd/terrace/internal/wire"
)

// lineLimit is where a line is broken that has no end, in bytes.
const lineLimit = 16 << 10

// logLine is one line of a run's log. Its number never changes; the text of the
// last line may still grow.
type logLine struct {
	N     int
	Phase string
	Text  string // as the runner sent it: not safe to show
	At    time.Time
}

// lines makes lines of chunks, which may break anywhere. Both the page and the stream
// do, from the first chunk on, so that a line has the same number in both.
type lines struct {
	n       int    // of the last finished line
	partial string // what follows it
	phase   string
}

// add returns the lines that a chunk finishes, begins or makes longer.
func (l *lines) add(c wire.LogChunk) []logLine {
	var out []logLine
	finish := func(text string) {
		for ; len(text) > lineLimit; text = text[cut(text):] {
			l.n++
			out = append(out, logLine{l.n, l.phase, text[:cut(text)], c.At})
		}
		l.n++
		out = append(out, logLine{l.n, l.phase, text, c.At})
	}
	if c.Phase != l.phase && l.partial != "" {
		finish(strings.TrimSuffix(l.partial, "\r"))
		l.partial = ""
	}
	l.phase = c.Phase
	// A carriage return at the very end may be half of a line break.
	text, half := strings.CutSuffix(l.partial+c.Text, "\r")
	all := ansi.Lines(text)
	for _, line := range all[:len(all)-1] {
		finish(line)
	}
	l.partial = all[len(all)-1]
	if len(l.partial) > lineLimit {
		finish(l.partial)
		l.partial = ""
	}
	if l.partial != "" {
		out = append(out, logLine{l.n + 1, l.phase, l.partial, c.At})
	}
	if half {
		l.partial += "\r"
	}
	return out
}

// cut is where a text that is too long is broken: not inside of a character.
func cut(text string) int {
	at := lineLimit
	for at > lineLimit-4 && text[at]&0xc0 == 0x80 {
		at--
	}
	return at
}

// section is a part of the log that one phase wrote without another in between.
type section struct {
	Phase string
	Lines []logLine
}

// sections are a whole log, or the newest part of it.
type sections struct {
	List  []section
	Older int                  // lines before the first one shown
	After int64                // number of the last chunk
	begun map[string]time.Time // first line of each phase
	last  string               // phase
}

// collect puts lines in their sections; of a line that grew only the newest form.
func (s *sections) collect(batch []logLine) {
	for _, line := range batch {
		if s.begun == nil {
			s.begun = map[string]time.Time{}
		}
		if _, ok := s.begun[line.Phase]; !ok {
			s.begun[line.Phase] = line.At
		}
		s.last = line.Phase
		n := len(s.List)
		if n == 0 || s.List[n-1].Phase != line.Phase {
			s.List = append(s.List, section{Phase: line.Phase})
			n++
		}
		in := &s.List[n-1]
		if m := len(in.Lines); m > 0 && in.Lines[m-1].N == line.N {
			in.Lines[m-1] = line
		} else {
			in.Lines = append(in.Lines, line)
		}
	}
}

// trim drops the oldest lines beyond limit.
func (s *sections) trim(limit int) {
	total := 0
	for _, in := range s.List {
		total += len(in.Lines)
	}
	for drop := total - limit; drop > 0; {
		first := &s.List[0]
		n := min(drop, len(first.Lines))
		first.Lines = first.Lines[n:]
		s.Older += n
		drop -= n
		if len(first.Lines) == 0 {
			s.List = s.List[1:]
		}
	}
}

// styled is a line of a log as markup: its text, escaped, and an element with classes
// for each style. templ would put white space of its own in between.
func styled(text string) templ.Component {
	return templ.ComponentFunc(func(_ context.Context, w io.Writer) error {
		for _, sp := range ansi.Spans(text) {
			out := templ.EscapeString(sp.Text)
			if c := sp.Style.Classes(); c != "" {
				out = `<b class="` + c + `">` + out + `</b>`
			}
			if _, err := io.WriteString(w, out); err != nil {
				return err
			}
		}
		return nil
	})
}
