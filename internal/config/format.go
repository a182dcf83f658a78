package config

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns src in the canonical style. It changes layout only. A source that
// does not parse comes back as it is; CheckSyntax says why.
func Format(src []byte) []byte {
	if CheckSyntax(FileName, src).HasErrors() {
		return src
	}
	out := hclwrite.Format(src)
	out = bytes.TrimRight(out, "\n")
	if len(out) == 0 {
		return nil
	}
	return append(out, '\n')
}

// CheckSyntax reports what keeps a source from being parsed at all.
func CheckSyntax(name string, src []byte) hcl.Diagnostics {
	_, diags := parse(name, src)
	return diags
}

// Diff shows what differs between two versions of a text, line by line, with three
// lines around each change: a unified diff. Formatting moves no lines except at the
// end, so lines are compared in place.
func Diff(name string, before, after []byte) string {
	if bytes.Equal(before, after) {
		return ""
	}
	a, b := lines(before), lines(after)
	var changed []int
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			changed = append(changed, i)
		}
	}
	const around = 3
	var out strings.Builder
	fmt.Fprintf(&out, "--- %s\n+++ %s\n", name, name)
	for len(changed) > 0 {
		n := 1
		for n < len(changed) && changed[n]-changed[n-1] <= 2*around {
			n++
		}
		from, to := max(0, changed[0]-around), changed[n-1]+around+1
		hunk(&out, a, b, from, to)
		changed = changed[n:]
	}
	return out.String()
}

func hunk(out *strings.Builder, a, b []string, from, to int) {
	aTo, bTo := min(to, len(a)), min(to, len(b))
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", from+1, max(0, aTo-from), from+1, max(0, bTo-from))
	for i := from; i < max(aTo, bTo); {
		if i < aTo && i < bTo && a[i] == b[i] {
			out.WriteString(" " + a[i] + "\n")
			i++
			continue
		}
		end := i
		for end < max(aTo, bTo) && (end >= aTo || end >= bTo || a[end] != b[end]) {
			end++
		}
		for _, l := range slices.Concat(prefix("-", a, i, min(end, aTo)), prefix("+", b, i, min(end, bTo))) {
			out.WriteString(l + "\n")
		}
		i = end
	}
}

func prefix(sign string, list []string, from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, sign+list[i])
	}
	return out
}

func lines(src []byte) []string {
	if len(src) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(src), "\n"), "\n")
}
