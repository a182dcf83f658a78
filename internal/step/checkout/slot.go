package checkout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// slot is the place of a kept tree: a directory with the tree, its index and a lock
// file. The kernel drops the lock when its holder dies, however it dies. The lock
// file's modification time is when the tree was last used.
type slot struct {
	dir  string
	lock *os.File
}

const lockName = "lock"

// acquire locks the slot, making it when needed. It returns nil without an error when
// another process holds it for longer than wait.
func acquire(ctx context.Context, dir string, wait time.Duration) (*slot, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		s, err := try(dir)
		if s != nil || err != nil {
			return s, err
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// try locks the slot if it is free.
func try(dir string) (*slot, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // removed between the two steps: again
	}
	if err != nil {
		return nil, err
	}
	s := &slot{dir: dir, lock: f}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, f.Close()
	case err != nil:
		return nil, errors.Join(err, f.Close())
	}
	// Whoever had the lock may have removed the slot: then this is the lock of nothing.
	mine, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if there, err := os.Stat(f.Name()); err != nil || !os.SameFile(mine, there) {
		return nil, f.Close()
	}
	return s, nil
}

// release notes the use and gives the slot back.
func (s *slot) release() error {
	now := time.Now()
	return errors.Join(os.Chtimes(s.lock.Name(), now, now), s.lock.Close())
}

// trash is where removed slots go first, so that deleting one never meets somebody who
// makes it anew.
const trash = ".trash-"

// remove deletes a slot that is held.
func (s *slot) remove(root string) error {
	grave, err := os.MkdirTemp(root, trash)
	if err == nil {
		err = os.Rename(s.dir, filepath.Join(grave, "slot"))
	}
	return errors.Join(err, s.lock.Close(), os.RemoveAll(grave))
}
