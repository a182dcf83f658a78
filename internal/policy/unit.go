package policy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/tester"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// How a test ends.
const (
	Passed  = "passed"
	Failed  = "failed"
	Errored = "errored"
	Skipped = "skipped"
)

// Tested is how one test of a policy ended. A test is a rule whose name begins with test_;
// one that begins with todo_test_ is skipped.
type Tested struct {
	Name    string   `json:"name"`
	File    string   `json:"file"`
	Line    int      `json:"line"`
	Result  string   `json:"result"`
	Message string   `json:"message,omitempty"`
	Printed []string `json:"printed,omitempty"`
	Took    float64  `json:"took_ms"`
}

// Test runs the tests in a set, with what policies may use and no more. They are in order
// of file and line. An Invalid error says why the set does not compile.
func Test(ctx context.Context, p wire.Policy) ([]Tested, error) {
	s := &Set{source: p, limits: DefaultLimits}
	if err := s.parse(p.Files); err != nil {
		return nil, err
	}
	compiler := ast.NewCompiler().WithCapabilities(capabilities()).WithEnablePrintStatements(true)
	runner := tester.NewRunner().SetCompiler(compiler).SetModules(s.modules).SetTimeout(s.limits.Time)
	all, err := bounded(ctx, s.limits, func(ctx context.Context) ([]Tested, error) {
		results, err := runner.RunTests(ctx, nil)
		if err != nil {
			return nil, err
		}
		var all []Tested
		for r := range results {
			all = append(all, tested(r))
		}
		return all, nil
	})
	switch {
	case compiler.Failed():
		return nil, s.invalid(lines(compiler.Errors))
	case err != nil:
		return nil, core.Errorf(core.Invalid, "the tests of %s cannot be run: %w", p.Name, err)
	}
	slices.SortFunc(all, func(a, b Tested) int {
		return cmp.Or(strings.Compare(a.File, b.File), a.Line-b.Line, strings.Compare(a.Name, b.Name))
	})
	return all, nil
}

func tested(r *tester.Result) Tested {
	t := Tested{Name: strings.TrimPrefix(r.Package, "data.") + "." + r.Name, Result: Passed, Took: float64(r.Duration) / float64(time.Millisecond)}
	if r.Location != nil {
		t.File, t.Line = r.Location.File, r.Location.Row
	}
	if len(r.Output) > 0 {
		t.Printed = strings.Split(strings.TrimRight(string(r.Output), "\n"), "\n")
	}
	switch {
	case r.Skip:
		t.Result = Skipped
	case r.Error != nil:
		t.Result, t.Message = Errored, plain(r.Error).Error()
	case r.Fail:
		t.Result, t.Message = Failed, failedCases("", r.SubResults)
		t.Message = cmp.Or(t.Message, "it does not hold")
	}
	return t
}

// failedCases names the cases of a test that fail: test_x[name].
func failedCases(in string, all tester.SubResultMap) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		switch r := all[name]; {
		case !r.Fail:
		case len(r.SubResults) > 0:
			out = append(out, failedCases(in+name+": ", r.SubResults))
		default:
			out = append(out, fmt.Sprintf("%s%s does not hold", in, name))
		}
	}
	return strings.Join(out, "; ")
}
