// Package checkout puts a commit's files where a run can use them. Each instance has a
// work tree that is kept from run to run, next to an index of its own, so that only
// files that differ are written and what the engine made there (.terraform) is still
// there next time. The bare mirror is only read: many runs use one mirror at a time.
//
// What is in the tree afterwards is the commit and nothing else, apart from the names
// that the caller asks to keep in the stack's own directory: foreign and changed files
// of an earlier run are gone. No hook and no filter of any configuration runs,
// submodules are not followed, and a symbolic link that leaves the tree is refused.
package checkout

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/git"
)

// patience is how long a kept tree that another run holds is waited for.
const patience = 2 * time.Second

// Options says what to check out and where.
type Options struct {
	// Root holds the kept trees of this machine: Root/PROJECT/ENVIRONMENT/STACK.
	Root                        string
	Project, Environment, Stack string

	Mirror string // the bare repository
	Commit string // full object name
	Path   string // the stack's directory inside the repository
	// Keep lists names of files and directories that survive in Path when the commit
	// does not have them.
	Keep []string
	// Apart leaves the kept trees alone: what runs in this one shall leave nothing that
	// another run finds.
	Apart bool
	// Scratch is an empty directory of the run, for a tree of its own when the kept one
	// is in use.
	Scratch string
}

// Tree is a checked out commit, held by one run until Close.
type Tree struct {
	// Dir is the root of the repository's files; its path has no symbolic link.
	Dir string
	// Kept is false when the tree was made for this run alone.
	Kept bool

	slot *slot // nil when not Kept
}

// File is the absolute path of a directory or file of the repository.
func (t *Tree) File(name string) string { return filepath.Join(t.Dir, filepath.FromSlash(name)) }

// Close lets others have the tree. A tree made for this run alone is left to whoever
// removes the run's folder.
func (t *Tree) Close() error {
	if t.slot == nil {
		return nil
	}
	s := t.slot
	t.slot = nil
	return s.release()
}

// Open checks the commit out. Errors: Invalid for what is wrong with the commit itself
// (no such directory, a link that leaves the tree), Unavailable when the machine could
// not do it and a repetition may help.
func Open(ctx context.Context, o Options) (*Tree, error) {
	if err := core.CheckProject(o.Project); err != nil {
		return nil, err
	}
	for kind, name := range map[string]string{"environment": o.Environment, "stack": cmp.Or(core.ImageOf(o.Stack), o.Stack)} {
		if err := core.CheckName(kind, name); err != nil {
			return nil, err
		}
	}
	if !git.ValidOID(o.Commit) {
		return nil, core.Errorf(core.Invalid, "%q is not the name of a commit", o.Commit)
	}
	o.Path = path.Clean(o.Path)
	if !filepath.IsLocal(o.Path) {
		return nil, core.Errorf(core.Invalid, "the stack %s has the path %q, which leaves the repository", o.Stack, o.Path)
	}
	var s *slot
	var err error
	if !o.Apart {
		if s, err = acquire(ctx, filepath.Join(o.Root, o.Project, o.Environment, o.Stack), patience); err != nil {
			return nil, core.Errorf(core.Unavailable, "the work tree of %s@%s cannot be opened: %w", o.Stack, o.Environment, err)
		}
	}
	base := o.Scratch
	if s != nil {
		base = s.dir
	}
	t := &Tree{Kept: s != nil, slot: s}
	if t.Dir, err = fill(ctx, base, o); err != nil {
		_ = t.Close() // the first error says more
		return nil, err
	}
	return t, nil
}

// fill makes base/tree the commit, by way of base/index.
func fill(ctx context.Context, base string, o Options) (string, error) {
	unavailable := func(err error) error {
		return core.Errorf(core.Unavailable, "%s could not be checked out for %s@%s: %w", core.ShortCommit(o.Commit), o.Stack, o.Environment, err)
	}
	base, err := filepath.EvalSymlinks(base)
	if err != nil {
		return "", unavailable(err)
	}
	dir, index := filepath.Join(base, "tree"), filepath.Join(base, "index")
	g := repository{mirror: o.Mirror, tree: dir, index: index}

	// The listing needs the commit only, so it goes on beside the checkout.
	type listing struct {
		entries map[string]entry
		err     error
	}
	listed := make(chan listing, 1)
	go func() {
		entries, err := g.list(ctx, o.Commit)
		listed <- listing{entries, err}
	}()
	err = update(ctx, g, o.Commit)
	l := <-listed
	if err := errors.Join(l.err, err); err != nil {
		return "", unavailable(err)
	}
	if e, ok := l.entries[o.Path]; o.Path != "." && (!ok || e.mode != modeDirectory) {
		return "", core.Errorf(core.Invalid, "the stack %s has no directory %s in commit %s", o.Stack, o.Path, core.ShortCommit(o.Commit))
	}
	if err := removeForeign(dir, o.Path, l.entries, o.Keep); err != nil {
		return "", unavailable(err)
	}
	return dir, checkLinks(dir, l.entries, o.Commit)
}

// update writes the commit's files. A tree whose index does not fit it any more (a
// crash, a full disk) is made anew.
func update(ctx context.Context, g repository, commit string) error {
	// The lock that a killed git left behind: nobody else can be at this index.
	if err := os.Remove(g.index + ".lock"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(g.tree, 0o700); err != nil {
		return err
	}
	_, before := os.Stat(g.index)
	err := g.read(ctx, commit)
	if err == nil || before != nil || ctx.Err() != nil {
		return err
	}
	if err := errors.Join(os.RemoveAll(g.tree), os.Remove(g.index), os.MkdirAll(g.tree, 0o700)); err != nil {
		return err
	}
	return g.read(ctx, commit)
}

// removeForeign deletes what the commit does not have, except names to keep in the
// directory of the stack.
func removeForeign(root, stack string, entries map[string]entry, keep []string) error {
	kept := map[string]bool{}
	for _, name := range keep {
		kept[path.Join(stack, name)] = true
	}
	return filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == root {
			return err
		}
		rel, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		e, ok := entries[name]
		switch {
		case ok && d.IsDir() == e.directory():
			if e.mode == modeSubmodule {
				err = empty(file)
				break
			}
			return nil
		case !ok && kept[name]:
		case d.IsDir():
			err = os.RemoveAll(file)
		default:
			return os.Remove(file)
		}
		if d.IsDir() && err == nil {
			return fs.SkipDir
		}
		return err
	})
}

// empty removes what is in a directory: the place of a submodule, which is not followed.
func empty(dir string) error {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}

// checkLinks refuses symbolic links that lead out of the tree, by way of others too. A
// link whose target does not exist stays: it leads nowhere.
func checkLinks(dir string, entries map[string]entry, commit string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return core.Errorf(core.Unavailable, "the work tree cannot be read: %w", err)
	}
	defer func() { _ = root.Close() }()
	for name, e := range entries {
		if e.mode != modeLink {
			continue
		}
		if _, err := root.Stat(filepath.FromSlash(name)); err == nil || errors.Is(err, fs.ErrNotExist) {
			continue
		}
		target, err := root.Readlink(filepath.FromSlash(name))
		if err != nil {
			return core.Errorf(core.Unavailable, "the link %s cannot be read: %w", name, err)
		}
		return core.Errorf(core.Invalid, "the symbolic link %s in commit %s leads out of the repository (to %s); such links are refused. Copy what it needs into the repository",
			name, core.ShortCommit(commit), strings.ToValidUTF8(target, "?"))
	}
	return nil
}
