package local

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/terrace-cd/terrace/internal/spool"
)

// keepFolders is how many folders of ended attempts are kept for a look at what
// happened. A runner that ended well removes its own.
const keepFolders = 50

const markName = "process"

// folder is the one of an attempt.
func (s *Starter) folder(run string, fence int64) string {
	return filepath.Join(s.o.Dir, "runs", run+"."+strconv.FormatInt(fence, 10))
}

// Find returns the process of an attempt as its folder tells, 0 when it does not.
func (s *Starter) Find(run string, fence int64) (pid int, start string) {
	pid, start, _ = readMark(s.folder(run, fence))
	return pid, start
}

// Left reads what an attempt left that may not be delivered.
func (s *Starter) Left(run string, fence int64) (spool.Left, error) {
	dir := s.folder(run, fence)
	if err := errors.Join(spool.Rescue(dir), sweep(dir)); err != nil {
		return spool.Left{}, err
	}
	return spool.Read(dir)
}

// sweep removes where secrets may lie when a runner could not do that itself.
func sweep(dir string) error {
	return errors.Join(os.RemoveAll(filepath.Join(dir, "tmp")), os.RemoveAll(filepath.Join(dir, "home")))
}

// writeMark notes whose folder it is.
func writeMark(dir string, pid int, start string) error {
	err := os.WriteFile(filepath.Join(dir, markName), fmt.Appendf(nil, "%d %s\n", pid, start), 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has ended and taken its folder along
	}
	return err
}

func readMark(dir string) (pid int, start string, ok bool) {
	mark, err := os.ReadFile(filepath.Join(dir, markName))
	if err != nil {
		return 0, "", false
	}
	if n, _ := fmt.Sscan(string(mark), &pid, &start); n != 2 {
		return 0, "", false
	}
	return pid, start, true
}

// prune removes the oldest folders whose runner is gone.
func (s *Starter) prune() error {
	runs := filepath.Join(s.o.Dir, "runs")
	entries, err := os.ReadDir(runs)
	if err != nil || len(entries) <= keepFolders {
		return err
	}
	type folder struct {
		dir  string
		used time.Time
	}
	var folders []folder
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			folders = append(folders, folder{filepath.Join(runs, e.Name()), info.ModTime()})
		}
	}
	slices.SortFunc(folders, func(a, b folder) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.dir, b.dir)) })
	var errs error
	for _, f := range folders[:max(0, len(folders)-keepFolders)] {
		pid, start, ok := readMark(f.dir)
		if !ok && time.Since(f.used) < time.Hour || ok && s.Alive(pid, start) {
			continue // it is just being made, or used
		}
		if left, err := spool.Read(f.dir); err != nil || left.States > 0 || left.Unsaved != nil {
			continue // states that nobody else has
		}
		errs = errors.Join(errs, os.RemoveAll(f.dir))
	}
	return errs
}
