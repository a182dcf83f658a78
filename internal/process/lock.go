package process

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// Lock takes a lock between processes on file, which it makes. The kernel drops it when
// its holder dies. waited says that somebody else had it.
func Lock(ctx context.Context, file string) (unlock func(), waited bool, err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, false, err
	}
	for {
		switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
		case err == nil:
			return func() { _ = f.Close() }, waited, nil // closing it is what unlocks it
		case !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR):
			return nil, waited, errors.Join(err, f.Close())
		}
		waited = true
		select {
		case <-ctx.Done():
			return nil, waited, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(20 * time.Millisecond):
		}
	}
}
