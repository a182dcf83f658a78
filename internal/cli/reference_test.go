package cli

import (
	"bytes"
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write docs/reference/cli.md anew")

// The reference of the command line is what the code says.
func TestReference(t *testing.T) {
	const file = "../../docs/reference/cli.md"
	t.Setenv("TERRACE_URL", "")
	t.Setenv("TERRACE_PROJECT", "")
	var got bytes.Buffer
	if err := WriteReference(&got); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s is not what the code says; write it with: go test ./internal/cli -run TestReference -update\n%s", file, diff)
	}
}

// Every command says what it is for.
func TestEveryCommandExplainsItself(t *testing.T) {
	root := newRoot("")
	for _, c := range root.Commands() {
		if c.Short == "" {
			t.Errorf("%s has no description", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			if sub.Short == "" {
				t.Errorf("%s has no description", sub.CommandPath())
			}
		}
	}
}
