package demo

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// screen is where the demo shows what goes on: a terminal, on which the board is drawn
// again and again in one place, or anything else, to which lines are added.
type screen struct {
	out   io.Writer
	live  bool
	color bool
	drawn int // lines of the board that stand on the terminal
	file  *os.File
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) && os.Getenv("TERM") != "dumb" {
		s.file, s.live, s.color = file, true, os.Getenv("NO_COLOR") == ""
	}
	return s
}

// printf writes below what stands there.
func (s *screen) printf(format string, args ...any) {
	s.drawn = 0
	_, _ = fmt.Fprintf(s.out, format, args...) // who closed the terminal sees nothing
}

// draw replaces the lines of the last draw.
func (s *screen) draw(lines []string) {
	var b strings.Builder
	if s.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", s.drawn)
	}
	for _, line := range lines {
		b.WriteString("\r\x1b[K" + line + "\n")
	}
	b.WriteString("\x1b[J")
	s.drawn = len(lines)
	_, _ = io.WriteString(s.out, b.String()) // who closed the terminal sees nothing
}

// width is how many columns a line may have.
func (s *screen) width() int {
	if s.file != nil {
		if width, _, err := term.GetSize(int(s.file.Fd())); err == nil && width > 20 {
			return width
		}
	}
	return 100
}
