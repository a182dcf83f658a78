package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	logName   = "log"
	marksName = "log.marks"
)

// Mark says in which phase the log is from an offset on.
type Mark struct {
	At    int64 // bytes of the log before it
	Phase string
}

// LogFile is the part of a run's log that may not be delivered yet: text, and beside it
// where in the log the text begins and where phases do.
type LogFile struct {
	Text  *os.File
	marks *os.File
}

// CreateLog begins a log at an offset.
func CreateLog(dir string, base int64) (*LogFile, error) {
	text, err := os.OpenFile(filepath.Join(dir, logName), os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	marks, err := os.OpenFile(filepath.Join(dir, marksName), os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, errors.Join(err, text.Close())
	}
	l := &LogFile{Text: text, marks: marks}
	if err := l.Rewind(base); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// Rewind empties the text: what comes next begins at base. An end between the two steps
// leaves no text, and then its beginning does not matter.
func (l *LogFile) Rewind(base int64) error {
	if err := l.Text.Truncate(0); err != nil {
		return err
	}
	_, err := fmt.Fprintf(l.marks, "base %d\n", base)
	return err
}

// Mark notes that a phase begins.
func (l *LogFile) Mark(m Mark) error {
	_, err := fmt.Fprintf(l.marks, "phase %d %s\n", m.At, m.Phase)
	return err
}

// Close closes the files.
func (l *LogFile) Close() error { return errors.Join(l.Text.Close(), l.marks.Close()) }

// LeftLog is the text that an attempt left.
type LeftLog struct {
	file  string
	base  int64
	size  int64
	marks []Mark
}

func readLog(dir string) (LeftLog, error) {
	l := LeftLog{file: filepath.Join(dir, logName)}
	info, err := os.Stat(l.file)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	} else if err != nil {
		return l, err
	}
	l.size = info.Size()
	f, err := os.Open(filepath.Join(dir, marksName))
	if err != nil {
		return l, err
	}
	defer func() { _ = f.Close() }() // only read from
	lines := bufio.NewReader(f)
	for {
		line, err := lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return l, nil // a line without an end was not written whole
		} else if err != nil {
			return l, err
		}
		fields := strings.Fields(line)
		var at int64
		if len(fields) < 2 {
			continue
		}
		if _, err := fmt.Sscan(fields[1], &at); err != nil {
			continue
		}
		switch {
		case fields[0] == "base":
			l.base = at
		case fields[0] == "phase" && len(fields) == 3:
			l.marks = append(l.marks, Mark{at, fields[2]})
		}
	}
}

// End is the offset at the end of the text.
func (l LeftLog) End() int64 { return l.base + l.size }

// Read returns text from an offset of the log on, at most limit bytes of one phase, "" at
// the end. What lies before the text that was left cannot be read: it was delivered.
func (l LeftLog) Read(from int64, limit int) (phase, text string, err error) {
	if from < l.base || from >= l.End() {
		return "", "", nil
	}
	end := min(l.End(), from+int64(limit))
	for _, m := range l.marks {
		switch {
		case m.At <= from:
			phase = m.Phase
		case m.At < end:
			end = m.At
		}
	}
	f, err := os.Open(l.file)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = f.Close() }() // only read from
	b := make([]byte, end-from)
	n, err := f.ReadAt(b, from-l.base)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return phase, string(b[:n]), err
}
