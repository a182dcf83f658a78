package testkit

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

// Golden compares a text with the one that is kept in a file, which -update writes.
func Golden(t testing.TB, file, text string) {
	t.Helper()
	if update := flag.Lookup("update"); update != nil && update.Value.String() == "true" {
		if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; write it with -update", err)
	}
	if string(want) != text {
		t.Errorf("%s is other now (-update writes it):\n%s\nwas:\n%s", file, text, want)
	}
}
