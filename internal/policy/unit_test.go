package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/policy"
)

const sizesTest = `package main_test

import data.main

huge := {"resource_changes": [{"address": "a.b", "change": {"after": {"size": "huge"}}}]}

test_huge_is_denied if main.deny == {"a.b is huge"} with input as huge

test_small_is_not if count(main.deny) == 0 with input as {"resource_changes": []}

test_wrong if {
	print("denied:", main.deny)
	main.deny == {"another"} with input as huge
}

test_cases[name] if {
	some name, want in {"one": 1, "two": 2}
	count(main.deny) == want with input as huge
}

test_conflict if broken == 1

broken := 1

broken := 2

todo_test_later if false
`

func TestTest(t *testing.T) {
	t.Parallel()
	results, err := policy.Test(t.Context(), set("sizes.rego", sizes, "sizes_test.rego", sizesTest))
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, r := range results {
		_, _ = fmt.Fprintf(&got, "%s:%d: %s: %s %s %q\n", r.File, r.Line, r.Name, r.Result, r.Message, r.Printed)
	}
	golden(t, "tests", got.String())
}

func TestTestsAreBoundedToo(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"network": "package main\n\ntest_x if http.send({\"method\": \"get\", \"url\": \"http://127.0.0.1\"})\n", "syntax": "package main\n\ntest_x if {\n", "unsafe": "package main\n\ntest_x if x == 1\n",
	} {
		if _, err := policy.Test(t.Context(), set("a_test.rego", text)); core.CodeOf(err) != core.Invalid || !strings.Contains(err.Error(), "policies/a_test.rego:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is in a file with tests judges no plan.
func TestTestsDoNotJudge(t *testing.T) {
	t.Parallel()
	checks := policy.Judge(t.Context(), set("sizes.rego", sizes, "sizes_test.rego", "package main\n\ndeny contains \"from a test\"\n"), document(t))
	if len(checks) != 1 || strings.Contains(checks[0].Message, "from a test") {
		t.Errorf("%+v", checks)
	}
}
