package testkit

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// Build builds the program under test, as a release is built unless flags of go build say
// otherwise. It is called in a folder of the module's root, by a TestMain.
func Build(output string, flags ...string) error {
	args := append(append([]string{"build", "-buildvcs=false"}, flags...), "-o", output, "../cmd/terrace")
	cmd := exec.CommandContext(context.Background(), "go", args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	for _, f := range flags {
		if f == "-race" { // the detector is C
			cmd.Env = append(cmd.Env, "CGO_ENABLED=1")
		}
	}
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building the program: %w", err)
	}
	return nil
}
