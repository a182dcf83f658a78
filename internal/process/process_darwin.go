package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func attributes(session bool) *syscall.SysProcAttr {
	if session {
		return &syscall.SysProcAttr{Setsid: true}
	}
	return &syscall.SysProcAttr{Setpgid: true}
}

// Adopt has no counterpart here: a process that leaves its group and its parent is not
// found any more.
func Adopt() error { return nil }

// Launch is cmd.Start.
func Launch(cmd *exec.Cmd) error { return launch(cmd) }

// Forget follows Launch.
func Forget(*exec.Cmd) {}

func launch(cmd *exec.Cmd) error { return cmd.Start() }
func forget(int)                 {}
func reap(int)                   {}

// await returns when the process has ended, and leaves it to be waited for. There is no
// call for that in reach, so it looks.
func await(pid int) {
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
		if err != nil || k.Proc.P_pid != int32(pid) || k.Proc.P_stat == zombie {
			return
		}
		time.Sleep(pause)
	}
}

// born is StartTime, "" when the process has ended.
func born(pid int) string {
	start, err := StartTime(pid)
	if err != nil {
		return ""
	}
	return start
}

// zombie is SZOMB of sys/proc.h.
const zombie = 5

// StartTime returns when a process started, as the kernel tells it: a word that differs
// for a later process with the same number. It is an error when there is no such process
// or when it has ended and waits for its parent.
func StartTime(pid int) (string, error) {
	k, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err == nil && (k.Proc.P_pid != int32(pid) || k.Proc.P_stat == zombie) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return "", fmt.Errorf("process %d: %w", pid, err)
	}
	return fmt.Sprintf("%d.%06d", k.Proc.P_starttime.Sec, k.Proc.P_starttime.Usec), nil
}

// survivors are the processes, apart from the one itself, that it brought into being.
func (t traces) survivors() []int {
	all, err := unix.SysctlKinfoProcSlice("kern.proc.all")
	if err != nil {
		return nil
	}
	mine := map[int32]bool{int32(t.pid): true}
	for more := true; more; {
		more = false
		for _, k := range all {
			if !mine[k.Proc.P_pid] && (k.Eproc.Pgid == int32(t.pid) || mine[k.Eproc.Ppid]) {
				mine[k.Proc.P_pid], more = true, true
			}
		}
	}
	var left []int
	for _, k := range all {
		if mine[k.Proc.P_pid] && int(k.Proc.P_pid) != t.pid && k.Proc.P_stat != zombie {
			left = append(left, int(k.Proc.P_pid))
		}
	}
	return left
}

func machineID() string { s, _ := unix.Sysctl("kern.uuid"); return s } // unknown: ""
func bootID() string    { s, _ := unix.Sysctl("kern.bootsessionuuid"); return s }
func numbersID() string { return "" }

// AwaitEnd returns nil when the process that was started at start has ended, at once
// when it has already. It need not be a child. It returns the context's error when that
// ends first.
func AwaitEnd(ctx context.Context, pid int, start string) error { return lookForEnd(ctx, pid, start) }
