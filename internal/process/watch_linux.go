package process

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func machineID() string {
	if id := firstLine("/etc/machine-id"); id != "" {
		return id
	}
	return firstLine("/var/lib/dbus/machine-id")
}

func bootID() string { return firstLine("/proc/sys/kernel/random/boot_id") }

// numbersID names the namespace in which process numbers are given.
func numbersID() string {
	name, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return name
}

// AwaitEnd returns nil when the process that was started at start has ended, at once
// when it has already. It need not be a child. It returns the context's error when that
// ends first.
func AwaitEnd(ctx context.Context, pid int, start string) error {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil { // before Linux 5.10
		return lookForEnd(ctx, pid, start)
	}
	handle := os.NewFile(uintptr(fd), "process")
	defer func() { _ = handle.Close() }() // nothing was written
	// The handle holds on to the process, so the number cannot change hands after this.
	if !Alive(pid, start) {
		return nil
	}
	raw, err := handle.SyscallConn()
	if err != nil || handle.SetReadDeadline(time.Time{}) != nil {
		return lookForEnd(ctx, pid, start)
	}
	stop := context.AfterFunc(ctx, func() { _ = handle.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	err = raw.Read(func(fd uintptr) bool {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		return n > 0 || err != nil && !errors.Is(err, syscall.EINTR)
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil || Alive(pid, start) {
		return lookForEnd(ctx, pid, start)
	}
	return nil
}
