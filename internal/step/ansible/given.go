package ansible

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// given is what ansible-playbook reads and no file system ever holds: files without a
// name, which it inherits and opens as /dev/fd/N, and named pipes.
type given struct {
	files []*os.File
	named []string // pipes
	stop  chan struct{}
	pipes sync.WaitGroup
}

// file returns the path under which the program finds the content.
func (g *given) file(name string, content []byte) (path string, err error) {
	f, err := nameless(name)
	if err != nil {
		return "", err
	}
	g.files = append(g.files, f)
	// Where /dev/fd/N is the same open file, it is read from where this one stands.
	_, err = f.Write(content)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	return g.path(), err
}

// add gives an open file.
func (g *given) add(f *os.File) (fd int) {
	g.files = append(g.files, f)
	return 2 + len(g.files) // after standard input and outputs
}

func (g *given) path() string { return fmt.Sprintf("/dev/fd/%d", 2+len(g.files)) }

// unlinked is a file that has lost its name before anything is in it.
func unlinked() (*os.File, error) {
	f, err := os.CreateTemp("", "tr")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// pipe makes a named pipe from which one reader gets the content: ansible-playbook takes
// /dev/fd/N after -e for a link, and does not find what it leads to.
func (g *given) pipe(path string, content []byte) error {
	if err := unix.Mkfifo(path, 0o600); err != nil {
		return fmt.Errorf("a pipe at %s: %w", path, err)
	}
	g.named = append(g.named, path)
	if g.stop == nil {
		g.stop = make(chan struct{})
	}
	g.pipes.Go(func() { feed(path, content, g.stop) })
	return nil
}

// feed waits for a reader and writes to it. A reader that goes away has its own reasons.
func feed(path string, content []byte, stop <-chan struct{}) {
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err == nil {
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = f.Write(content)
			}()
			select {
			case <-done:
			case <-stop:
				_ = f.SetWriteDeadline(time.Now())
				<-done
			}
			_ = f.Close() // the reader is at its end
			return
		}
		// Nobody reads yet.
		select {
		case <-stop:
			return
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// close is called when the program has ended.
func (g *given) close() error {
	if g.stop != nil {
		close(g.stop)
	}
	g.pipes.Wait()
	var err error
	for _, f := range g.files {
		err = errors.Join(err, f.Close())
	}
	for _, path := range g.named {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
