package archtest

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/terrace-cd/terrace/"
)

// A file of the product and what it imports.
type file struct {
	name, pkg string
	imports   []string
}

// sources returns every Go file that is not a test, whatever its build constraints.
func sources(t *testing.T) []file {
	t.Helper()
	var files []file
	for _, top := range []string{"cmd", "internal", "examples"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if entry.IsDir() && entry.Name() == "testdata" {
				return filepath.SkipDir
			}
			if entry.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
				return nil
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			f := file{name: filepath.ToSlash(rel), pkg: path.Dir(filepath.ToSlash(rel))}
			for _, spec := range parsed.Imports {
				imported, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					return err
				}
				f.imports = append(f.imports, imported)
			}
			files = append(files, f)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) == 0 {
		t.Fatal("no Go files found")
	}
	return files
}

// Code that only tests may import. Their own kind may too.
var testOnly = regexp.MustCompile(`^internal/(testkit|archtest)$|/[a-z]+test$`)

func TestImportsAreThoseOfTheTable(t *testing.T) {
	table := rows(t, "docs/architecture.md", "package")
	for _, f := range sources(t) {
		row, ok := match(table, f.pkg)
		if !ok {
			t.Errorf("%s has no row in the table of docs/architecture.md; add one", f.pkg)
			continue
		}
		for _, imported := range f.imports {
			own, ok := strings.CutPrefix(imported, module)
			switch {
			case !ok:
				if f.pkg == "internal/core" && strings.Contains(strings.Split(imported, "/")[0], ".") {
					t.Errorf("%s imports %s; core imports the standard library only", f.name, imported)
				}
			case own == "internal/core":
			case testOnly.MatchString(own):
				if !testOnly.MatchString(f.pkg) {
					t.Errorf("%s imports %s, which is for tests", f.name, own)
				}
			case !allows(row, own) && !testOnly.MatchString(f.pkg):
				t.Errorf("%s imports %s, which the table of docs/architecture.md does not allow for %s", f.name, own, f.pkg)
			}
		}
	}
}

func TestLibrariesStayInTheirRooms(t *testing.T) {
	table := rows(t, "docs/architecture.md", "library")
	for _, f := range sources(t) {
		for _, imported := range f.imports {
			for library, rooms := range table {
				if (imported == library || strings.HasPrefix(imported, library+"/")) && !allows(rooms, f.pkg) && !testOnly.MatchString(f.pkg) {
					t.Errorf("%s imports %s, which stays in %s", f.name, imported, strings.Join(rooms, ", "))
				}
			}
		}
	}
}

// The rules are pure: what could read the world is not within their reach.
func TestRulesReachNothing(t *testing.T) {
	for _, f := range sources(t) {
		if f.pkg != "internal/promotion" && f.pkg != "internal/core" {
			continue
		}
		for _, imported := range f.imports {
			if imported == "os" || imported == "net" || imported == "log" || strings.HasPrefix(imported, "os/") || strings.HasPrefix(imported, "net/") || strings.HasPrefix(imported, "log/") {
				t.Errorf("%s imports %s", f.name, imported)
			}
		}
	}
}

// Every row is about something that exists.
func TestTheTableNamesNothingElse(t *testing.T) {
	packages := map[string]bool{}
	for _, f := range sources(t) {
		packages[f.pkg] = true
	}
	for pattern, arrows := range rows(t, "docs/architecture.md", "package") {
		for _, p := range append([]string{pattern}, arrows...) {
			if !slices.ContainsFunc(keys(packages), func(pkg string) bool { return allows([]string{p}, pkg) }) {
				t.Errorf("the table of docs/architecture.md names %s, which does not exist", p)
			}
		}
	}
}

// match finds the row of a package: its own, else that of a folder above it.
func match(table map[string][]string, pkg string) ([]string, bool) {
	if row, ok := table[pkg]; ok {
		return row, true
	}
	for dir := path.Dir(pkg); dir != "."; dir = path.Dir(dir) {
		if row, ok := table[dir+"/*"]; ok {
			return row, true
		}
	}
	return nil, false
}

func allows(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		below, wild := strings.CutSuffix(p, "/*")
		return p == pkg || wild && strings.HasPrefix(pkg, below+"/")
	})
}

func keys(m map[string]bool) []string {
	var all []string
	for k := range m {
		all = append(all, k)
	}
	return all
}
