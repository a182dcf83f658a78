package config

import (
	"fmt"
	"strings"
)

// Diff shows what differs between two versions of a text, line by line, with three lines
// around each change: a unified diff, "" when they are equal.
func Diff(name string, before, after []byte) string {
	edits := compare(lines(before), lines(after))
	const around = 3
	var out strings.Builder
	for at := 0; ; {
		first := nextChange(edits, at)
		if first < 0 {
			return out.String()
		}
		last := first
		for next := first; next >= 0 && next-last <= 2*around; next = nextChange(edits, last+1) {
			last = next
		}
		if out.Len() == 0 {
			fmt.Fprintf(&out, "--- %s\n+++ %s\n", name, name)
		}
		hunk(&out, edits, max(0, first-around), min(len(edits), last+around+1))
		at = last + 1
	}
}

// edit is a line that stays (' '), goes ('-') or comes ('+').
type edit struct {
	sign byte
	text string
}

func nextChange(edits []edit, from int) int {
	for i := from; i < len(edits); i++ {
		if edits[i].sign != ' ' {
			return i
		}
	}
	return -1
}

func hunk(out *strings.Builder, edits []edit, from, to int) {
	a, b, aLen, bLen := 1, 1, 0, 0
	for i, e := range edits[:to] {
		inBefore, inAfter := e.sign != '+', e.sign != '-'
		switch {
		case i >= from && inBefore && inAfter:
			aLen, bLen = aLen+1, bLen+1
		case i >= from && inBefore:
			aLen++
		case i >= from:
			bLen++
		case inBefore && inAfter:
			a, b = a+1, b+1
		case inBefore:
			a++
		default:
			b++
		}
	}
	fmt.Fprintf(out, "@@ -%d,%d +%d,%d @@\n", a, aLen, b, bLen)
	for _, e := range edits[from:to] {
		out.WriteString(string(e.sign) + e.text + "\n")
	}
}

// maxCompared bounds the work of finding what two texts share, in pairs of lines; beyond it
// everything between their common beginning and end counts as changed.
const maxCompared = 4_000_000

// compare finds the longest run of lines that two texts share, in order.
func compare(a, b []string) (edits []edit) {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		edits = append(edits, edit{' ', a[0]})
		a, b = a[1:], b[1:]
	}
	var end []edit
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		end = append(end, edit{' ', a[len(a)-1]})
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	i, j := 0, 0
	if shared := sharedLines(a, b); shared != nil {
		for i < len(a) && j < len(b) {
			switch {
			case a[i] == b[j]:
				edits = append(edits, edit{' ', a[i]})
				i, j = i+1, j+1
			case shared[i+1][j] >= shared[i][j+1]:
				edits = append(edits, edit{'-', a[i]})
				i++
			default:
				edits = append(edits, edit{'+', b[j]})
				j++
			}
		}
	}
	for ; i < len(a); i++ {
		edits = append(edits, edit{'-', a[i]})
	}
	for ; j < len(b); j++ {
		edits = append(edits, edit{'+', b[j]})
	}
	for k := len(end) - 1; k >= 0; k-- {
		edits = append(edits, end[k])
	}
	return edits
}

// sharedLines says how many lines the rest of a from i and that of b from j share; nil when
// that is too much work.
func sharedLines(a, b []string) [][]int32 {
	if len(a)*len(b) > maxCompared {
		return nil
	}
	table := make([][]int32, len(a)+1)
	for i := range table {
		table[i] = make([]int32, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			table[i][j] = max(table[i+1][j], table[i][j+1])
			if a[i] == b[j] {
				table[i][j] = table[i+1][j+1] + 1
			}
		}
	}
	return table
}

func lines(src []byte) []string {
	if len(src) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(src), "\n"), "\n")
}
