package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	noteName    = "unsaved"         // where the engine would leave a state that it cannot store
	unsavedName = "errored.tfstate" // that state
)

// NoteUnsaved notes where the engine would leave a state that it cannot store.
func NoteUnsaved(dir, file string) error { return place(dir, noteName, []byte(file)) }

// Rescue takes a state that the engine could not store out of the work tree, where it
// would be gone with the tree or with its next use, into the attempt's folder. The
// attempt's process has ended.
func Rescue(dir string) error {
	file, err := optional(filepath.Join(dir, noteName))
	if err != nil || file == nil {
		return err
	}
	err = os.Rename(string(file), filepath.Join(dir, unsavedName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Left is what an attempt left that may not be delivered.
type Left struct {
	dir string
	// Wrapped is the key of the state writes, as the server gave it; nil when the
	// attempt never had one.
	Wrapped []byte
	Log     LeftLog
	// Unsaved is a state that the engine could not store, nil when there is none.
	Unsaved []byte
	// States is how many entries there are for Queue to open.
	States int
}

// Read looks into an attempt's folder. A folder that is gone left nothing.
func Read(dir string) (Left, error) {
	l := Left{dir: dir}
	var err error
	if l.Log, err = readLog(dir); err != nil {
		return l, err
	}
	if l.Unsaved, err = optional(filepath.Join(dir, unsavedName)); err != nil {
		return l, err
	}
	if l.Wrapped, err = optional(filepath.Join(dir, queueName, wrappedName)); err != nil {
		return l, err
	}
	names, err := entries(filepath.Join(dir, queueName))
	l.States = len(names)
	return l, err
}

// Queue opens the state writes with the unwrapped key.
func (l Left) Queue(key []byte) (*Queue, error) { return readQueue(l.dir, key) }

// DropUnsaved removes the state that the engine could not store: it is kept elsewhere.
func (l Left) DropUnsaved() error { return os.Remove(filepath.Join(l.dir, unsavedName)) }

func optional(file string) ([]byte, error) {
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}
