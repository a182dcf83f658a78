package local

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// keepFolders is how many folders of ended attempts are kept for a look at what
// happened. A runner that ended well removes its own.
const keepFolders = 50

const markName = "process"

// writeMark notes whose folder it is.
func writeMark(dir string, pid int, start string) error {
	err := os.WriteFile(filepath.Join(dir, markName), fmt.Appendf(nil, "%d %s\n", pid, start), 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has ended and taken its folder along
	}
	return err
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
		var pid int
		var start string
		if mark, err := os.ReadFile(filepath.Join(f.dir, markName)); err != nil && time.Since(f.used) < time.Hour {
			continue // it is just being made
		} else if n, _ := fmt.Sscan(string(mark), &pid, &start); n == 2 && s.Alive(pid, start) {
			continue
		}
		errs = errors.Join(errs, os.RemoveAll(f.dir))
	}
	return errs
}
