package process

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Cgroups is a place where this program may make control groups. A process cannot leave
// its group by becoming an orphan, starting a session or emptying its environment, so
// that all of a group can be found and killed: see Cgroup.Kill.
type Cgroups struct {
	base string
	how  mechanism
}

// mechanism is by what the members of a group are kept from escaping while they are killed.
type mechanism string

const (
	byKill     mechanism = "cgroup v2"                   // one write kills all of them
	byFreeze   mechanism = "cgroup v2, freezing"         // before Linux 5.14
	byFreezer  mechanism = "cgroup v1, freezer"          // frozen, none can fork
	byPids     mechanism = "cgroup v1, pids"             // with a limit of 0, none can fork
	byWatching mechanism = "cgroup v1, by looking again" // as often as it takes
)

// FindCgroups finds the best place for control groups, below the program's own group,
// and makes a folder with the given name there: version 2 (alone or beside version 1),
// then version 1's freezer, pids and memory hierarchies. An error says what was tried.
func FindCgroups(name string) (*Cgroups, error) {
	found, err := findCgroups("/proc/self", name, 1)
	if len(found) == 0 {
		return nil, cmp.Or(err, errors.New("this machine has no control groups"))
	}
	return found[0], nil
}

// findCgroups returns up to most places, best first, and why others are none.
func findCgroups(proc, name string, most int) (found []*Cgroups, errs error) {
	mounts, err := cgroupMounts(proc + "/mountinfo")
	if err != nil {
		return nil, err
	}
	member, err := memberships(proc + "/cgroup")
	if err != nil {
		return nil, err
	}
	for _, controller := range []string{"", "freezer", "pids", "memory"} {
		for _, m := range mounts {
			if len(found) == most {
				return found, errs
			}
			inside, ok := member[controller]
			if !ok || !m.has(controller) {
				continue
			}
			// A mount may show a part of the hierarchy only, as it does in containers.
			below, err := filepath.Rel(m.root, inside)
			if err != nil || below == ".." || strings.HasPrefix(below, "../") {
				errs = errors.Join(errs, fmt.Errorf("%s shows %s, and this program is in %s", m.point, m.root, inside))
				continue
			}
			c, err := tryCgroups(filepath.Join(m.point, below), name, controller)
			if err != nil {
				errs = errors.Join(errs, err)
				continue
			}
			found = append(found, c)
		}
	}
	return found, errs
}

// tryCgroups makes the folder and, for a trial, a group in it.
func tryCgroups(own, name, controller string) (*Cgroups, error) {
	if controller == "" {
		// Processes may only be moved by those who may write to the group that both are in.
		if err := unix.Access(filepath.Join(own, procsFile), unix.W_OK); err != nil {
			return nil, &fs.PathError{Op: "writing", Path: filepath.Join(own, procsFile), Err: err}
		}
	}
	base := filepath.Join(own, name)
	if err := os.Mkdir(base, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	c := &Cgroups{base: base}
	g, err := c.Make("try-" + rand.Text())
	if err != nil {
		return nil, err
	}
	c.how = g.how
	err = unix.Access(filepath.Join(g.path, procsFile), unix.W_OK)
	if err = errors.Join(err, g.remove()); err != nil {
		return nil, err
	}
	return c, nil
}

// String names the mechanism and the place.
func (c *Cgroups) String() string { return string(c.how) + " in " + c.base }

// Make makes a control group, or takes one that is there.
func (c *Cgroups) Make(name string) (*Cgroup, error) { return makeCgroup(filepath.Join(c.base, name)) }

// All lists the groups that are there.
func (c *Cgroups) All() ([]*Cgroup, error) {
	entries, err := os.ReadDir(c.base)
	if err != nil {
		return nil, err
	}
	var all []*Cgroup
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		if g, err := OpenCgroup(filepath.Join(c.base, e.Name())); err == nil {
			all = append(all, g)
		}
	}
	return all, nil
}

func makeCgroup(path string) (*Cgroup, error) {
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return OpenCgroup(path)
}

// OpenCgroup returns the group at a path that Cgroup.Path gave. An error that is
// fs.ErrNotExist says that the group was removed, which only an empty one can be.
func OpenCgroup(path string) (*Cgroup, error) {
	var fsys unix.Statfs_t
	if err := unix.Statfs(path, &fsys); err != nil {
		return nil, &fs.PathError{Op: "opening", Path: path, Err: err}
	}
	g := &Cgroup{path: path, how: byWatching}
	has := func(file string) bool {
		_, err := os.Stat(filepath.Join(path, file))
		return err == nil
	}
	switch {
	case fsys.Type != unix.CGROUP2_SUPER_MAGIC && fsys.Type != unix.CGROUP_SUPER_MAGIC || !has(procsFile):
		return nil, fmt.Errorf("%s is no control group", path)
	case fsys.Type == unix.CGROUP2_SUPER_MAGIC && has("cgroup.kill"):
		g.how = byKill
	case fsys.Type == unix.CGROUP2_SUPER_MAGIC && has("cgroup.freeze"):
		g.how = byFreeze
	case has("freezer.state"):
		g.how = byFreezer
	case has("pids.max"):
		g.how = byPids
	}
	return g, nil
}

const procsFile = "cgroup.procs"

// cgroupMount is a hierarchy, or a part of one, in the file system.
type cgroupMount struct {
	root, point string
	controllers []string // nil: version 2
}

func (m cgroupMount) has(controller string) bool {
	if controller == "" {
		return m.controllers == nil
	}
	return slices.Contains(m.controllers, controller)
}

// cgroupMounts reads the hierarchies that may be written to out of a mountinfo file.
func cgroupMounts(file string) (mounts []cgroupMount, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // only read from
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// 36 35 98:0 /root /point rw,noatime shared:1 - type source rw,options
		mount, about, ok := strings.Cut(lines.Text(), " - ")
		fields, rest := strings.Fields(mount), strings.Fields(about)
		if !ok || len(fields) < 6 || len(rest) < 3 {
			continue
		}
		if slices.Contains(strings.Split(fields[5], ","), "ro") {
			continue
		}
		m := cgroupMount{root: unescape(fields[3]), point: unescape(fields[4])}
		switch rest[0] {
		case "cgroup2":
		case "cgroup":
			m.controllers = strings.Split(rest[2], ",")
		default:
			continue
		}
		mounts = append(mounts, m)
	}
	return mounts, lines.Err()
}

// unescape undoes what the kernel does to blanks in paths.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace

// memberships reads in which group of each hierarchy a process is, by controller; "" is
// version 2.
func memberships(file string) (map[string]string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	in := map[string]string{}
	for line := range strings.Lines(string(content)) {
		// 4:memory,cpu:/path, 0::/path
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(fields) != 3 {
			continue
		}
		for controller := range strings.SplitSeq(fields[1], ",") {
			if controller != "" || fields[0] == "0" {
				in[controller] = fields[2]
			}
		}
	}
	return in, nil
}
