package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// problems collects diagnostics. What is wrong in the same way for many instances is
// one problem that lists them.
type problems struct {
	diags  hcl.Diagnostics
	groups map[groupKey]*group
	order  []*group
	// bad holds expressions that refer to something that does not exist: they are not
	// evaluated, since that would only report it again.
	bad map[hclsyntax.Expression]bool
	// source is the file that bodies are read from, top the schema of all of it.
	source []byte
	top    *blockSchema
}

type groupKey struct {
	severity                hcl.DiagnosticSeverity
	file                    string
	offset                  int
	summary, before, remedy string
}

type group struct {
	diag           *hcl.Diagnostic
	before, remedy string
	where          []string
}

func (p *problems) error(rng hcl.Range, summary, detail string) {
	p.diags = append(p.diags, diagnostic(hcl.DiagError, rng, summary, detail))
}

func (p *problems) warning(rng hcl.Range, summary, detail string) {
	p.diags = append(p.diags, diagnostic(hcl.DiagWarning, rng, summary, detail))
}

func diagnostic(severity hcl.DiagnosticSeverity, rng hcl.Range, summary, detail string) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: severity, Summary: summary, Detail: detail, Subject: rng.Ptr()}
}

// at adds a problem that concerns where, an instance or an environment. The detail
// reads: before, the list of places, remedy.
func (p *problems) at(where string, severity hcl.DiagnosticSeverity, rng hcl.Range, summary, before, remedy string) {
	key := groupKey{severity, rng.Filename, rng.Start.Byte, summary, before, remedy}
	g := p.groups[key]
	if g == nil {
		if p.groups == nil {
			p.groups = map[groupKey]*group{}
		}
		g = &group{diag: diagnostic(severity, rng, summary, ""), before: before, remedy: remedy}
		p.groups[key] = g
		p.order = append(p.order, g)
	}
	if len(g.where) == 0 || g.where[len(g.where)-1] != where {
		g.where = append(g.where, where)
	}
}

// all returns everything in the order of the files, terrace.hcl first.
func (p *problems) all(first string) hcl.Diagnostics {
	diags := slices.Clone(p.diags)
	for _, g := range p.order {
		g.diag.Detail = strings.TrimSpace(g.before + " " + "Concerns " + listed(g.where, 8) + ". " + g.remedy)
		diags = append(diags, g.diag)
	}
	slices.SortStableFunc(diags, func(a, b *hcl.Diagnostic) int {
		ra, rb := rangeOf(a), rangeOf(b)
		if ra.Filename != rb.Filename {
			if ra.Filename == first {
				return -1
			}
			if rb.Filename == first {
				return 1
			}
		}
		return cmp.Or(strings.Compare(ra.Filename, rb.Filename), cmp.Compare(ra.Start.Byte, rb.Start.Byte), strings.Compare(a.Summary, b.Summary))
	})
	if len(diags) == 0 {
		return nil
	}
	return diags
}

func rangeOf(d *hcl.Diagnostic) hcl.Range {
	if d.Subject == nil {
		return hcl.Range{}
	}
	return *d.Subject
}

// listed writes "a, b and 3 more", naming at most limit of them.
func listed(names []string, limit int) string {
	if len(names) > limit {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:limit], ", "), len(names)-limit)
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

// quoted is listed with each name in quotes.
func quoted(names []string, limit int) string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = fmt.Sprintf("%q", n)
	}
	return listed(out, limit)
}

// didYouMean returns ` Did you mean "x"?`, or "" when no candidate is close.
func didYouMean(given string, candidates []string) string {
	if s := Closest(given, candidates); s != "" {
		return fmt.Sprintf(" Did you mean %q?", s)
	}
	return ""
}

// Closest finds what was probably meant, "" when nothing is close.
func Closest(given string, candidates []string) string {
	lower := strings.ToLower(given)
	best, limit := "", 3
	if len(given) <= 3 {
		limit = 2
	}
	for _, c := range candidates {
		if d := distance(lower, strings.ToLower(c)); d < limit {
			best, limit = c, d
		}
	}
	if best != "" {
		return best
	}
	// An abbreviation, or a word with something added.
	for _, c := range candidates {
		if len(given) >= 3 && strings.HasPrefix(c, lower) || len(c) >= 3 && strings.HasPrefix(lower, c) || len(c) >= 4 && strings.HasSuffix(lower, c) {
			return c
		}
	}
	return ""
}

// distance counts the letters to insert, remove, change or swap with their neighbour
// to make b of a.
func distance(a, b string) int {
	if abs(len(a)-len(b)) > 2 {
		return 3 // more than anybody asks for
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := last[j-1]
			if a[i-1] != b[j-1] {
				change++
			}
			row[j] = min(change, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
