package faults

import (
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
)

func init() {
	register(row{number: 12, fault: "the database restarts in mid-run", only: "postgres", share: []string{"postgres"}, run: databaseRestarts})
}

// The database is killed and started again at random moments of rollouts, and once in the
// middle of an apply: nobody has to help.
func databaseRestarts(t *trial) {
	server := testkit.PostgresServer(t)
	w := newWorld(t, withDatabase(server.Database(t)))
	for i := range t.times(1, 20) {
		seq := w.watch.last()
		var g *gate
		if i%2 == 0 {
			environment := environments[t.rng.IntN(len(environments))]
			gate := w.gate(environment)
			g = &gate
		}
		commit := w.commit()
		if g != nil {
			w.reached(*g)
		} else {
			w.passes(w.somewhere(t.rng))
		}
		away := time.Duration(t.rng.Int64N(int64(2 * time.Second)))
		server.Kill()
		if g != nil {
			w.pass(*g)
		}
		w.passes(away)
		server.Start(t)
		t.injected("the database was killed, and away for %s", away.Round(time.Millisecond))
		did := w.settle(commit)
		t.wants(did == settled{}, "somebody had to help: %+v%s", did, tell(w.watch.since(seq)))
		w.check()
	}
	w.checkAll()
}
