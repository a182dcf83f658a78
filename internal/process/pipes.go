package process

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// How long output may take to arrive when nothing is left that could write it: between
// two pieces, and in all when something was left after all.
const (
	drain     = 2 * time.Second
	drainMost = 30 * time.Second
)

// pipes connect a process to readers and writers. os/exec has its own, but waits for
// their end before it tells that the process has ended, and a grandchild that holds one
// open would keep it waiting.
type pipes struct {
	theirs []*os.File // the child's ends, closed here once it has them
	ours   []*output
	copies []func() error
	input  *os.File
	feed   func()

	group sync.WaitGroup
	fed   sync.WaitGroup
	mu    sync.Mutex
	err   error
}

// out returns what the child writes to. A nil writer is /dev/null, a file is used itself.
func (p *pipes) out(w io.Writer) (io.Writer, error) {
	switch w := w.(type) {
	case nil:
		return nil, nil
	case *os.File:
		return w, nil
	}
	f, theirs, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	r := &output{File: f}
	p.theirs, p.ours = append(p.theirs, theirs), append(p.ours, r)
	p.copies = append(p.copies, func() error {
		_, err := io.Copy(w, struct{ io.Reader }{r})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil // see end
		}
		if err != nil {
			_, _ = io.Copy(io.Discard, struct{ io.Reader }{r}) // the process must not hang for a writer that failed
		}
		return err
	})
	return theirs, nil
}

// output is our end of a pipe that a process writes to.
type output struct {
	*os.File
	last atomic.Int64 // when, in Unix nanoseconds, it has to be at its end; 0 while the process runs
}

func (o *output) Read(p []byte) (int, error) {
	if last := o.last.Load(); last != 0 {
		// Only what has to be waited for is late, not what is there.
		soon := time.Now().Add(drain)
		if end := time.Unix(0, last); end.Before(soon) {
			soon = end
		}
		_ = o.SetReadDeadline(soon) // without it, there would be no bound
	}
	return o.File.Read(p)
}

// in returns what the child reads from.
func (p *pipes) in(r io.Reader) (io.Reader, error) {
	if f, ok := r.(*os.File); ok {
		return f, nil
	}
	theirs, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p.theirs, p.input = append(p.theirs, theirs), w
	p.feed = func() {
		_, err := io.Copy(w, r)
		if err = errors.Join(err, w.Close()); err != nil && !ended(err) {
			p.fail(err)
		}
	}
	return theirs, nil
}

// ended reports an error of writing to a process that does not read on, which is its
// own business.
func ended(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}

func (p *pipes) fail(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err = errors.Join(p.err, err)
}

// begin starts to copy; the process has its ends.
func (p *pipes) begin() {
	for _, f := range p.theirs {
		_ = f.Close() // only our copy of it
	}
	for _, c := range p.copies {
		p.group.Go(func() {
			if err := c(); err != nil {
				p.fail(err)
			}
		})
	}
	if p.feed != nil {
		p.fed.Go(p.feed)
	}
}

// end waits for the output that is still on its way. The process and all that it
// started are gone, so that is soon, unless something has hidden from us.
func (p *pipes) end() error {
	for _, f := range p.ours {
		f.last.Store(time.Now().Add(drainMost).UnixNano())
		_ = f.SetReadDeadline(time.Now().Add(drain)) // for the read under way
	}
	p.group.Wait()
	for _, f := range p.ours {
		_ = f.Close() // only read from
	}
	if p.input != nil {
		_ = p.input.Close() // lets feed end; nobody reads
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// abandon closes everything when the process could not be started.
func (p *pipes) abandon() error {
	var err error
	for _, f := range p.theirs {
		err = errors.Join(err, f.Close())
	}
	for _, f := range p.ours {
		err = errors.Join(err, f.Close())
	}
	if p.input != nil {
		err = errors.Join(err, p.input.Close())
	}
	return err
}
