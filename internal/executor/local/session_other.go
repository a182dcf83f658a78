//go:build !linux

package local

import "syscall"

// killSession kills the process group of the session's leader, which is all of the
// session that can be addressed here.
func killSession(pid int) {
	_ = syscall.Kill(-pid, syscall.SIGKILL) // there may be none
}
