package process

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"sync"
)

// Host names where numbers and start times of processes mean something: this machine,
// since it was started last, and on Linux this namespace of numbers. It differs between
// a machine's two boots, and between two containers of one machine.
var Host = sync.OnceValue(func() string {
	id := machineID()
	if id != "" { // which is nobody's business
		sum := sha256.Sum256([]byte("terrace " + id))
		id = hex.EncodeToString(sum[:6])
	}
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	return strings.Join([]string{name, id, bootID(), numbersID()}, "/")
})

// Rebooted reports whether host, or a place there, is this machine before it was started
// last: nothing that ran there runs any more.
func Rebooted(host string) bool {
	was, is := strings.Split(host, "/"), strings.Split(Host(), "/")
	return len(was) >= len(is) && was[0] == is[0] && was[1] == is[1] && was[2] != is[2] && is[1] != "" && was[2] != "" && is[2] != ""
}

func firstLine(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(content), "\n")
	return line
}
