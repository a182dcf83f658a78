// Package e2e tests the built program from outside: its command line, its API, its
// processes. It knows nothing of what is inside, and the repositories that it promotes
// were made for nothing else.
package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// terrace is the program under test, built once, with the race detector; it is what serves.
// plain is the same without: as a command line, a runner and a provider it starts a hundred
// times in a test, and the detector makes that three times as long.
var terrace, plain string

func TestMain(m *testing.M) {
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "terrace-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	terrace, plain = filepath.Join(dir, "race", "terrace"), filepath.Join(dir, "plain", "terrace")
	if err := errors.Join(testkit.Build(terrace, "-race"), testkit.Build(plain)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
