package runs

import (
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// aim is what a release wants Ansible to make of an instance's hosts.
type aim struct {
	block        *config.Ansible
	digest       string // of all of it
	requirements []string
	given        []wire.HostKeys // that the configuration tells
	hosts        []target        // by name
}

// target is what a host shall be.
type target struct {
	name     string
	digest   string // of all that decides what the playbook does there
	identity string // "" when nothing tells it from another of its name
}

// decision is on which hosts a playbook runs, and what is known of them.
type decision struct {
	limit []string
	anew  []string
	keys  []wire.HostKeys
}

// circumstances are what decides beside the hosts themselves.
type circumstances struct {
	run   string // that asks
	all   bool   // somebody wants Ansible to run everywhere
	fresh bool   // the run's plan created or replaced a resource
}

// decide picks the hosts that are not as the release wants them: where Ansible did not come to a
// good end with this digest, or which are others than those that it did. Hosts of which
// nothing tells whether they are others are met anew when the run made a resource.
func decide(targets []target, known []core.Host, c circumstances) (d decision) {
	rows := byName(known)
	for _, t := range targets {
		row, met := rows[t.name]
		told := row.Identity != "" && t.identity != ""
		other := told && row.Identity != t.identity
		if row.Digest == t.digest && t.digest != "" && !other && (!c.all || row.Run == c.run) {
			continue
		}
		d.limit = append(d.limit, t.name)
		if !met || other || !told && c.fresh || row.Run == "" && row.Digest == "" && len(row.Keys) == 0 {
			d.anew = append(d.anew, t.name)
		}
	}
	for _, name := range d.limit {
		if row := rows[name]; len(row.Keys) > 0 && !slices.Contains(d.anew, name) {
			d.keys = append(d.keys, wire.HostKeys{Host: name, Keys: row.Keys})
		}
	}
	return d
}

func byName(known []core.Host) map[string]core.Host {
	rows := make(map[string]core.Host, len(known))
	for _, h := range known {
		rows[h.Name] = h
	}
	return rows
}

// names are those of all targets, sorted.
func (a *aim) names() (out []string) {
	for _, t := range a.hosts {
		out = append(out, t.name)
	}
	return out
}

// keeps reports whether a row is about a host that the aim still has, or its bastion.
func (a *aim) keeps(h core.Host) bool {
	if a == nil {
		return false
	}
	if strings.HasPrefix(h.Name, wire.BastionName) {
		return true
	}
	return slices.ContainsFunc(a.hosts, func(t target) bool { return t.name == h.Name })
}

// maxKeys bounds what is believed of a host's keys: it has one of each type.
const (
	maxKeys      = 16
	maxKeyLength = 8 << 10
)

// plausible drops what is no host key.
func plausible(keys []string) []string {
	var out []string
	for _, key := range keys {
		fields := strings.Fields(key)
		if len(fields) < 2 || len(key) > maxKeyLength || strings.ContainsAny(key, "\r\n\x00") || len(out) == maxKeys {
			continue
		}
		out = append(out, fields[0]+" "+fields[1])
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// merged are the results of two times that Ansible ran in a run: of a host that both have,
// the newer one counts.
func merged(old, newer []wire.HostResult) []wire.HostResult {
	out := slices.Clone(newer)
	for _, o := range old {
		if !slices.ContainsFunc(newer, func(n wire.HostResult) bool { return n.Host == o.Host }) {
			out = append(out, o)
		}
	}
	slices.SortFunc(out, func(a, b wire.HostResult) int { return strings.Compare(a.Host, b.Host) })
	return out
}
