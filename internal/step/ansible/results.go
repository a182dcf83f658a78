package ansible

import (
	"cmp"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/wire"
)

// Bounds of what is kept of one run.
const (
	maxChanges  = 100     // of a host
	maxDiff     = 4 << 10 // of a task on a host
	maxDiffs    = 2 << 20 // of all together
	maxMessage  = 2 << 10
	maxFailures = 20 // of items of one task
)

// Statuses of a host.
const (
	statusDone        = "done"
	statusFailed      = "failed"
	statusUnreachable = "unreachable"
	statusLeft        = "left"
)

// results are what is known of a run from its events.
type results struct {
	o     Options
	limit []string

	mu       sync.Mutex
	seen     int // events
	plays    []play
	hosts    map[string]*host
	items    map[string][]string // failures of items, by host and task
	handlers map[string]bool     // by task and place
	recap    []wire.Recap        // Ansible's own, from its end
	diffs    int                 // bytes kept
	finished bool                // every play came to its end
}

type play struct {
	planned
	begun bool
	batch []string        // the hosts of the one that runs
	hosts map[string]bool // those of the plan, and of all batches so far
}

// add notes hosts of the play. A fleet has thousands of them, and is asked for each of them
// in every report.
func (p *play) add(names []string) {
	if p.hosts == nil {
		p.hosts = make(map[string]bool, len(names))
	}
	for _, name := range names {
		p.hosts[name] = true
	}
}

// host is what is known of one.
type host struct {
	counts  wire.Recap
	silent  *event // it did not let us in
	trouble *event // the last failure that was not rescued or ignored
	// What the end of the last batch that it was in says.
	failed, unreachable, stopped bool

	done    map[string]bool // plays that came to their end here
	changes []wire.TaskChange
	more    int // changes that are not kept
}

func newResults(o Options, limit []string) *results {
	return &results{o: o, limit: limit, hosts: map[string]*host{}, items: map[string][]string{}, handlers: map[string]bool{}}
}

func (r *results) host(name string) *host {
	h := r.hosts[name]
	if h == nil {
		h = &host{counts: wire.Recap{Host: name}, done: map[string]bool{}}
		r.hosts[name] = h
	}
	return h
}

// take notes an event.
func (r *results) take(e event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen++
	switch e.Event {
	case "plan":
		for _, p := range e.Plays {
			next := play{planned: p}
			if p.Hosts != nil {
				next.add(*p.Hosts)
			}
			r.plays = append(r.plays, next)
		}
	case "play":
		r.begin(e)
	case "end":
		r.end(e)
	case "recap":
		r.recap = append(r.recap, e.Counts)
	default:
		if e.Host != "" {
			r.task(r.host(e.Host), e)
		}
	}
}

// begin notes that a play, or a batch of one, begins. The plays before it have ended
// then, with all of their batches.
func (r *results) begin(e event) {
	i := slices.IndexFunc(r.plays, func(p play) bool { return p.Play == e.Play })
	if i < 0 {
		i = len(r.plays)
		r.plays = append(r.plays, play{planned: planned{Play: e.Play, Hosts: &e.Hosts}})
	}
	r.plays[i].begun, r.plays[i].batch = true, e.Hosts
	r.plays[i].add(e.Hosts)
}

// end notes how a batch ended. It is Ansible's last word on its hosts: what was rescued,
// or forgiven, is no failure.
func (r *results) end(e event) {
	i := slices.IndexFunc(r.plays, func(p play) bool { return p.Play == e.Play })
	if i < 0 {
		return
	}
	for _, name := range r.plays[i].batch {
		h := r.host(name)
		failed := slices.Contains(e.Failed, name)
		h.unreachable = slices.Contains(e.Unreachable, name)
		h.failed = failed && slices.Contains(e.Counted, name)
		h.stopped = failed && !h.failed
		if !failed && !h.unreachable {
			h.done[e.Play], h.trouble = true, nil
		}
	}
}

// task notes how a task went on a host.
func (r *results) task(h *host, e event) {
	switch e.Event {
	case "ok":
		h.counts.OK++
		if e.Changed {
			h.counts.Changed++
		}
	case "skipped":
		h.counts.Skipped++
	case "item_failed":
		key := e.Host + "\x00" + e.Task
		if len(r.items[key]) < maxFailures {
			r.items[key] = append(r.items[key], e.said())
		}
	case "failed":
		if e.Lasting {
			h.counts.Failed++
			h.trouble, h.failed = &e, true
		}
	case "unreachable":
		if e.Lasting {
			h.counts.Unreachable++
			h.trouble, h.unreachable = &e, true
		}
	case "silent", "other_key":
		h.silent = &e
	}
	if e.Changed {
		r.change(h, e)
	}
}

func (r *results) change(h *host, e event) {
	if len(h.changes) == maxChanges {
		h.more++
		return
	}
	diff := shorten(strings.TrimRight(r.o.Mask(r.o.plainDiff(e.Diff)), "\n"), maxDiff)
	if r.diffs += len(diff); r.diffs > maxDiffs {
		diff = ""
	}
	c := wire.TaskChange{Task: shorten(r.o.Mask(e.Task), maxMessage), Place: place(r.o.Tree, e.Path), Diff: diff}
	h.changes = append(h.changes, c)
	if e.Handler {
		r.handlers[c.Task+"\x00"+c.Place] = true
	}
}

// finish notes that ansible-playbook ended well.
func (r *results) finish() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.finished = true
}

// status is how the playbook stands on a host.
func (r *results) status(name string) string {
	h, known := r.hosts[name]
	switch {
	case known && (h.unreachable || h.silent != nil):
		return statusUnreachable
	case known && h.failed:
		return statusFailed
	case r.finished:
		return statusDone
	case known && h.stopped, len(r.plays) == 0:
		return statusLeft
	}
	last := 0 // the play that runs, or ran last
	for i, p := range r.plays {
		if p.begun {
			last = i
		}
	}
	for i, p := range r.plays {
		mine := p.Hosts == nil || p.hosts[name]
		if over := i < last; mine && !over && !(known && h.done[p.Play]) {
			return statusLeft
		}
	}
	return statusDone
}

// results are those of all hosts of the limit.
func (r *results) results() []wire.HostResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hostResults()
}

func (r *results) hostResults() []wire.HostResult {
	counted := map[string]wire.Recap{}
	for _, c := range r.recap {
		counted[c.Host] = c
	}
	out := make([]wire.HostResult, 0, len(r.limit))
	for _, name := range slices.Sorted(slices.Values(r.limit)) {
		result := wire.HostResult{Recap: wire.Recap{Host: name}, Status: r.status(name)}
		if h := r.hosts[name]; h != nil {
			result.Recap, result.Changes = h.counts, slices.Clone(h.changes)
			if h.more > 0 {
				result.Changes[len(result.Changes)-1].Diff += "\n(and more tasks, which are in the log)"
			}
		}
		if c, ok := counted[name]; ok {
			result.Recap = c
		}
		if result.Status != statusDone {
			result.Message = shorten(r.o.Mask(r.why(name, result.Status)), maxMessage)
		}
		out = append(out, result)
	}
	return out
}

// recaps are Ansible's counts, or what they would be by now.
func (r *results) recaps() []wire.Recap {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.recap) > 0 {
		return r.recap
	}
	var out []wire.Recap
	for _, name := range slices.Sorted(maps.Keys(r.hosts)) {
		if c := r.hosts[name].counts; c != (wire.Recap{Host: name}) {
			out = append(out, c)
		}
	}
	return out
}

// troubled reports whether the fault is that of hosts.
func (r *results) troubled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.limit, func(name string) bool {
		s := r.status(name)
		return s == statusFailed || s == statusUnreachable
	})
}

// plainDiff takes colours out of a difference, and the names of files that only the run has.
func (o Options) plainDiff(diff string) string {
	lines := strings.SplitAfter(uncolour(diff), "\n")
	for i, line := range lines {
		for _, header := range []string{"--- before", "+++ after"} {
			if name, ok := strings.CutPrefix(line, header+": "); ok && o.Dir != "" && strings.HasPrefix(name, o.Dir) {
				lines[i] = header + "\n"
			}
		}
	}
	return strings.Join(lines, "")
}

// place is the file and line of a task inside of the repository.
func place(tree, path string) string {
	rel, err := filepath.Rel(tree, path)
	if path == "" || err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return filepath.ToSlash(rel)
}

// shorten cuts a text to a length in bytes.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most] + "…"
}

func sortedKeys[V any](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), cmp.Compare[string])
}
