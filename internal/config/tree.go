package config

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"sync"
)

// Tree is a repository at one moment: a folder or a git commit. Paths are
// slash-separated and relative to the root of the repository. A Tree may be read by
// several goroutines at once.
//
// A Tree whose files have identities (git blob ids) also implements
//
//	BlobID(path string) string
//
// which spares reading a file that a ModuleCache already knows. It returns "" when it
// does not know.
type Tree interface {
	// ReadFile returns the content of a file; an error that is fs.ErrNotExist when
	// there is no such file.
	ReadFile(path string) ([]byte, error)
	// Files returns every file, sorted.
	Files() ([]string, error)
}

type blobIDs interface{ BlobID(path string) string }

// Dir returns the tree of a folder, without .git and .terraform. Symbolic links to
// files inside the folder are followed, those that lead out of it do not exist.
func Dir(root string) Tree { return &dirTree{root: root} }

type dirTree struct {
	root string
	once sync.Once
	dir  *os.Root // closed by its finalizer
	err  error
}

func (t *dirTree) open() (*os.Root, error) {
	t.once.Do(func() { t.dir, t.err = os.OpenRoot(t.root) })
	return t.dir, t.err
}

func (t *dirTree) ReadFile(name string) ([]byte, error) {
	dir, err := t.open()
	if err != nil {
		return nil, err
	}
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	info, err := dir.Stat(name)
	if err != nil {
		return nil, notExist(name, err)
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	b, err := dir.ReadFile(name)
	if err != nil {
		return nil, notExist(name, err)
	}
	return b, nil
}

// notExist hides why a link cannot be followed: what is outside does not exist.
func notExist(name string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

func (t *dirTree) Files() ([]string, error) {
	dir, err := t.open()
	if err != nil {
		return nil, err
	}
	var files []string
	err = fs.WalkDir(dir.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch {
		case d.IsDir() && (d.Name() == ".git" || d.Name() == ".terraform"):
			return fs.SkipDir
		case d.Type().IsRegular():
			files = append(files, name)
		case d.Type()&fs.ModeSymlink != 0:
			if info, err := dir.Stat(name); err == nil && info.Mode().IsRegular() {
				files = append(files, name)
			}
		}
		return nil
	})
	slices.Sort(files)
	return files, err
}

// join puts a path of terrace.hcl, which is relative to its own folder, into the
// repository. ok is false when it is absolute, empty or leads out of the repository.
func join(root, p string) (joined string, ok bool) {
	if p == "" || path.IsAbs(p) || containsBackslash(p) {
		return "", false
	}
	joined = path.Join(root, p)
	return joined, joined == "." || fs.ValidPath(joined)
}

func containsBackslash(p string) bool {
	for i := range len(p) {
		if p[i] == '\\' || p[i] == 0 {
			return true
		}
	}
	return false
}
