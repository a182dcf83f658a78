package modules

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestVersionOfATag(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ pattern, tag, want string }{
		{"*", "v1.2.3", "1.2.3"},
		{"*", "1.2.3", "1.2.3"},
		{"v*", "v1.2.3", "1.2.3"},
		{"v*", "1.2.3", ""},
		{"vpc/v*", "vpc/v1.2.3-rc.1", "1.2.3-rc.1"},
		{"vpc/v*", "dns/v1.2.3", ""},
		{"vpc-*", "vpc-1.0.0", "1.0.0"},
		{"*-aws", "1.0.0-aws", "1.0.0"},
		{"*", "1.2", ""},
		{"*", "1.2.3.4", ""},
		{"*", "01.2.3", ""},
		{"*", "1.2.3+build", ""},
		{"*", "vv1.2.3", ""},
		{"*", "1.2.3\n", ""},
		{"*", "1.2.3-../../x", ""},
		{"*", "99999999999999999999.0.0", ""},
		{"*", "1.0.0-" + strings.Repeat("a", 200), ""},
		{"release-*-x", "release-x", ""},
		{"*", "latest", ""},
	} {
		if got, _ := versionOf(c.pattern, c.tag); got != c.want {
			t.Errorf("%q is version %q of %q, want %q", c.tag, got, c.pattern, c.want)
		}
	}
	fresh := freshTags("*", map[string]string{"v1.0.0": "a", "1.0.0": "b", "1.1.0": "c", "v2.0.0": "d", "x": "e"}, map[string]bool{"2.0.0": true})
	if d := cmp.Diff([]string{"1.1.0", "v1.0.0"}, fresh); d != "" {
		t.Errorf("fresh tags (-want +got):\n%s", d)
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	var all []core.ModuleVersion
	for _, v := range []string{"1.0.0", "1.10.0", "1.9.0", "2.0.0-rc.1", "0.9.0"} {
		all = append(all, core.ModuleVersion{Version: v})
	}
	all = append(all, core.ModuleVersion{Version: "1.11.0", Gone: true})
	for constraint, want := range map[string]string{
		"":               "1.10.0",
		"~> 1.0":         "1.10.0",
		"~> 1.9.0":       "1.9.0",
		">= 0.9, < 1.10": "1.9.0",
		"= 2.0.0-rc.1":   "2.0.0-rc.1",
		"2.0.0-rc.1":     "2.0.0-rc.1",
		">= 2.0.0-rc.1":  "",
		"1.11.0":         "",
		"~> 3":           "",
		"nonsense":       "",
	} {
		if got, _ := newest(all, constraint); got.Version != want {
			t.Errorf("%q gets %q, want %q", constraint, got.Version, want)
		}
	}
	var order []string
	for _, v := range newestFirst(all) {
		order = append(order, v.Version)
	}
	if d := cmp.Diff([]string{"2.0.0-rc.1", "1.11.0", "1.10.0", "1.9.0", "1.0.0", "0.9.0"}, order); d != "" {
		t.Errorf("newest first (-want +got):\n%s", d)
	}
}
