//go:build unix

package app

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/terrace-cd/terrace/internal/core"
)

// lockFolder makes sure that one server at a time works on a data folder.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, core.Errorf(core.Unavailable, "the data folder cannot be used: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, core.Errorf(core.Conflict, "another server works on %s; stop it first, or choose another folder with --data", dir)
		}
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
