package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// TestDir: a folder as a tree, and that nothing outside it can be read through it.
func TestDir(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	root := filepath.Join(top, "repo")
	write := func(name, content string) {
		name = filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		if err := os.Symlink(target, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	write("secret", "outside")
	write("repo/a/b.tf", "inside")
	write("repo/.git/config", "")
	write("repo/a/.terraform/x.tf", "")
	write("repo/z", "")
	link("../secret", "out")
	link(filepath.Join(top, "secret"), "absolute")
	link("..", "up")
	link("a/b.tf", "in")
	link("loop", "loop")
	tree := Dir(root)
	got, err := tree.Files()
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"a/b.tf", "in", "z"}; !reflect.DeepEqual(got, want) {
		t.Errorf("files %v, want %v", got, want)
	}
	for name, want := range map[string]string{"a/b.tf": "inside", "in": "inside"} {
		if b, err := tree.ReadFile(name); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
	for _, name := range []string{"out", "absolute", "up/secret", "../secret", "/etc/passwd", "a", "nothing", "loop", "", "a/../../secret", "z/x"} {
		if b, err := tree.ReadFile(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %q, %v; want not exist", name, b, err)
		}
	}
	if _, err := Dir(filepath.Join(top, "none")).Files(); err == nil {
		t.Errorf("a folder that does not exist can be listed")
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	tests := []struct {
		root, path, want string
		ok               bool
	}{
		{".", "stacks/web", "stacks/web", true},
		{".", "./stacks//web/", "stacks/web", true},
		{".", ".", ".", true},
		{"shop", ".", "shop", true},
		{"shop", "../modules", "modules", true},
		{"shop", "../../modules", "", false},
		{".", "..", "", false},
		{".", "a/../../b", "", false},
		{".", "/a", "", false},
		{".", "", "", false},
		{".", `a\b`, "", false},
		{".", "a\x00b", "", false},
	}
	for _, tt := range tests {
		got, ok := join(tt.root, tt.path)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("join(%q, %q) = %q, %v; want %q, %v", tt.root, tt.path, got, ok, tt.want, tt.ok)
		}
	}
}
