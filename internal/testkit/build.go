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
	args := append(append([]string{"build", "-buildvcs=false"}, flags...), "-o", output, "../cmd/terrace")
	cmd := exec.CommandContext(context.Background(), "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cgo := "CGO_ENABLED=0"
	if slices.Contains(flags, "-race") { // the detector is C
		cgo = "CGO_ENABLED=1"
	}
	cmd.Env = append(os.Environ(), cgo)
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building the program: %w", err)
	}
	return nil
}
