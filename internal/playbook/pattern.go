package playbook

import (
	"path"
	"slices"
	"strings"
)

// concerns reports whether a play may run on a host. named has the inventory's groups and
// hosts: a name that is none of them may be a group that a play makes.
// https://docs.ansible.com/ansible/latest/inventory_guide/intro_patterns.html
func concerns(pattern, host string, groups []string, named map[string]bool) bool {
	if templated(pattern) {
		return true
	}
	in, and, out := false, true, false
	positive := false
	for _, term := range terms(pattern) {
		switch term[0] {
		case '!':
			out = out || excluded(term[1:], host, groups)
		case '&':
			and = and && selects(term[1:], host, groups, named)
		default:
			positive = true
			in = in || selects(term, host, groups, named)
		}
	}
	// Without a term that selects, the others are of all hosts.
	return (in || !positive) && and && !out
}

// terms splits a pattern at commas, or at colons when it has none. Empty terms are dropped.
func terms(pattern string) []string {
	split := ":"
	if strings.Contains(pattern, ",") {
		split = ","
	}
	var out []string
	for term := range strings.SplitSeq(pattern, split) {
		if term = strings.TrimSpace(term); term != "" {
			out = append(out, term)
		}
	}
	return out
}

// selects errs to yes.
func selects(term, host string, groups []string, named map[string]bool) bool {
	if i := strings.IndexByte(term, '['); i > 0 && !strings.HasPrefix(term, "~") {
		term = term[:i] // one of them, or some: any may be
	}
	switch {
	case term == "" || term == "all" || term == "*" || strings.HasPrefix(term, "~"):
		return true
	case term == host || slices.Contains(groups, term):
		return true
	case strings.ContainsAny(term, "*?["):
		return matches(term, host, groups)
	case term == "localhost" || term == "127.0.0.1" || term == "::1":
		return named[term] // the implicit one is no host of the inventory
	case term == "ungrouped":
		return len(groups) == 0
	}
	return !named[term]
}

// excluded errs to no.
func excluded(term, host string, groups []string) bool {
	return term == "all" || term == "*" || term == host || slices.Contains(groups, term)
}

// matches reports whether a pattern with wildcards fits a host or one of its groups. One
// that cannot be read fits.
func matches(pattern, host string, groups []string) bool {
	for _, name := range append([]string{host}, groups...) {
		if ok, err := path.Match(pattern, name); ok || err != nil {
			return true
		}
	}
	return false
}
