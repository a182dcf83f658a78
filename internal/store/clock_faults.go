//go:build faults

package store

import (
	"os"
	"strings"
	"time"
)

// The fault suite builds the program with the tag "faults": this machine's clock, as far
// as a database on SQLite knows it, is then ahead by the duration in a file. What people
// install has none of this.
func init() {
	file := os.Getenv("TERRACE_FAULTS_CLOCK")
	machineClock = func() time.Time {
		text, err := os.ReadFile(file)
		if err != nil {
			return time.Now()
		}
		ahead, err := time.ParseDuration(strings.TrimSpace(string(text)))
		if err != nil {
			return time.Now()
		}
		return time.Now().Add(ahead).Round(0)
	}
}
