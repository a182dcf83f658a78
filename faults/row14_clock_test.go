package faults

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
)

func init() {
	register(row{number: 14, fault: "the clock a day forward, a day back", run: clockJumps})
}

// bakes is the bake of dev in this row.
const bakes = 6 * time.Second

// The database's clock, by which everything is dated, jumps in the middle of an apply and
// in the middle of a bake. Leases hold, the apply ends well, and the bake takes as long as
// it should.
func clockJumps(t *trial) {
	w := newWorld(t, func(w *world) {
		w.inEnvironment = map[string]string{"dev": fmt.Sprintf("bake = %q", bakes)}
		w.ready = (*world).fakeClock
	})
	jumps := []time.Duration{24 * time.Hour, -24 * time.Hour}
	if t.long {
		jumps = append(jumps, time.Hour, -time.Hour, 90*24*time.Hour) // a change to and from daylight saving, should anybody take local time for it
	}
	for _, jump := range jumps {
		seq := w.watch.last()
		gate := w.gate("staging")
		commit := w.commit()
		run := w.watch.became(seq, "web@staging", "applying")
		w.reached(gate)
		w.setClock(jump)
		w.passes(2 * time.Second) // heartbeats come, and are dated otherwise
		w.pass(gate)
		t.injected("the clock by %s in the apply of %s", jump, run)
		did := w.settle(commit)
		t.wants(did == settled{}, "somebody had to help: %+v%s", did, tell(w.watch.since(seq)))
		w.check()
		w.setClock(0)

		seq = w.watch.last()
		commit = w.commit()
		w.watch.first(seq, "the bake to begin", func(e event) bool { return e.Kind == "stage.baking" && e.On == "dev" })
		began := time.Now()
		w.setClock(jump)
		t.injected("the clock by %s in the bake of dev", jump)
		w.watch.first(seq, "the bake to end", func(e event) bool { return e.Kind == "stage.succeeded" && e.On == "dev" })
		took := time.Since(began)
		t.wants(took > bakes-time.Second && took < bakes+30*time.Second, "a bake of %s took %s when the clock jumped by %s", bakes, took.Round(100*time.Millisecond), jump)
		did = w.settle(commit)
		t.wants(did == settled{}, "somebody had to help: %+v%s", did, tell(w.watch.since(seq)))
		w.check()
		w.setClock(0)
	}
	w.checkAll()
}

// fakeClock puts another clock_timestamp before PostgreSQL's own.
func (w *world) fakeClock() {
	w.Helper()
	if w.database == "" {
		return
	}
	w.sql(`CREATE SCHEMA faults`,
		`CREATE TABLE faults.ahead (by interval NOT NULL)`,
		`INSERT INTO faults.ahead VALUES ('0')`,
		`CREATE FUNCTION faults.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.clock_timestamp() + by FROM faults.ahead'`,
		`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, faults, pg_catalog', current_database()); END $$`)
}

// setClock sets how far the database's clock is ahead.
func (w *world) setClock(ahead time.Duration) {
	w.Helper()
	w.jumped = true
	if w.database != "" {
		w.sql(fmt.Sprintf(`UPDATE faults.ahead SET by = interval '%d seconds'`, int64(ahead.Seconds())))
		return
	}
	temp := w.file("clock.new")
	if err := errors.Join(os.WriteFile(temp, []byte(ahead.String()), 0o600), os.Rename(temp, w.file("clock"))); err != nil {
		w.Fatal(err)
	}
}

func (w *world) sql(statements ...string) {
	w.Helper()
	conn, err := pgx.Connect(w.Context(), w.database)
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = conn.Close(w.Context()) }() // everything is committed
	for _, s := range statements {
		if _, err := conn.Exec(w.Context(), s); err != nil {
			w.Fatalf("%s: %v", s, err)
		}
	}
}
