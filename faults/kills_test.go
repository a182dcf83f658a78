package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"
)

func init() {
	register(row{number: randomKills, fault: "kill -9 at random moments", share: []string{"sqlite", "postgres"}, run: killsAtRandom})
}

// killsPerWorld is how many kills a world has to stand.
const killsPerWorld = 20

// killsAtRandom pushes commit after commit and kills what works on them, somewhere between
// the push and production. Each kill has a seed of its own, from which its victims follow, and
// its moment as a share of what the world's first rollout took, so that one of them can be
// repeated: make faults ROWS=0 KILLS=1 SEED=…
func killsAtRandom(t *trial) {
	n := *kills
	if n < 0 {
		n = map[string]int{"sqlite": 2, "postgres": 1}[t.engine]
		if t.long {
			n = 200
		}
	}
	for first := 0; first < n; first += killsPerWorld {
		// A world of its own, and the test's cleanup with it, beside the others. One that broke
		// is left.
		last := min(n, first+killsPerWorld)
		part := fmt.Sprintf("from-%d", first)
		if runs, ok := earlier.has(randomKills, t.engine, part); ok && runs == last-first {
			t.counts(runs, 0)
			continue
		}
		t.Run(part, func(sub *testing.T) {
			sub.Parallel()
			trial := newTrial(sub, t.row, t.engine)
			defer func() {
				t.counts(trial.runs, trial.violations)
				if trial.violations == 0 && !sub.Failed() {
					if err := earlier.add(randomKills, t.engine, part, trial.runs); err != nil {
						sub.Error(err)
					}
				}
			}()
			w := newWorld(trial)
			for i := first; i < last; i++ {
				w.killAtRandom(*seed+uint64(i), fmt.Sprintf("%d/%d", i+1, n))
			}
			w.checkAll()
		})
	}
}

// killAtRandom is one kill, or two in a row.
func (w *world) killAtRandom(seed uint64, label string) {
	w.Helper()
	rng := newRand(seed)
	began, seq, violations := time.Now(), w.watch.last(), w.violations
	commit := w.commit()
	var did []string
	for range 1 + rng.IntN(2) {
		moment := w.somewhere(rng)
		victims := draw(rng)
		w.passes(moment)
		for _, victim := range victims {
			if n := w.kill(victim); n > 0 {
				did = append(did, fmt.Sprintf("%d %s at %s", n, victim, moment.Round(time.Millisecond)))
			}
		}
	}
	what := "nothing, the victims were not there"
	if len(did) > 0 {
		what = strings.Join(did, ", ")
	}
	w.injected("seed %d: %s", seed, what)
	helped := w.settle(commit)
	if len(did) > 0 && !strings.Contains(what, aRunner) && !strings.Contains(what, anEngine) && !strings.Contains(what, aProvider) {
		w.wants(helped == settled{}, "only the server was killed, and somebody had to help: %+v%s", helped, tell(w.watch.since(seq)))
	}
	w.check()
	if w.violations > violations {
		w.Logf("what happened:%s", tell(w.watch.since(seq)))
	}
	verdict := "ok"
	if w.violations > violations {
		verdict = "VIOLATED; again with: make faults ROWS=0 KILLS=1 SEED=" + fmt.Sprint(seed)
	}
	progress("%s kill %s, seed %d: killed %s; recovered %d, started again %d; %s, %s", w.engine, label, seed, what, helped.recovered, helped.again, verdict,
		time.Since(began).Round(100*time.Millisecond))
}

// draw chooses victims: mostly one, sometimes several at once.
func draw(rng *rand.Rand) []string {
	all := []string{theServer, aRunner, anEngine, aProvider}
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	if rng.IntN(4) == 0 {
		return all[:2+rng.IntN(3)]
	}
	if rng.IntN(2) == 0 {
		return []string{theServer}
	}
	return all[:1]
}

// kill kills all processes of a kind, and starts the server again if it was that.
func (w *world) kill(kind string) int {
	w.Helper()
	if kind == theServer {
		w.stop(syscall.SIGKILL)
		w.start()
		return 1
	}
	victims := w.processes(kind)
	for _, p := range victims {
		w.signal(p.pid, syscall.SIGKILL)
	}
	return len(victims)
}

// somewhere is how long after a push it is somewhere between that and production.
func (w *world) somewhere(rng *rand.Rand) time.Duration {
	return time.Duration(rng.Float64() * float64(w.takes))
}

// passes lets time pass: a moment is all that some faults are made of.
func (w *world) passes(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.Context().Done():
	}
}
