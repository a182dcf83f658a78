package process

import (
	"path/filepath"
	"strconv"
	"sync/atomic"
)

// nest is the control group in which this program's processes get groups of their own.
var nest struct {
	group atomic.Pointer[Cgroup]
	last  atomic.Int64
}

// Nest is for a program that is alone in the control group at path: each process that is
// started from now on gets a group of its own inside of it, so that all of it can be
// ended exactly while the program goes on.
func Nest(path string) error {
	g, err := OpenCgroup(path)
	if err != nil {
		return err
	}
	nest.group.Store(g)
	return nil
}

// nested is a new group for a process, nil where there is none to be had: it is in the
// program's own then.
func nested() *Cgroup {
	g := nest.group.Load()
	if g == nil {
		return nil
	}
	inner, err := makeCgroup(filepath.Join(g.path, "p"+strconv.FormatInt(nest.last.Add(1), 10)))
	if err != nil {
		return nil
	}
	return inner
}
