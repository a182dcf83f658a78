package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

// watch follows a world from outside, all the time: the audit log, as the server tells
// it, and the argument lists of its processes. It sees what happens soon after,
// and remembers what it saw: the oracle compares that with what is there in the end.
type watch struct {
	w       *world
	cancel  context.CancelFunc
	done    chan struct{}
	waiting atomic.Int32 // who waits for an event

	asking  sync.Mutex // held by who asks for events
	mu      sync.Mutex
	events  []wire.Event
	changed chan struct{} // closed when there are more
	clear   []string      // where the canary was seen
}

func newWatch(w *world) *watch {
	ctx, cancel := context.WithCancel(context.Background())
	v := &watch{w: w, cancel: cancel, done: make(chan struct{}), changed: make(chan struct{})}
	go v.follow(ctx)
	return v
}

func (v *watch) stop() {
	v.cancel()
	<-v.done
}

func (v *watch) follow(ctx context.Context) {
	defer close(v.done)
	tick := time.NewTicker(closely)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if v.waiting.Load() > 0 || n%loosely == 0 {
			v.ask(ctx)
		}
		if n%loosely == 0 {
			v.look()
		}
	}
}

// How often a watch asks for events: as often as a fault's moment needs while somebody waits
// for it, and else every so many times. It was a quarter of what a world costs.
const (
	closely = 25 * time.Millisecond
	loosely = 10
)

// ask reads the events that are new. A server that is away has none.
func (v *watch) ask(ctx context.Context) {
	v.asking.Lock()
	defer v.asking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	events, err := v.w.api.Events(ctx, "", v.seen())
	if err != nil || len(events) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.events = append(v.events, events...)
	close(v.changed)
	v.changed = make(chan struct{})
}

// look reads argument lists.
func (v *watch) look() {
	for _, p := range v.w.processes(somethingOf) {
		if strings.Contains(strings.Join(p.args, " "), canary) {
			v.mu.Lock()
			v.clear = append(v.clear, fmt.Sprintf("the arguments of process %d: %q", p.pid, p.args))
			v.mu.Unlock()
		}
	}
}

// last is the number of the last event that there is.
func (v *watch) last() int64 {
	v.ask(v.w.Context())
	return v.seen()
}

// seen is the number of the last event that was seen.
func (v *watch) seen() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.events) == 0 {
		return 0
	}
	return v.events[len(v.events)-1].Seq
}

// since returns what there is after an event.
func (v *watch) since(seq int64) []wire.Event {
	v.ask(v.w.Context())
	all, _ := v.after(seq)
	return all
}

func (v *watch) after(seq int64) ([]wire.Event, <-chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for i := range v.events {
		if v.events[i].Seq > seq {
			return append([]wire.Event(nil), v.events[i:]...), v.changed
		}
	}
	return nil, v.changed
}

// first waits for the first event after seq that is one.
func (v *watch) first(seq int64, what string, is func(wire.Event) bool) wire.Event {
	v.w.Helper()
	v.waiting.Add(1)
	defer v.waiting.Add(-1)
	deadline := time.NewTimer(progressWithin)
	defer deadline.Stop()
	for {
		events, changed := v.after(seq)
		for _, e := range events {
			if is(e) {
				return e
			}
		}
		select {
		case <-changed:
		case <-deadline.C:
			v.w.Fatalf("waited %s for %s; since then there was:%s", progressWithin, what, tell(events))
		}
	}
}

// became waits until a run at an instance has a status, and returns the run.
func (v *watch) became(seq int64, instance, status string) string {
	v.w.Helper()
	var run string
	v.first(seq, "a run at "+instance+" to be "+status, func(e wire.Event) bool {
		if e.Kind != "run."+status {
			return false
		}
		run = e.On
		return status == "queued" && e.Data["instance"] == instance || v.isAt(run, instance)
	})
	return run
}

// isAt reports whether a run is at an instance, as its first event says.
func (v *watch) isAt(run, instance string) bool {
	all, _ := v.after(0)
	if at := queuedAt(all, run); at != "" {
		return at == instance
	}
	return queuedAt(v.since(0), run) == instance
}

// knows reports whether a run was queued after seq.
func (v *watch) knows(seq int64, run string) bool { return queuedAt(v.since(seq), run) != "" }

// queuedAt is the instance of a run, "" for one that is not in these events.
func queuedAt(events []wire.Event, run string) string {
	for _, e := range events {
		if e.Kind == "run.queued" && e.On == run {
			return e.Data["instance"]
		}
	}
	return ""
}

// none fails the trial when one of these kinds of events happened after seq.
func (v *watch) none(seq int64, kinds ...string) {
	v.w.Helper()
	all := v.since(seq)
	for _, e := range all {
		for _, kind := range kinds {
			v.w.wants(e.Kind != kind, "there is %s of %s %v, and nothing of the kind should have come of it:%s", e.Kind, e.On, e.Data, tell(all))
		}
	}
}

// count is how many events of a kind happened after seq.
func (v *watch) count(seq int64, kind string) int {
	n := 0
	for _, e := range v.since(seq) {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// event is what the server tells of one.
type event = wire.Event

func tell(events []wire.Event) string {
	var b strings.Builder
	for _, e := range events {
		_, _ = fmt.Fprintf(&b, "\n  %d %s %s %s %v by %s", e.Seq, e.At.Format("15:04:05.000"), e.Kind, e.On, e.Data, e.By)
	}
	return b.String()
}

// eventually waits for a condition as long as a world may take.
func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	testkit.Eventually(w, progressWithin, what, is)
}
