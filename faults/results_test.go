package faults

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"text/tabwriter"
	"time"
)

// results is what the table at the end is made from.
var results = &table{lines: map[line]*count{}}

type table struct {
	mu    sync.Mutex
	lines map[line]*count
}

type line struct {
	row    int
	engine string
}

type count struct{ runs, violations int }

func (t *table) add(row int, engine string, runs, violations int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.lines[line{row, engine}]
	if c == nil {
		c = &count{}
		t.lines[line{row, engine}] = c
	}
	c.runs += runs
	c.violations += violations
}

// print writes the table and returns how many violations are in it.
func (t *table) print(out io.Writer, took time.Duration) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.lines) == 0 {
		return 0
	}
	violations := 0
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "#\tfault\tengine\truns\tinvariant violations")
	for _, r := range slices.SortedFunc(slices.Values(rows), func(a, b row) int { return a.number - b.number }) {
		for _, engine := range []string{"sqlite", "postgres"} {
			c := t.lines[line{r.number, engine}]
			if c == nil {
				continue
			}
			number := fmt.Sprint(r.number)
			if r.number == randomKills {
				number = "-"
			}
			_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\n", number, r.fault, engineNames[engine], c.runs, c.violations)
			violations += c.violations
		}
	}
	_ = w.Flush()
	_, _ = fmt.Fprintf(out, "%d violations in %s; the first random kill has seed %d\n", violations, took.Round(time.Second), *seed)
	return violations
}

var engineNames = map[string]string{"sqlite": "SQLite", "postgres": "PostgreSQL"}

// progress tells whoever waits what goes on.
func progress(format string, args ...any) {
	_, _ = fmt.Fprintf(os.Stderr, "faults: "+format+"\n", args...)
}
