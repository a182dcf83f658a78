package archtest

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var quoted = regexp.MustCompile("`([^`]+)`")

// rows reads the table of a document whose first column has that title: the quoted
// words of the last column by the quoted word of the first.
func rows(t *testing.T, document, title string) map[string][]string {
	t.Helper()
	table := map[string][]string{}
	inside := false
	for line := range strings.Lines(read(t, document)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) < 2 {
			inside = false
			continue
		}
		if strings.TrimSpace(cells[0]) == title {
			inside = true
			continue
		}
		first := quoted.FindStringSubmatch(cells[0])
		if !inside || first == nil {
			continue
		}
		table[first[1]] = []string{}
		for _, word := range quoted.FindAllStringSubmatch(cells[len(cells)-1], -1) {
			table[first[1]] = append(table[first[1]], word[1])
		}
	}
	if len(table) == 0 {
		t.Fatalf("%s has no table of %ss", document, title)
	}
	return table
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// documents returns the Markdown files of the repository, from its root.
func documents(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == "testdata" || entry.Name() == "bin" || name != root && strings.HasPrefix(entry.Name(), ".")) {
			return filepath.SkipDir
		}
		if strings.HasSuffix(name, ".md") {
			rel, err := filepath.Rel(root, name)
			found = append(found, rel)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

var (
	link   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fenced = regexp.MustCompile("(?ms)^```.*?^```")
	// ours is a path of this repository. Examples of other repositories start differently.
	ours = regexp.MustCompile(`^(internal|cmd|docs|scripts|tools|examples|bench|e2e)/[\w./-]*$`)
)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, name := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, name), ""), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), target)); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			}
		}
	}
}

func TestPathsInDocumentsExist(t *testing.T) {
	for _, name := range documents(t) {
		if strings.HasPrefix(name, "examples") {
			continue // speaks of the example repository's own files
		}
		for _, m := range quoted.FindAllStringSubmatch(fenced.ReplaceAllString(read(t, name), ""), -1) {
			if !ours.MatchString(m[1]) || strings.Contains(m[1], "...") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist", name, m[1])
			}
		}
	}
}

var makeTarget = regexp.MustCompile("(?m)(?:^|`)make ([a-z-]+)")

func TestMakeTargetsInDocumentsExist(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, name := range documents(t) {
		for _, m := range makeTarget.FindAllStringSubmatch(read(t, name), -1) {
			if !regexp.MustCompile(`(?m)^` + m[1] + `:`).MatchString(makefile) {
				t.Errorf("%s says make %s, which is no target", name, m[1])
			}
		}
	}
	if out, err := exec.CommandContext(t.Context(), "make", "--no-print-directory", "-C", root).CombinedOutput(); err != nil || !strings.Contains(string(out), "make test") {
		t.Errorf("make alone does not list the targets: %v\n%s", err, out)
	}
}

// The build server runs what the README tells people to run, and nothing else.
func TestTheBuildServerRunsTheReadmesTestCommand(t *testing.T) {
	var commands []string
	for line := range strings.Lines(read(t, ".ci/run")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, "set ") || strings.HasPrefix(line, "cd ") {
			continue
		}
		commands = append(commands, strings.TrimPrefix(line, "exec "))
	}
	if len(commands) != 1 || !strings.Contains(read(t, "README.md"), commands[0]) {
		t.Errorf(".ci/run runs %q, which is not the README's test command", commands)
	}
}
