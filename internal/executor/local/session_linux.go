package local

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/terrace-cd/terrace/internal/process"
)

// killSession kills every process of the session whose leader had the number pid, until
// none is left. While a session has members, the kernel gives its leader's number to
// nobody else.
func killSession(pid int) {
	for range 100 { // a process that forks faster than this is not one of ours
		again := false
		dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
		for _, dir := range dirs {
			member, err := strconv.Atoi(filepath.Base(dir))
			if err != nil || member == os.Getpid() {
				continue
			}
			session, err := unix.Getsid(member)
			if err != nil || session != pid {
				continue
			}
			if _, err := process.StartTime(member); err == nil && syscall.Kill(member, syscall.SIGKILL) == nil {
				again = true
			}
		}
		if !again {
			return
		}
		time.Sleep(5 * time.Millisecond) // the killed need a moment to be gone
	}
}
