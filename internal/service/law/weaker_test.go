package law

import (
	"strings"
	"testing"
)

// Rule 28: what a commit takes away is told, and nothing else.
func TestRule28_WhatIsWeakerIsTold(t *testing.T) {
	t.Parallel()
	const strict = `
project "shop" {}
environment "dev" {}
environment "production" {
  after       = ["dev"]
  bake        = "30m"
  max_destroy = 1
  approval {
    count  = 2
    others = true
  }
  window {
    days = ["mon"]
  }
}
stack "db" {
  path          = "stacks/db"
  stateful      = ["terraform_data.*"]
  immutable     = ["a.b"]
  zero_downtime = true
}
`
	was := Of(repository(t, strict), "production", "was")
	for name, c := range map[string]struct{ old, new, want string }{
		"the same":          {"", "", ""},
		"approval":          {"  approval {\n    count  = 2\n    others = true\n  }\n", "", "the approval is gone"},
		"count":             {"count  = 2", "count  = 1", "the approval takes 1 instead of 2"},
		"others":            {"others = true", "", "the approval may come from the author"},
		"from":              {"others = true", "others = true\n    from = [\"user:eve\", \"user:bo\"]", "the approval is asked of user:eve, user:bo instead of any operator"},
		"after":             {`after       = ["dev"]`, "", "it no longer comes after dev"},
		"bake":              {`bake        = "30m"`, `bake = "90s"`, "the bake takes 1m30s instead of 30m"},
		"a longer bake":     {`bake        = "30m"`, `bake = "2h"`, ""},
		"limit":             {"max_destroy = 1", "", "max_destroy = 1 is gone"},
		"a higher limit":    {"max_destroy = 1", "max_destroy = 100", "max_destroy is 100 instead of 1"},
		"a lower limit":     {"max_destroy = 1", "max_destroy = 0", ""},
		"window":            {`days = ["mon"]`, `days = ["mon", "tue"]`, "its windows are others, or gone"},
		"stateful":          {`stateful      = ["terraform_data.*"]`, "", "of db, terraform_data.* is no longer stateful"},
		"immutable":         {`immutable     = ["a.b"]`, `immutable = ["a.b", "c.d"]`, ""},
		"no longer":         {`immutable     = ["a.b"]`, "", "of db, a.b is no longer immutable"},
		"zero_downtime":     {"zero_downtime = true", "", "db no longer has zero_downtime"},
		"an unrelated line": {"project \"shop\" {}", "project \"shop\" {\n  parallel = 3\n}", ""},
	} {
		if !strings.Contains(strict, c.old) {
			t.Fatalf("%s: nothing to replace", name)
		}
		is := Of(repository(t, strings.Replace(strict, c.old, c.new, 1)), "production", "is")
		if got := strings.Join(Weaker(was, is), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
