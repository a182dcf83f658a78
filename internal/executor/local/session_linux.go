package local

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// bootID tells two boots of a machine apart: start times are counted from the boot.
var bootID = sync.OnceValue(func() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "boot"
	}
	first, _, _ := strings.Cut(string(id), "-")
	return first
})

// startTime identifies a living process beyond its number. A zombie does not live.
func startTime(pid int) (string, error) {
	stat, err := readStat(pid)
	if err != nil {
		return "", err
	}
	if stat.state == "Z" || stat.state == "X" {
		return "", os.ErrProcessDone
	}
	return bootID() + "-" + stat.start, nil
}

type stat struct {
	state   string
	session int
	start   string // clock ticks since the boot
}

func readStat(pid int) (stat, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The command's name is in parentheses and may hold anything.
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat cannot be read", pid)
	}
	session, err := strconv.Atoi(fields[3])
	return stat{state: fields[0], session: session, start: fields[19]}, err
}

// killSession kills every process of the session whose leader had the number pid, until
// none is left, and returns how many there were. While a session has members, the
// kernel gives its leader's number to nobody else.
func killSession(pid int) int {
	seen := map[int]bool{}
	for range 100 { // a process that forks faster than this is not one of ours
		again := false
		stats, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
		for _, file := range stats {
			member, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
			if err != nil || member == os.Getpid() {
				continue
			}
			s, err := readStat(member)
			if err != nil || s.session != pid || s.state == "Z" || s.state == "X" {
				continue
			}
			if syscall.Kill(member, syscall.SIGKILL) == nil {
				seen[member], again = true, true
			}
		}
		if !again {
			break
		}
		time.Sleep(5 * time.Millisecond) // the killed need a moment to be gone
	}
	return len(seen)
}
