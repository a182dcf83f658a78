package local

import (
	"cmp"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/executor"
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

// Left reads what an attempt left that may not be delivered.
func (s *Starter) Left(a executor.Attempt) (spool.Left, error) {
	dir := s.folder(a.Run, a.Fence)
	if err := errors.Join(spool.Rescue(dir), sweep(dir)); err != nil {
		return spool.Left{}, err
	}
	return spool.Read(dir)
}

// sweep removes where secrets may lie when a runner could not do that itself.
func sweep(dir string) error {
	return errors.Join(os.RemoveAll(filepath.Join(dir, "tmp")), os.RemoveAll(filepath.Join(dir, "home")))
}

// mark says whose an attempt's folder is, and how all of it is found.
type mark struct {
	PID    int    `json:"pid"`
	Start  string `json:"start"`
	Mark   string `json:"mark"`             // see process.EndLeft
	Cgroup string `json:"cgroup,omitempty"` // "" when it has none
	Host   string `json:"host"`             // where all this means something
}

func writeMark(dir string, m mark) error {
	content, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, markName), content, 0o600)
}

func readMark(dir string) (m mark, ok bool) {
	content, err := os.ReadFile(filepath.Join(dir, markName))
	return m, err == nil && json.Unmarshal(content, &m) == nil && m.PID > 0
}

// attempts lists the folders, with the attempts that they are of.
func (s *Starter) attempts() (all map[string]executor.Attempt, err error) {
	runs := filepath.Join(s.o.Dir, "runs")
	entries, err := os.ReadDir(runs)
	all = map[string]executor.Attempt{}
	for _, e := range entries {
		run, number, _ := strings.Cut(e.Name(), ".")
		if fence, err := strconv.ParseInt(number, 10, 64); err == nil {
			all[filepath.Join(runs, e.Name())] = executor.Attempt{Run: run, Fence: fence}
		}
	}
	return all, err
}

// Undelivered names the attempts that have ended and left states.
func (s *Starter) Undelivered() (left []executor.Attempt, err error) {
	all, err := s.attempts()
	for dir, a := range all {
		if m, ok := readMark(dir); !ok || s.life(m) != executor.Gone {
			continue
		}
		err = errors.Join(err, spool.Rescue(dir))
		if l, readErr := spool.Read(dir); readErr != nil {
			err = errors.Join(err, readErr)
		} else if l.States > 0 || l.Unsaved != nil {
			left = append(left, a)
		}
	}
	return left, err
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
		m, ok := readMark(f.dir)
		if !ok && time.Since(f.used) < time.Hour || ok && s.life(m) != executor.Gone {
			continue // it is just being made, or used
		}
		if left, err := spool.Read(f.dir); err != nil || left.States > 0 || left.Unsaved != nil {
			continue // states that nobody else has
		}
		errs = errors.Join(errs, os.RemoveAll(f.dir))
	}
	return errs
}
