package checkout

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits bounds what is kept; a field that is 0 does not.
type Limits struct {
	Trees int
	Bytes int64
}

// DefaultLimits is for a machine with an ordinary disk.
var DefaultLimits = Limits{Trees: 200, Bytes: 10 << 30}

// sizeName is the file in which a slot's size was noted, so that pruning reads a number
// per tree instead of walking all of them.
const sizeName = "size"

// Measure notes the size of the tree on disk, for Prune. Call it before Close.
func (t *Tree) Measure() error {
	if t.slot == nil {
		return nil
	}
	var total int64
	err := filepath.WalkDir(t.slot.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(t.slot.dir, sizeName), []byte(strconv.FormatInt(total, 10)), 0o600)
}

// Prune removes the trees that were not used for the longest time, until at most limits
// are kept, and returns how many went. Trees in use are left alone.
func Prune(ctx context.Context, root string, limits Limits) (removed int, err error) {
	locks, err := filepath.Glob(filepath.Join(escape(root), "*", "*", "*", lockName))
	if err != nil {
		return 0, err
	}
	// What a prune that was killed left behind.
	graves, err := filepath.Glob(filepath.Join(escape(root), trash+"*"))
	for _, grave := range graves {
		err = errors.Join(err, os.RemoveAll(grave))
	}
	if err != nil {
		return 0, err
	}
	type kept struct {
		dir  string
		used time.Time
		size int64
	}
	var all []kept
	var bytes int64
	for _, lock := range locks {
		info, err := os.Stat(lock)
		if err != nil {
			continue // somebody else prunes as well
		}
		k := kept{dir: filepath.Dir(lock), used: info.ModTime()}
		if text, err := os.ReadFile(filepath.Join(k.dir, sizeName)); err == nil {
			k.size, _ = strconv.ParseInt(string(text), 10, 64) // an unreadable size counts as nothing until the next run
		}
		all = append(all, k)
		bytes += k.size
	}
	slices.SortFunc(all, func(a, b kept) int { return a.used.Compare(b.used) })
	left := len(all)
	var errs error
	for _, k := range all {
		if ctx.Err() != nil || (limits.Trees <= 0 || left <= limits.Trees) && (limits.Bytes <= 0 || bytes <= limits.Bytes) {
			break
		}
		s, err := try(k.dir)
		if err == nil && s != nil {
			err = s.remove(root)
			removed, left, bytes = removed+1, left-1, bytes-k.size
		}
		errs = errors.Join(errs, err)
	}
	return removed, errs
}

// escape makes a path literal in a glob pattern.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
