package faults

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func init() {
	register(row{number: 8, fault: "cut runner and server for 5 s, and for 10 min", share: []string{"sqlite"}, run: cut})
}

// Runner and server are cut from each other in the middle of an apply, which ends while
// they are: the runner keeps what it has to say. In the end it is as if nothing had been.
func cut(t *trial) {
	lengths := []time.Duration{5 * time.Second}
	if t.long {
		lengths = []time.Duration{5 * time.Second, 5 * time.Second, 20 * time.Second, 90 * time.Second}
		var beside sync.WaitGroup // it waits most of the time: it takes nobody's place
		defer beside.Wait()
		beside.Go(func() {
			t.Run("10m", func(sub *testing.T) {
				part := newTrial(sub, t.row, t.engine)
				defer func() { t.counts(part.runs, part.violations) }()
				part.cuts(10 * time.Minute)
			})
		})
	}
	t.cuts(lengths...)
}

func (t *trial) cuts(lengths ...time.Duration) {
	w := newWorld(t)
	for _, length := range lengths {
		environment := environments[t.rng.IntN(len(environments))]
		seq := w.watch.last()
		gate := w.gate(environment)
		commit := w.commit()
		run := w.watch.became(seq, "web@"+environment, "applying")
		w.reached(gate)
		w.door.cut()
		w.passes(length / 5)
		w.pass(gate)
		w.passes(length - length/5)
		w.door.mend()
		t.injected("%s without a connection, in the apply of %s at web@%s", length, run, environment)
		did := w.settle(commit)
		t.wants(did == settled{}, "somebody had to help: %+v", did)
		w.watch.none(seq, "run.unknown", "run.failed", "run.errored", "environment.held", "state.kept_aside")
		w.wholeLog(run)
		w.check()
	}
	w.checkAll()
}

// wholeLog wants a run's log to be without a gap and without a repetition: its chunks,
// and the lines that a gate counts.
func (w *world) wholeLog(run string) {
	w.Helper()
	var text strings.Builder
	var at, seq int64
	for {
		chunks, err := w.api.Logs(w.Context(), run, seq)
		if err != nil {
			w.Fatal(err)
		}
		if len(chunks) == 0 {
			break
		}
		for _, c := range chunks {
			w.wants(c.Seq == seq+1 && c.Offset == at, "after chunk %d, which ends at %d, the log of %s has chunk %d, which begins at %d", seq, at, run, c.Seq, c.Offset)
			_, _ = text.WriteString(c.Text)
			seq, at = c.Seq, c.Offset+int64(len(c.Text))
		}
	}
	counted, end := 0, -1
	for _, m := range countedLine.FindAllStringSubmatch(text.String(), -1) {
		n := int(number(m[2]))
		if m[1] == "last" {
			end = n
			continue
		}
		counted++
		w.wants(n == counted, "the log of %s has line %d where line %d belongs", run, n, counted)
	}
	w.wants(end == counted && counted > 0, "the log of %s has %d lines of the gate, which wrote %d", run, counted, end)
}

// countedLine is what a gate's script says, and how much it said.
var countedLine = regexp.MustCompile(`\b(line|last) (\d+)\b`)
