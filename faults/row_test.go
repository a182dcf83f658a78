package faults

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// row is a line of the fault table. Each is registered by an init of its own file.
type row struct {
	number int
	// fault names it, in the table that is printed.
	fault string
	// share names the databases on which some of it is in every test run: each world takes its
	// time, and together they have three minutes.
	share []string
	// only is the one database on which the fault can be made, "" for all.
	only string
	// run breaks something, as often as t.long asks for, and calls injected each time.
	run func(t *trial)
}

// randomKills is the number of what is not in the table: kills at random moments.
const randomKills = 0

var rows []row

func register(r row) { rows = append(rows, r) }

// engines give a fresh database: what terrace server takes with --database, "" for a
// file in the data folder.
var engines = map[string]func(testing.TB) string{
	"sqlite":   func(testing.TB) string { return "" },
	"postgres": testkit.Postgres,
}

// TestFaults runs the rows on the databases. Without -long it is a share of them.
func TestFaults(t *testing.T) {
	for _, r := range rows {
		for _, engine := range chosenDatabases() {
			if !chosen(r.number) || r.only != "" && r.only != engine || !*long && *only == "" && !slices.Contains(r.share, engine) {
				continue
			}
			if runs, ok := earlier.has(r.number, engine, ""); ok && r.number != randomKills {
				results.add(r.number, engine, runs, 0)
				continue
			}
			t.Run(fmt.Sprintf("%02d/%s", r.number, engine), func(t *testing.T) {
				t.Parallel()
				newTrial(t, r, engine).do(r.run)
			})
		}
	}
}

// trial is a row on a database, or a part of one.
type trial struct {
	*testing.T
	row    row
	engine string
	long   bool
	// rng is seeded: the same seed does the same.
	rng *rand.Rand

	mu               sync.Mutex
	runs, violations int
}

func newTrial(t *testing.T, r row, engine string) *trial {
	return &trial{T: t, row: r, engine: engine, long: *long, rng: newRand(*seed + uint64(r.number)<<32)}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x7465727261636521)) }

// do runs, and counts when everything in it is over.
func (t *trial) do(run func(*trial)) {
	began := time.Now()
	t.Cleanup(func() {
		if t.Failed() && t.violations == 0 {
			t.violations = 1 // it did not even come to an end
		}
		results.add(t.row.number, t.engine, t.runs, t.violations)
		if t.violations == 0 && t.row.number != randomKills {
			if err := earlier.add(t.row.number, t.engine, "", t.runs); err != nil {
				t.T.Error(err)
			}
		}
		verdict := "ok"
		if t.violations > 0 {
			verdict = fmt.Sprintf("%d VIOLATIONS", t.violations)
		}
		progress("row %d (%s) on %s: %d runs, %s, %s", t.row.number, t.row.fault, t.engine, t.runs, verdict, time.Since(began).Round(time.Second))
	})
	run(t)
}

// counts adds what a part of the trial came to.
func (t *trial) counts(runs, violations int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs += runs
	t.violations += violations
}

// Errorf, Fatalf and Fatal are testing.T's, and say at once what the test would say when
// everything is over: a long run is watched.
func (t *trial) Errorf(format string, args ...any) {
	t.Helper()
	progress("row %d on %s: "+format, append([]any{t.row.number, t.engine}, args...)...)
	t.T.Errorf(format, args...)
}

// Fatalf is described at Errorf.
func (t *trial) Fatalf(format string, args ...any) {
	t.Helper()
	progress("row %d on %s ends: "+format, append([]any{t.row.number, t.engine}, args...)...)
	t.T.Fatalf(format, args...)
}

// Fatal is described at Errorf.
func (t *trial) Fatal(args ...any) {
	t.Helper()
	t.Fatalf("%s", fmt.Sprint(args...))
}

// injected says that a fault was made.
func (t *trial) injected(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.runs++
	t.Logf("%s fault %d: %s", time.Now().Format("15:04:05.000"), t.runs, fmt.Sprintf(format, args...))
}

// violates counts a violation: of an invariant by its number, or of what the row's
// fault is expected to come to.
func (t *trial) violates(invariant, format string, args ...any) {
	t.Helper()
	t.counts(0, 1)
	t.Errorf("%s: %s", invariant, fmt.Sprintf(format, args...))
}

// wants is violates for what a row expects.
func (t *trial) wants(ok bool, format string, args ...any) {
	t.Helper()
	if !ok {
		t.violates("expected", format, args...)
	}
}

// times is how often something is done: in every test run, and in the long suite, where -times
// bounds it.
func (t *trial) times(short, all int) int {
	if t.long {
		return max(short, min(all, *times))
	}
	return short
}
