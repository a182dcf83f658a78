package runner

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/spool"
	"github.com/terrace-cd/terrace/internal/wire"
)

const (
	maxChunk   = 64 << 10  // bytes of one chunk
	maxRequest = 128 << 10 // bytes of text in one request: JSON may make six of one
	gather     = 200 * time.Millisecond
	// maxBacklog is how much of a log may wait for the server on disk. Beyond it, who
	// writes the log has to wait: nothing of it is lost.
	maxBacklog = 512 << 20
	// rewindAfter is the size from which the file is emptied when all of it is delivered.
	rewindAfter = 4 << 20
)

// logSpool carries a run's log to the server: written to a file first, delivered from it
// in numbered chunks, so that the run neither loses a line nor grows in memory while the
// server is away. Its text is masked and valid UTF-8 already.
type logSpool struct {
	send func(context.Context, []wire.LogChunk) error
	file *spool.LogFile

	mu      sync.Mutex
	drained *sync.Cond
	base    int64        // of the log, at the file's first byte
	size    int64        // bytes in the file
	sent    int64        // of the log: the server has everything before it
	seq     int64        // of the last chunk that the server has
	marks   []spool.Mark // where phases begin, from the one of sent on
	err     error        // why no more is delivered
	wake    chan struct{}
	hurry   chan struct{} // a flush does not want to gather
	done    chan struct{}
	stop    context.CancelFunc
}

// openSpool starts delivering. seq and offset are what earlier attempts wrote.
func openSpool(dir string, seq, offset int64, send func(context.Context, []wire.LogChunk) error) (*logSpool, error) {
	f, err := spool.CreateLog(dir, offset)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background()) // delivering ends with close, whatever ended the run
	s := &logSpool{send: send, file: f, base: offset, sent: offset, seq: seq, stop: stop,
		wake: make(chan struct{}, 1), hurry: make(chan struct{}, 1), done: make(chan struct{})}
	s.drained = sync.NewCond(&s.mu)
	go s.deliver(ctx)
	return s, nil
}

// write appends text of a phase.
func (s *logSpool) write(phase string, text []byte) error {
	if len(text) == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.base+s.size-s.sent > maxBacklog && s.err == nil {
		s.drained.Wait()
	}
	if s.err != nil {
		return nil // a log that cannot be delivered must not stop the run
	}
	if n := len(s.marks); n == 0 || s.marks[n-1].Phase != phase {
		m := spool.Mark{At: s.base + s.size, Phase: phase}
		if err := s.file.Mark(m); err != nil {
			return err
		}
		s.marks = append(s.marks, m)
	}
	n, err := s.file.Text.WriteAt(text, s.size)
	s.size += int64(n)
	if err != nil {
		return err
	}
	poke(s.wake)
	return nil
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (s *logSpool) deliver(ctx context.Context) {
	defer close(s.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-s.hurry:
		case <-time.After(gather):
		}
		for {
			chunks, end, err := s.next()
			if err == nil && len(chunks) == 0 {
				break
			}
			if err == nil {
				err = s.send(ctx, chunks)
			}
			s.delivered(chunks, end, err)
			if err != nil {
				return
			}
		}
	}
}

// next reads what is to be sent now, and the offset at its end.
func (s *logSpool) next() (chunks []wire.LogChunk, end int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	end = s.sent
	for m := 0; end < s.base+s.size && end-s.sent < maxRequest; {
		for m+1 < len(s.marks) && s.marks[m+1].At <= end {
			m++
		}
		limit := s.base + s.size
		if m+1 < len(s.marks) {
			limit = s.marks[m+1].At
		}
		text := make([]byte, min(maxChunk, limit-end))
		if _, err := s.file.Text.ReadAt(text, end-s.base); err != nil {
			return nil, end, err
		}
		text = text[:cut(text)]
		chunks = append(chunks, wire.LogChunk{Seq: s.seq + int64(len(chunks)) + 1, Offset: end, Phase: s.marks[m].Phase, Text: string(text)})
		end += int64(len(text))
	}
	return chunks, end, nil
}

// cut shortens a full chunk to whole lines, or at least whole characters.
func cut(text []byte) int {
	if len(text) < maxChunk {
		return len(text)
	}
	if i := bytes.LastIndexByte(text, '\n'); i >= 0 {
		return i + 1
	}
	for i := len(text) - 1; i > len(text)-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if utf8.FullRune(text[i:]) {
				return len(text)
			}
			return i
		}
	}
	return len(text)
}

func (s *logSpool) delivered(chunks []wire.LogChunk, end int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.drained.Broadcast()
	if err != nil {
		s.err = err
		return
	}
	s.sent, s.seq = end, s.seq+int64(len(chunks))
	for len(s.marks) > 1 && s.marks[1].At <= end {
		s.marks = s.marks[1:]
	}
	if end == s.base+s.size && s.size >= rewindAfter {
		if s.err = s.file.Rewind(end); s.err == nil {
			s.base, s.size = end, 0
		}
	}
}

// flush waits until the server has everything that was written before, or refuses it,
// or ctx ends.
func (s *logSpool) flush(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drained.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for end := s.base + s.size; s.sent < end && s.err == nil && ctx.Err() == nil; s.drained.Wait() {
		poke(s.hurry)
		poke(s.wake)
	}
	if s.err != nil {
		return s.err
	}
	if s.sent < s.base+s.size {
		return ctx.Err()
	}
	return nil
}

// close stops delivering, without waiting for what was not delivered: flush first.
func (s *logSpool) close() error {
	s.stop()
	<-s.done
	return s.file.Close()
}

// lines writes whole lines to a spool, so that lines of several writers never mix. A
// line without an end is written when it is long or at flush.
type lines struct {
	to    *logSpool
	phase func() string

	mu   sync.Mutex
	line []byte
}

var _ io.Writer = (*lines)(nil)

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := 0
	if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
		end = len(l.line) + i + 1
	}
	l.line = append(l.line, p...)
	if end == 0 && len(l.line) >= maxChunk {
		end = cut(l.line)
	}
	err := l.pass(end)
	return len(p), err
}

// flush writes what has no end yet.
func (l *lines) flush() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.line) > 0 {
		l.line = append(l.line, '\n')
	}
	return l.pass(len(l.line))
}

func (l *lines) pass(end int) error {
	if end == 0 {
		return nil
	}
	text := strings.ToValidUTF8(string(l.line[:end]), "�")
	l.line = append(l.line[:0], l.line[end:]...)
	return l.to.write(l.phase(), []byte(text))
}
