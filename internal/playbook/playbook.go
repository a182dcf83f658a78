// Package playbook tells which hosts a file of a playbook's folder concerns, without running
// Ansible: a role concerns the hosts of the plays that use it, group_vars and host_vars those
// that they name, and everything else every host. So a change of one role is provisioned on
// the hosts that have it and on no others.
//
// It only ever errs to one side. Names that are put together at run time, patterns that
// cannot be judged without facts, symbolic links and paths that lead from one role into
// another make it say that more hosts are concerned, and in the end all of them.
package playbook

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// File is a file of the playbook's folder.
type File struct {
	Path string // relative to the repository
	// Content identifies what is in it, and whether it may be executed.
	Content string
	Link    bool // a symbolic link
}

// Folder is where a playbook is, with what is beside it.
type Folder struct {
	Playbook string // its path in the repository
	Files    []File
	Read     func(path string) ([]byte, error)
}

// Plays says what concerns whom. The zero value knows nothing: everything concerns every host.
type Plays struct {
	// Known is false when what a host needs could not be told apart.
	Known bool
	// Rest identifies what concerns every host.
	Rest string
	// Roles identify each role with those that it uses, by name.
	Roles map[string]string
	// Groups and Hosts identify group_vars and host_vars, by name.
	Groups, Hosts map[string]string
	Plays         []Play
}

// Play is who takes part in a play, and its roles.
type Play struct {
	Hosts string // a pattern of Ansible's
	Roles []string
}

// Read looks through a playbook and what is beside it. It never fails: what it does not
// understand concerns every host, and Ansible will say what is wrong.
func Read(f Folder) Plays {
	r := &reader{Folder: f, dir: path.Dir(path.Clean(f.Playbook)), roles: map[string]*role{}, byPath: map[string]File{}, sums: map[string][]File{}}
	if !r.read() {
		return Plays{}
	}
	out := Plays{Known: true, Rest: sum(r.rest), Roles: map[string]string{}, Groups: map[string]string{}, Hosts: map[string]string{}, Plays: r.plays}
	for name := range r.roles {
		var files []File
		for used := range r.closure(name) {
			files = append(files, r.roles[used].files...)
		}
		out.Roles[name] = sum(files)
	}
	for key, files := range r.sums {
		kind, name, _ := strings.Cut(key, "/")
		if kind == groupVars {
			out.Groups[name] = sum(files)
		} else {
			out.Hosts[name] = sum(files)
		}
	}
	return out
}

// Of identifies all that concerns one host, which is in these groups of an inventory whose
// groups and hosts are named.
func (p Plays) Of(host string, groups []string, named map[string]bool) string {
	h := sha256.New()
	line := func(kind, name, content string) {
		_, _ = fmt.Fprintf(h, "%d:%s%d:%s%d:%s", len(kind), kind, len(name), name, len(content), content) // a hash takes everything
	}
	line("rest", "", p.Rest)
	roles := map[string]bool{}
	for _, play := range p.Plays {
		if concerns(play.Hosts, host, groups, named) {
			for _, name := range play.Roles {
				roles[name] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(roles)) {
		line("role", name, p.Roles[name])
	}
	for _, name := range slices.Sorted(maps.Keys(p.Groups)) {
		// Of a group that the inventory does not have: one that a play makes, of whom nobody knows.
		if slices.Contains(groups, name) || !named[name] {
			line("group", name, p.Groups[name])
		}
	}
	if content, ok := p.Hosts[host]; ok {
		line("host", host, content)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Size is about how many texts it has.
func (p Plays) Size() int { return 2 * (len(p.Roles) + len(p.Groups) + len(p.Hosts) + len(p.Plays)) }

func sum(files []File) string {
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	h := sha256.New()
	last := ""
	for _, f := range files {
		if f.Path == last {
			continue
		}
		last = f.Path
		_, _ = fmt.Fprintf(h, "%d:%s%d:%s", len(f.Path), f.Path, len(f.Content), f.Content) // a hash takes everything
	}
	return hex.EncodeToString(h.Sum(nil))
}
