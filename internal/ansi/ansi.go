// Package ansi makes terminal output harmless. A log is written by other people's
// programs and read in a terminal or a page: of its escape sequences only colours
// (SGR) may stay. Cursor movements, titles, hyperlinks and every other sequence,
// whole or truncated, are dropped, as are control characters but tab and newline.
package ansi

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Segment is a stretch of text in one style.
type Segment struct {
	Text  string
	Style Style
}

// Style is what SGR sequences set. The zero value is plain.
type Style struct {
	Bold, Dim, Italic, Underline bool
	// Color is 0 for none, else 30-37 or 90-97, as SGR numbers foreground colours.
	Color int
}

// Strip returns s without any escape sequence or control character.
func Strip(s string) string {
	var b strings.Builder
	for _, g := range Parse(s) {
		b.WriteString(g.Text)
	}
	return b.String()
}

// Safe returns s with colours kept and everything else dropped, ending in a plain
// style.
func Safe(s string) string {
	var b strings.Builder
	plain := true
	for _, g := range Parse(s) {
		if g.Style == (Style{}) {
			if !plain {
				b.WriteString("\x1b[0m")
			}
			plain = true
		} else {
			b.WriteString("\x1b[0" + g.Style.codes() + "m")
			plain = false
		}
		b.WriteString(g.Text)
	}
	if !plain {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

func (s Style) codes() string {
	codes := ""
	for _, c := range []struct {
		on   bool
		code string
	}{{s.Bold, ";1"}, {s.Dim, ";2"}, {s.Italic, ";3"}, {s.Underline, ";4"}} {
		if c.on {
			codes += c.code
		}
	}
	if s.Color != 0 {
		codes += ";" + strconv.Itoa(s.Color)
	}
	return codes
}

// Parse splits s into segments of equal style. Invalid UTF-8 becomes U+FFFD.
func Parse(s string) []Segment {
	var out []Segment
	var style Style
	var text strings.Builder
	flush := func() {
		if text.Len() > 0 {
			out = append(out, Segment{text.String(), style})
			text.Reset()
		}
	}
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '\x1b' || r == 0x9b:
			n, sgr, isSGR := sequence(s, r, size)
			if isSGR {
				next := style.apply(sgr)
				if next != style {
					flush()
					style = next
				}
			}
			s = s[n:]
			continue
		case r == '\r' && strings.HasPrefix(s, "\r\n"):
		case r == '\r':
			text.WriteByte('\n') // a progress line that overwrites itself
		case r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) && !override(r):
			text.WriteRune(r)
		}
		s = s[size:]
	}
	flush()
	return out
}

// override reports characters that turn the direction of what follows: text that
// reads otherwise than it is.
func override(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// sequence measures the escape sequence at the beginning of s, by ECMA-48: CSI ends
// with a byte from @ to ~; OSC, DCS, SOS, PM and APC with ST or BEL; others are short.
func sequence(s string, first rune, size int) (n int, parameters string, sgr bool) {
	rest := s[size:]
	kind := byte('[')
	if first == '\x1b' {
		if rest == "" {
			return len(s), "", false
		}
		kind = rest[0]
		rest = rest[1:]
		size++
	}
	switch kind {
	case '[':
		for i := range len(rest) {
			c := rest[i]
			switch {
			case c >= 0x40 && c <= 0x7e:
				return size + i + 1, rest[:i], c == 'm'
			case c < 0x20 || c > 0x3f:
				return size + i, "", false // broken: what follows is text again
			}
		}
		return len(s), "", false
	case ']', 'P', 'X', '^', '_':
		for i := range len(rest) {
			switch {
			case rest[i] == '\a':
				return size + i + 1, "", false
			case rest[i] == '\x1b' && i+1 < len(rest) && rest[i+1] == '\\':
				return size + i + 2, "", false
			case rest[i] == '\n':
				return size + i, "", false // never ended: do not swallow the log
			}
		}
		return len(s), "", false
	}
	if kind >= 0x20 && kind <= 0x2f && rest != "" { // an intermediate byte takes one more
		return size + 1, "", false
	}
	if kind == '\x1b' || kind == '\n' || kind >= utf8.RuneSelf {
		return size - 1, "", false
	}
	return size, "", false
}

// apply reads SGR parameters. Backgrounds, blinking and colours beyond the sixteen
// are ignored.
func (s Style) apply(parameters string) Style {
	fields := strings.FieldsFunc(parameters, func(r rune) bool { return r == ';' || r == ':' })
	if len(fields) == 0 {
		return Style{}
	}
	for i := 0; i < len(fields); i++ {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			return s
		}
		switch {
		case n == 0:
			s = Style{}
		case n == 1:
			s.Bold = true
		case n == 2:
			s.Dim = true
		case n == 3:
			s.Italic = true
		case n == 4:
			s.Underline = true
		case n == 22:
			s.Bold, s.Dim = false, false
		case n == 23:
			s.Italic = false
		case n == 24:
			s.Underline = false
		case n >= 30 && n <= 37, n >= 90 && n <= 97:
			s.Color = n
		case n == 39:
			s.Color = 0
		case n == 38 || n == 48: // 256 colours (5;n) or RGB (2;r;g;b)
			if i+1 < len(fields) && fields[i+1] == "2" {
				i += 4
			} else {
				i += 2
			}
		}
	}
	return s
}
