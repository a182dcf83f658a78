package testkit

import "syscall"

// diesWithTests is for systems that can tie a process to another one; this one cannot,
// and a test binary that is killed leaves it behind.
func diesWithTests() *syscall.SysProcAttr { return nil }
