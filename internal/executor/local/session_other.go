//go:build !linux

package local

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// startTime identifies a living process beyond its number. A zombie does not live.
func startTime(pid int) (string, error) {
	out, err := exec.Command("ps", "-o", "stat=,lstart=", "-p", strconv.Itoa(pid)).Output() //nolint:noctx // it looks and ends
	if err != nil {
		return "", os.ErrProcessDone
	}
	state, start, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(state, "Z") || start == "" {
		return "", os.ErrProcessDone
	}
	return strings.Join(strings.Fields(start), "_"), nil
}

// killSession kills the process group of the session's leader, which is all of the
// session that can be addressed here.
func killSession(pid int) int {
	if syscall.Kill(-pid, syscall.SIGKILL) == nil {
		return 1
	}
	return 0
}
