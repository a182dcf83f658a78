// Command reference writes the pages of docs/reference, which are made from the code.
// "make generate" runs it.
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/terrace-cd/terrace/internal/cli"
	"github.com/terrace-cd/terrace/internal/config"
)

func main() {
	if err := write(filepath.Join("docs", "reference")); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

func write(dir string) error {
	var commands bytes.Buffer
	if err := cli.WriteReference(&commands); err != nil {
		return err
	}
	for name, text := range map[string]string{"cli.md": commands.String(), "configuration.md": config.Reference()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // a public document
			return err
		}
	}
	return nil
}
