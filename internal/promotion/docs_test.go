package promotion

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

// TestDocsNameWhatExists keeps the table of docs/promotion.md true: all 28 rules are
// there, each with a test at least, with files and tests that exist, and every rule's test is named.
func TestDocsNameWhatExists(t *testing.T) {
	t.Parallel()
	tests, others := testsOf(t, "*_test.go"), testsOf(t, "../*/*_test.go", "../*/*/*_test.go", "../../e2e/*_test.go")
	row := regexp.MustCompile(`^\| (\d+) \| (.*?) \| (.*?) \|$`)
	quoted := regexp.MustCompile("`([^`]+)`")
	rules, named := []int{}, map[string]bool{}
	for _, line := range strings.Split(doc(t, "promotion.md"), "\n") {
		m := row.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		number, _ := strconv.Atoi(m[1])
		rules = append(rules, number)
		for _, file := range quoted.FindAllStringSubmatch(m[2], -1) {
			where := file[1]
			if strings.Contains(where, "/") {
				where = filepath.Join("..", "..", where)
			}
			if _, err := os.Stat(where); err != nil {
				t.Errorf("rule %d: %v", number, err)
			}
		}
		proofs := quoted.FindAllStringSubmatch(m[3], -1)
		if len(proofs) == 0 {
			t.Errorf("rule %d: no test is named", number)
		}
		for _, test := range proofs {
			named[test[1]] = true
			if !slices.Contains(tests, test[1]) && !slices.Contains(others, test[1]) {
				t.Errorf("rule %d: there is no %s", number, test[1])
			}
		}
	}
	want := []int{}
	for i := 1; i <= 28; i++ {
		want = append(want, i)
	}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Errorf("rules in the table (-want +got):\n%s", diff)
	}
	for _, test := range tests {
		if strings.HasPrefix(test, "TestRule") && !named[test] {
			t.Errorf("%s is not in the table", test)
		}
	}
}

// TestDocsDrawTheTransitionTable compares docs/model.md with core's table.
func TestDocsDrawTheTransitionTable(t *testing.T) {
	t.Parallel()
	_, block, ok := strings.Cut(doc(t, "model.md"), "```moves\n")
	if !ok {
		t.Fatal("docs/model.md has no block of moves")
	}
	block, _, _ = strings.Cut(block, "```")
	got := strings.Split(strings.TrimSpace(block), "\n")
	want := []string{}
	for _, from := range core.RunStatuses() {
		line := string(from) + ":"
		for _, to := range core.RunStatuses() {
			if core.CanMove(from, to, core.ByReconciler|core.ByExecutor|core.ByRunner|core.ByPerson) {
				line += " " + string(to)
			}
		}
		if !from.Terminal() {
			want = append(want, line)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/model.md (-want +got):\n%s", diff)
	}
}

func doc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func testsOf(t *testing.T, patterns ...string) []string {
	t.Helper()
	var files []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	var out []string
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && strings.HasPrefix(f.Name.Name, "Test") {
				out = append(out, f.Name.Name)
			}
		}
	}
	return out
}
