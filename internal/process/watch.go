package process

import (
	"context"
	"time"
)

// lookEvery is how often the end of a process is looked for where the kernel does not
// tell.
const lookEvery = time.Second

func lookForEnd(ctx context.Context, pid int, start string) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for Alive(pid, start) {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
