package testkit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
)

// Build builds the program under test, as a release is built unless flags of go build say
// otherwise. It is called in a folder of the module's root, by a TestMain.
func Build(output string, flags ...string) error {
	args, cgo := []string{"build", "-buildvcs=false"}, "CGO_ENABLED=0"
	if slices.Contains(flags, "-race") { // as in the Makefile
		args, cgo = append(args, "-gcflags=modernc.org/...=-race=false"), "CGO_ENABLED=1"
	}
	args = append(append(args, flags...), "-o", output, "../cmd/terrace")
	cmd := exec.CommandContext(context.Background(), "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), cgo)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building the program: %w", err)
	}
	return nil
}
