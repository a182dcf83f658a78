package config

import (
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "rewrite golden files")

// files is a tree in memory.
type files map[string]string

func (f files) ReadFile(name string) ([]byte, error) {
	s, ok := f[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(s), nil
}

func (f files) Files() ([]string, error) { return slices.Sorted(maps.Keys(f)), nil }

// golden runs f on every archive in a folder of testdata and compares what it returns
// with the file "want" inside.
func golden(t *testing.T, folder string, f func(t *testing.T, in files) string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join("testdata", folder, "*.txtar"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no cases in testdata/%s: %v", folder, err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			in := files{}
			want := ""
			archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool {
				if f.Name == "want" {
					want = string(f.Data)
					return true
				}
				in[f.Name] = string(f.Data)
				return false
			})
			got := f(t, in)
			if *update {
				archive.Files = append(archive.Files, txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != want {
				t.Errorf("not as in %s (run with -update to accept):\n--- got\n%s\n--- want\n%s", name, got, want)
			}
		})
	}
}

// TestLoad shows what people read about each kind of mistake.
func TestLoad(t *testing.T) {
	golden(t, "load", func(t *testing.T, in files) string {
		cfg, diags := Load(in, ".")
		if (cfg == nil) != diags.HasErrors() {
			t.Errorf("a configuration and errors at once, or neither")
		}
		out := Render(diags, in, false)
		if cfg == nil {
			return out
		}
		for _, e := range cfg.Environments {
			out += e.Name + ":"
			for _, i := range cfg.Instances(e.Name) {
				out += fmt.Sprintf(" %s=%s", i.Stack, i.Path)
			}
			out += "\n"
		}
		return out
	})
}

func parseArchive(name string) (files, error) {
	archive, err := txtar.ParseFile(filepath.Join("testdata", "load", name+".txtar"))
	if err != nil {
		return nil, err
	}
	in := files{}
	for _, f := range archive.Files {
		in[f.Name] = string(f.Data)
	}
	return in, nil
}
