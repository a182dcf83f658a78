package ansible

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/wire"
)

// again runs the playbook a second time where it changed something: a playbook that is
// idempotent changes nothing then.
func (r *run) again(ctx context.Context, done *wire.Provisioned) error {
	var limit []string
	for _, h := range done.Hosts {
		if h.Status == statusDone && h.Changed > 0 {
			limit = append(limit, h.Host)
		}
	}
	if len(limit) == 0 {
		return nil
	}
	_, _ = fmt.Fprintf(r.Output, "ansible: the playbook runs again on %s, where nothing should change now\n", some(limit)) // as little as the log of Ansible itself
	second, err := r.playbook(ctx, limit, repeated)
	for _, h := range second.results() {
		i := slices.IndexFunc(done.Hosts, func(first wire.HostResult) bool { return first.Host == h.Host })
		first := &done.Hosts[i]
		first.Status, first.Message = h.Status, h.Message
		first.Changes = repeatedChanges(first.Changes, h.Changes)
	}
	done.Warnings = append(done.Warnings, second.notIdempotent()...)
	var failed *Failed
	if errors.As(err, &failed) {
		return &Failed{"the playbook went well, and did not when it was run again: " + failed.Message}
	}
	return err
}

// repeatedChanges marks the changes that were made a second time, whose difference is
// more telling than what there was of the first.
func repeatedChanges(first, second []wire.TaskChange) []wire.TaskChange {
	for _, c := range second {
		c.Again = true
		i := slices.IndexFunc(first, func(f wire.TaskChange) bool { return !f.Again && f.Task == c.Task && f.Place == c.Place })
		switch {
		case i >= 0:
			first[i] = c
		case len(first) < maxChanges:
			first = append(first, c)
		}
	}
	return first
}

// notIdempotent names the tasks of a second run that changed something, and where.
// Handlers only follow them.
func (r *results) notIdempotent() (warnings []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	type task struct{ name, place string }
	var tasks []task
	hosts := map[task][]string{}
	for _, name := range sortedKeys(r.hosts) {
		for _, c := range r.hosts[name].changes {
			t := task{c.Task, c.Place}
			if r.handlers[t.name+"\x00"+t.place] || slices.Contains(hosts[t], name) {
				continue
			}
			if hosts[t] == nil {
				tasks = append(tasks, t)
			}
			hosts[t] = append(hosts[t], name)
		}
	}
	for _, t := range tasks {
		where := ""
		if t.place != "" {
			where = " (" + t.place + ")"
		}
		noun := "host"
		if len(hosts[t]) > 1 {
			noun = "hosts"
		}
		warnings = append(warnings, fmt.Sprintf("not idempotent: task %q%s changes %s %s every time", t.name, where, noun, some(hosts[t])))
	}
	return warnings
}

// some lists the first few of many.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
