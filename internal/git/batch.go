package git

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

// ErrMissing: the repository has no such object. ErrTooLarge: it is larger than asked for.
var (
	ErrMissing  = errors.New("no such object")
	ErrTooLarge = errors.New("the object is too large")
)

// Batch reads objects of one repository through one git process, which also sees what
// is fetched after its start. It is safe for concurrent use.
type Batch struct {
	mu     sync.Mutex
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr *tail
	err    error // the conversation is broken
	closed bool
}

// OpenBatch starts the process. Close ends it.
func OpenBatch(gitDir string) (*Batch, error) {
	// It lives until Close, longer than any request.
	cmd := command(context.Background(), Cmd{GitDir: gitDir, Args: []string{"cat-file", "--batch"}})
	b := &Batch{cmd: cmd, stderr: &tail{max: 8 << 10}}
	cmd.Stderr = b.stderr
	var err error
	if b.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	b.stdout = bufio.NewReaderSize(stdout, 64<<10)
	if err := cmd.Start(); err != nil {
		return nil, &Error{Args: []string{"cat-file"}, Code: -1, Cause: err}
	}
	return b, nil
}

// Read returns an object's type and content. ErrMissing, ErrTooLarge when it has more
// than max bytes (the type is then returned), or an *Error after which only Close works.
func (b *Batch) Read(oid string, max int64) (kind string, content []byte, err error) {
	err = b.ReadMany([]string{oid}, max, func(_ int, k string, c []byte, err error) error {
		kind, content = k, c
		return err
	})
	return kind, content, err
}

// ReadMany reads objects in the order of oids, asking ahead, and calls f for each with
// its content or with ErrMissing or ErrTooLarge. It ends with the first error of f.
func (b *Batch) ReadMany(oids []string, max int64, f func(i int, kind string, content []byte, err error) error) error {
	for _, oid := range oids {
		if !ValidOID(oid) {
			return fmt.Errorf("%q is not the name of an object", oid)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return &Error{Args: []string{"cat-file"}, Code: -1, Cause: errors.New("it was closed")}
	}
	if b.err != nil {
		return b.err
	}
	const ahead = 500 // names in flight: their bytes fit a pipe, so writing cannot block for ever
	asked, done := 0, error(nil)
	for i := range oids {
		if done != nil && i >= asked {
			break
		}
		if done == nil && asked < len(oids) && asked-i < ahead/2 {
			next := oids[asked:min(len(oids), i+ahead)]
			if _, err := io.WriteString(b.stdin, strings.Join(next, "\n")+"\n"); err != nil {
				return b.broken(err)
			}
			asked += len(next)
		}
		kind, content, err := b.answer(max)
		if err != nil && !errors.Is(err, ErrMissing) && !errors.Is(err, ErrTooLarge) {
			return b.broken(err)
		}
		if done == nil { // after an error of f, answers under way are only taken in
			done = f(i, kind, content, err)
		}
	}
	return done
}

// answer reads one answer: "OID TYPE SIZE", the content and a newline.
func (b *Batch) answer(max int64) (string, []byte, error) {
	line, err := b.stdout.ReadString('\n')
	if err != nil {
		return "", nil, err
	}
	fields := strings.Fields(line)
	if len(fields) == 2 && fields[1] == "missing" {
		return "", nil, ErrMissing
	}
	if len(fields) != 3 {
		return "", nil, fmt.Errorf("unexpected answer %q", line)
	}
	size, err := strconv.ParseInt(fields[2], 10, 64)
	if err != nil {
		return "", nil, fmt.Errorf("unexpected answer %q", line)
	}
	if size > max {
		if _, err := io.CopyN(io.Discard, b.stdout, size+1); err != nil {
			return "", nil, err
		}
		return fields[1], nil, ErrTooLarge
	}
	content := make([]byte, size)
	if _, err := io.ReadFull(b.stdout, content); err != nil {
		return "", nil, err
	}
	_, err = b.stdout.Discard(1)
	return fields[1], content, err
}

func (b *Batch) broken(err error) error {
	// What git said is complete only when it has ended.
	_ = b.stdin.Close()
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	b.err = &Error{Args: []string{"cat-file"}, Stderr: clean(b.stderr.String()), Code: b.cmd.ProcessState.ExitCode(), Cause: err}
	return b.err
}

// Close ends the process and waits for it.
func (b *Batch) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil
	}
	b.closed = true
	if b.err != nil {
		return nil // broken already ended it
	}
	_ = b.stdin.Close() // its end of input is how it learns that it is over
	if err := b.cmd.Wait(); err != nil {
		return &Error{Args: []string{"cat-file"}, Stderr: clean(b.stderr.String()), Code: b.cmd.ProcessState.ExitCode(), Cause: err}
	}
	return nil
}
