package testkit

import "syscall"

// diesWithTests makes the kernel kill a process when the test binary ends, however
// that happens.
func diesWithTests() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
