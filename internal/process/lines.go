package process

import (
	"bytes"
	"io"
)

// DefaultLine is the longest line that Lines passes on in one piece.
const DefaultLine = 64 << 10

// LineWriter calls a function for each line that is written to it.
type LineWriter struct {
	fn  func(line string)
	max int
	buf []byte
}

var _ io.WriteCloser = (*LineWriter)(nil)

// Lines returns a writer that calls fn with each line, without its end ("\n" or
// "\r\n"). A line longer than max bytes (0: DefaultLine) comes in pieces of that
// length. Close passes on what came after the last end of line.
func Lines(max int, fn func(line string)) *LineWriter {
	if max <= 0 {
		max = DefaultLine
	}
	return &LineWriter{fn: fn, max: max}
}

// Write never fails.
func (l *LineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			l.keep(p)
			break
		}
		l.keep(p[:i])
		l.pass()
		p = p[i+1:]
	}
	return n, nil
}

func (l *LineWriter) keep(p []byte) {
	for len(l.buf)+len(p) > l.max {
		room := l.max - len(l.buf)
		l.buf, p = append(l.buf, p[:room]...), p[room:]
		l.fn(string(l.buf))
		l.buf = l.buf[:0]
	}
	l.buf = append(l.buf, p...)
}

func (l *LineWriter) pass() {
	l.fn(string(bytes.TrimSuffix(l.buf, []byte("\r"))))
	l.buf = l.buf[:0]
}

// Close passes on the last line when it has no end.
func (l *LineWriter) Close() error {
	if len(l.buf) > 0 {
		l.pass()
	}
	return nil
}
