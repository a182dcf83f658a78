package source

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

const defaultConfig = "project \"p\" {\n  stacks = [\"stacks/*\"]\n}\n\nenvironment \"dev\" {\n}\n"

// TestGraph goes through testdata/graph. Each archive is a repository; its comment says
// which stacks' digests change when a file does. Every file is changed in turn, so one
// that is not mentioned must have no user. Lines of the comment:
//
//	FILE: STACK...          who uses a file
//	add FILE: STACK...      who notices a new file
//	delete FILE: STACK...   who notices that a file is gone
//	link FILE TARGET        a symbolic link
//	warn FILE:LINE TEXT     a warning; there must be no others
//	part STACK NAME         a part that the stack has
//	# ...                   for the reader
func TestGraph(t *testing.T) {
	t.Parallel()
	archives, err := filepath.Glob("testdata/graph/*.txtar")
	if err != nil || len(archives) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range archives {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			testGraph(t, name)
		})
	}
}

type change struct {
	what  string
	files map[string]string
	users []string
}

func testGraph(t *testing.T, name string) {
	archive, err := txtar.ParseFile(name)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"terrace.hcl": defaultConfig}
	users := map[string][]string{}
	for _, f := range archive.Files {
		files[f.Name] = string(f.Data)
		users[f.Name] = nil
	}
	var changes []change
	var warnings, parts []string
	for line := range strings.Lines(string(archive.Comment)) {
		line = strings.TrimSpace(line)
		words := strings.Fields(line)
		left, right, _ := strings.Cut(line+" ", ": ")
		switch {
		case line == "" || words[0] == "#":
		case words[0] == "warn":
			warnings = append(warnings, strings.TrimPrefix(line, "warn "))
		case words[0] == "part":
			parts = append(parts, strings.TrimPrefix(line, "part "))
		case words[0] == "link":
			files[words[1]] = asLink + words[2]
		case words[0] == "add":
			with := maps.Clone(files)
			with[strings.TrimPrefix(left, "add ")] = "# added\n"
			changes = append(changes, change{left, with, strings.Fields(right)})
		case words[0] == "delete":
			without := maps.Clone(files)
			delete(without, strings.TrimPrefix(left, "delete "))
			changes = append(changes, change{left, without, strings.Fields(right)})
		default:
			if _, ok := users[left]; !ok {
				t.Fatalf("%q: the archive has no such file", left)
			}
			users[left] = strings.Fields(right)
		}
	}
	for _, file := range slices.Sorted(maps.Keys(users)) {
		with := maps.Clone(files)
		switch {
		case strings.HasSuffix(file, ".json"):
			with[file] += "\n"
		default:
			with[file] += "\n# touched\n"
		}
		changes = append(changes, change{"touch " + file, with, users[file]})
	}

	r, s := newRepository(t), newSource(t, Options{})
	base := r.commit("main", "base", files)
	heads := make([]string, len(changes))
	for i, c := range changes {
		heads[i] = r.commit("main", c.what, c.files)
	}
	r.fetch(s, "main")
	before := contents(t, s, r, base)
	for i, c := range changes {
		after := contents(t, s, r, heads[i])
		var got []string
		for stack := range before {
			if now, ok := after[stack]; ok && now.Digest != before[stack].Digest {
				got = append(got, stack)
			}
		}
		slices.Sort(got)
		slices.Sort(c.users)
		if !slices.Equal(got, c.users) {
			t.Errorf("%s: changes %q, want %q", c.what, got, c.users)
		}
	}

	said := map[string]bool{}
	for _, c := range before {
		for _, w := range c.Warnings {
			said[fmt.Sprintf("%s:%d %s", w.Path, w.Line, w.Message)] = true
		}
	}
	for _, w := range warnings {
		place, text, _ := strings.Cut(w, " ")
		found := false
		for s := range said {
			if strings.HasPrefix(s, place+" ") && strings.Contains(s, text) {
				found = true
				delete(said, s)
			}
		}
		if !found {
			t.Errorf("no warning %s", w)
		}
	}
	for s := range said {
		t.Errorf("unexpected warning: %s", s)
	}
	for _, p := range parts {
		stack, part, _ := strings.Cut(p, " ")
		if before[stack].Parts[part] == "" && before[stack].Provision[part] == "" {
			t.Errorf("%s has no part %q, but %q and %q", stack, part, slices.Sorted(maps.Keys(before[stack].Parts)), slices.Sorted(maps.Keys(before[stack].Provision)))
		}
	}
}

// contents is AllContents, and makes sure that Content says the same.
func contents(t *testing.T, s *Source, r *repository, commit string) map[string]Content {
	t.Helper()
	all, err := s.AllContents(t.Context(), r.dir, commit, ".", "dev")
	if err != nil {
		t.Fatal(err)
	}
	cfg, _, err := s.Config(t.Context(), r.dir, commit, ".")
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range cfg.Instances("dev") {
		one, err := s.Content(t.Context(), r.dir, commit, ".", in)
		if err != nil || one.Digest != all[in.Stack].Digest {
			t.Errorf("%s alone has digest %s, with the others %s, %v", in.Stack, one.Digest, all[in.Stack].Digest, err)
		}
	}
	return all
}
