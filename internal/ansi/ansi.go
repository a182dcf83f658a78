// Package ansi makes text from strangers safe to show. What engines, playbooks and
// their providers print may hold terminal control sequences: of these, colours and
// weights are kept and everything else (moving the cursor, links, titles, clipboard,
// bells, bidirectional overrides) is taken out, so that a log cannot draw over itself,
// hide what it says, or reach the terminal of whoever reads it.
//
// Text is taken a line at a time and each line starts without colour, so one that is
// left open never spreads. A sequence that does not end ends with its line.
package ansi

import (
	"strings"
	"unicode/utf8"
)

// Colour is one of the 16 that every terminal has, or Default. Those of larger
// palettes become the nearest one.
type Colour uint8

// The colours, in the order of their codes; the bright ones follow.
const (
	Default Colour = iota
	Black
	Red
	Green
	Yellow
	Blue
	Magenta
	Cyan
	White
	bright // added to Black to White: the bright form, less one
)

// Bright is the bright form of one of the eight colours.
func (c Colour) Bright() Colour {
	if c == Default || c >= bright {
		return c
	}
	return c + bright - 1
}

// Style is how text looks. The zero value is plain.
type Style struct {
	Text, Back                            Colour
	Bold, Dim, Italic, Underline, Inverse bool
}

// Span is text in one style. The text is valid UTF-8 and its only control character
// is the tab.
type Span struct {
	Text  string
	Style Style
}

// Spans reads one line. Neighbours differ in style, none is empty.
func Spans(line string) []Span {
	var s scanner
	s.line(line)
	return s.spans
}

// Strip is the text of Spans without styles, for a whole text: line breaks are kept,
// and a carriage return that would go back over a line becomes one.
func Strip(text string) string {
	return eachLine(text, func(b *strings.Builder, line string) {
		for _, s := range Spans(line) {
			b.WriteString(s.Text)
		}
	})
}

// Terminal is Strip with styles, written as sequences of our own. It is what may be
// written to the terminal of a person.
func Terminal(text string) string {
	return eachLine(text, func(b *strings.Builder, line string) {
		for _, s := range Spans(line) {
			if s.Style == (Style{}) {
				b.WriteString(s.Text)
				continue
			}
			b.WriteString(s.Style.sequence())
			b.WriteString(s.Text)
			b.WriteString("\x1b[0m")
		}
	})
}

// Lines splits text at line breaks and at carriage returns that would go back over a
// line: nothing that was written is hidden. The last element is what follows the last
// break, "" when the text ends with one.
func Lines(text string) []string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
}

func eachLine(text string, write func(*strings.Builder, string)) string {
	var b strings.Builder
	b.Grow(len(text))
	for i, line := range Lines(text) {
		if i > 0 {
			b.WriteByte('\n')
		}
		write(&b, line)
	}
	return b.String()
}

// scanner turns a line into spans.
type scanner struct {
	spans []Span
	style Style
	text  strings.Builder
}

func (s *scanner) flush() {
	if s.text.Len() == 0 {
		return
	}
	if n := len(s.spans); n > 0 && s.spans[n-1].Style == s.style {
		s.spans[n-1].Text += s.text.String()
	} else {
		s.spans = append(s.spans, Span{Text: s.text.String(), Style: s.style})
	}
	s.text.Reset()
}

func (s *scanner) line(in string) {
	for len(in) > 0 {
		r, n := utf8.DecodeRuneInString(in)
		switch {
		case r == escape:
			in = s.escape(in[1:])
			continue
		case r == csi8:
			in = s.control(in[n:])
			continue
		case isString8(r):
			in = afterString(in[n:])
			continue
		case r == '\t' || printable(r):
			s.text.WriteRune(r) // a byte that is no UTF-8 arrives as U+FFFD
		}
		in = in[n:]
	}
	s.flush()
}

// The introducers of control sequences, as runes. Each has a form of two characters,
// ESC and a letter, and one of a single character.
const (
	escape = 0x1b
	csi8   = 0x9b
)

// isString8 reports whether r begins a device control string, a start of string, an
// operating system command, a privacy message or an application command.
func isString8(r rune) bool {
	return r == 0x90 || r == 0x98 || r == 0x9d || r == 0x9e || r == 0x9f
}

// printable leaves out control characters, and those that reorder, join or hide what
// stands around them.
func printable(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r < 0xa0: // C0, DEL, C1
	case r == 0x061c, r >= 0x200b && r <= 0x200f: // zero width, and marks of direction
	case r >= 0x202a && r <= 0x202e, r >= 0x2060 && r <= 0x206f: // overrides, isolates
	case r == 0x2028, r == 0x2029, r == 0xfeff: // separators, byte order mark
	case r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe007f: // annotations, tags
	default:
		return true
	}
	return false
}

// escape reads what follows an ESC and returns the rest of the line.
func (s *scanner) escape(in string) string {
	if in == "" {
		return ""
	}
	switch c := in[0]; {
	case c == '[':
		return s.control(in[1:])
	case c == ']' || c == 'P' || c == 'X' || c == '^' || c == '_':
		return afterString(in[1:])
	case c >= 0x20 && c <= 0x2f: // intermediates, then a final
		i := 1
		for i < len(in) && in[i] >= 0x20 && in[i] <= 0x2f {
			i++
		}
		if i < len(in) && in[i] >= 0x30 && in[i] <= 0x7e {
			i++
		}
		return in[i:]
	case c >= 0x30 && c <= 0x7e:
		return in[1:]
	}
	return in // ESC before something else stands for nothing
}

// afterString returns what follows a string's end: BEL or ST.
func afterString(in string) string {
	for i, r := range in {
		switch {
		case r == 0x07:
			return in[i+1:]
		case r == 0x9c:
			return in[i+2:] // two bytes in UTF-8
		case r == escape && strings.HasPrefix(in[i:], "\x1b\\"):
			return in[i+2:]
		}
	}
	return ""
}

// control reads a control sequence after its introducer: parameters, intermediates, a
// final character. Only "m", which sets the style, means something here.
func (s *scanner) control(in string) string {
	i := 0
	for i < len(in) && in[i] >= 0x30 && in[i] <= 0x3f {
		i++
	}
	params := in[:i]
	for i < len(in) && in[i] >= 0x20 && in[i] <= 0x2f {
		i++
	}
	if i == len(in) {
		return ""
	}
	if in[i] < 0x40 || in[i] > 0x7e {
		return in[i:] // broken off by something else
	}
	if in[i] == 'm' && len(params) == i {
		s.flush()
		s.style.set(params)
	}
	return in[i+1:]
}
