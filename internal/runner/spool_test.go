package runner

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/client"
	"github.com/terrace-cd/terrace/internal/wire"
)

// shelf is a server's log store with its rules: numbers without a gap, the identical
// chunk accepted again.
type shelf struct {
	mu     sync.Mutex
	chunks []wire.LogChunk
	first  wire.LogChunk // what was there before: its number and its end
}

func (s *shelf) add(chunks []wire.LogChunk) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range chunks {
		n := int(c.Seq - s.first.Seq)
		switch {
		case n >= 1 && n <= len(s.chunks) && s.chunks[n-1] == c:
		case n != len(s.chunks)+1 || c.Offset != s.first.Offset+int64(s.size()):
			return &client.Error{Status: 409, Code: "conflict", Message: fmt.Sprintf("chunk %d at %d does not follow %d", c.Seq, c.Offset, len(s.chunks))}
		default:
			s.chunks = append(s.chunks, c)
		}
	}
	return nil
}

func (s *shelf) size() (n int) {
	for _, c := range s.chunks {
		n += len(c.Text)
	}
	return n
}

// end is the number and the end of the last chunk.
func (s *shelf) end() (ok bool, seq, at int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.chunks) > 0, s.first.Seq + int64(len(s.chunks)), s.first.Offset + int64(s.size())
}

// text is the log, of one phase when it is named.
func (s *shelf) text(phase string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, c := range s.chunks {
		if phase == "" || c.Phase == phase {
			b.WriteString(c.Text)
		}
	}
	return b.String()
}

func newSpool(t *testing.T, send func([]wire.LogChunk) error) *logSpool {
	t.Helper()
	s, err := openSpool(t.TempDir(), 0, 0, func(_ context.Context, chunks []wire.LogChunk) error { return send(chunks) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func flushed(t *testing.T, s *logSpool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.flush(ctx); err != nil {
		t.Fatal(err)
	}
}

func TestTheLogArrivesWholeAndInOrder(t *testing.T) {
	t.Parallel()
	server := &shelf{}
	s := newSpool(t, server.add)
	phase := "plan"
	out := &lines{to: s, phase: func() string { return phase }}
	var want strings.Builder
	say := func(text string) {
		want.WriteString(text)
		for len(text) > 0 { // in odd pieces
			n := min(len(text), 7)
			if _, err := out.Write([]byte(text[:n])); err != nil {
				t.Fatal(err)
			}
			text = text[n:]
		}
	}
	for i := range 3000 {
		say(fmt.Sprintf("line %d of the plan, with ümläuts\n", i))
	}
	phase = "apply"
	say("applying\n" + strings.Repeat("ü", 100_000) + "\n")
	flushed(t, s)
	if got := server.text(""); got != want.String() {
		t.Errorf("%d bytes arrived of %d", len(got), want.Len())
	}
	if got := server.text("apply"); !strings.HasPrefix(got, "applying\n") || strings.Contains(got, "plan") {
		t.Errorf("the phase apply has %.50q", got)
	}
	for _, c := range server.chunks {
		if len(c.Text) > maxChunk || !utf8.ValidString(c.Text) {
			t.Errorf("chunk %d has %d bytes, valid %t", c.Seq, len(c.Text), utf8.ValidString(c.Text))
		}
	}
	if _, err := out.Write([]byte("no end, and \xff")); err != nil {
		t.Fatal(err)
	}
	if err := out.flush(); err != nil {
		t.Fatal(err)
	}
	flushed(t, s)
	if got := server.text(""); !strings.HasSuffix(got, "\nno end, and �\n") {
		t.Errorf("the log ends with %q", got[len(got)-20:])
	}
}

func TestALaterAttemptGoesOnAfterTheEarlierOnes(t *testing.T) {
	t.Parallel()
	server := &shelf{first: wire.LogChunk{Seq: 4, Offset: 400}}
	s, err := openSpool(t.TempDir(), 4, 400, func(_ context.Context, chunks []wire.LogChunk) error { return server.add(chunks) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.write("plan", []byte("again\n")); err != nil {
		t.Fatal(err)
	}
	flushed(t, s)
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	if len(server.chunks) != 1 || server.chunks[0].Seq != 5 || server.chunks[0].Offset != 400 {
		t.Errorf("the server has %+v", server.chunks)
	}
}

// While the server is away the log waits in the file, not in memory; once delivered it
// takes no room there either.
func TestALongLogWaitsOnDiskAndLeavesIt(t *testing.T) {
	t.Parallel()
	server := &shelf{}
	back := make(chan struct{})
	s := newSpool(t, func(chunks []wire.LogChunk) error {
		<-back
		return server.add(chunks)
	})
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for range rewindAfter/len(line) + 100 {
		if err := s.write("apply", line); err != nil {
			t.Fatal(err)
		}
	}
	size := func() int64 {
		info, err := os.Stat(s.file.Text.Name())
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	if size() < rewindAfter {
		t.Errorf("the file has %d bytes", size())
	}
	close(back)
	flushed(t, s)
	if size() != 0 {
		t.Errorf("the file has %d bytes after everything was delivered", size())
	}
	if err := s.write("apply", line); err != nil {
		t.Fatal(err)
	}
	flushed(t, s)
	if got := len(server.text("")); got != rewindAfter+101*len(line) {
		t.Errorf("%d bytes arrived", got)
	}
}

func TestARefusedLogDoesNotStopTheRun(t *testing.T) {
	t.Parallel()
	no := &client.Error{Status: 409, Message: "attempt 2 took over"}
	s := newSpool(t, func([]wire.LogChunk) error { return no })
	if err := s.write("plan", []byte("x\n")); err != nil {
		t.Fatal(err)
	}
	if err := s.flush(t.Context()); !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
	if err := s.write("plan", []byte("x\n")); err != nil {
		t.Errorf("writing after that: %v", err)
	}
	// And a flush ends with its context when the server never answers.
	s = newSpool(t, func([]wire.LogChunk) error { <-t.Context().Done(); return nil })
	if err := s.write("plan", []byte("x\n")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := s.flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}
