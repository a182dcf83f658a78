package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/terrace-cd/terrace/internal/core"
)

// Folder is a core.BlobStore in a directory that one process at a time may use. It
// is safe for concurrent use.
type Folder struct {
	dir string
	// mu makes looking whether a key exists and putting it there one step.
	mu sync.Mutex
}

var _ core.BlobStore = (*Folder)(nil)

// unfinished is where files are written before they are renamed into place.
const unfinished = "unfinished"

// Open opens or makes a folder, and removes what a crash left half-written.
func Open(dir string) (*Folder, error) {
	temporary := filepath.Join(dir, unfinished)
	if err := os.RemoveAll(temporary); err != nil {
		return nil, explain("the blob folder cannot be cleaned up", err)
	}
	if err := os.MkdirAll(temporary, 0o700); err != nil {
		return nil, explain("the blob folder cannot be made", err)
	}
	if err := syncDir(dir); err != nil {
		return nil, explain("the blob folder cannot be synced", err)
	}
	return &Folder{dir: dir}, nil
}

// path returns where a key's file is: in one of 256 folders, so that none grows too
// large, with ~, which no key has, for /.
func (f *Folder) path(key string) (string, error) {
	if err := checkKey(key); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(f.dir, hex.EncodeToString(sum[:1]), strings.ReplaceAll(key, "/", "~")), nil
}

// Put stores data durably. A key that exists with the same content is accepted;
// Conflict with other content; Unavailable when the disk refuses, for example because
// it is full: nothing is left behind then.
func (f *Folder) Put(ctx context.Context, key string, data []byte) error {
	return f.store(ctx, key, data, false)
}

// Replace stores data in place of what the key has, if anything, durably and at once:
// who reads meanwhile gets the one or the other.
func (f *Folder) Replace(ctx context.Context, key string, data []byte) error {
	return f.store(ctx, key, data, true)
}

func (f *Folder) store(ctx context.Context, key string, data []byte, replace bool) error {
	path, err := f.path(key)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return explain("storing "+key+" was given up", err)
	}
	temporary, err := f.write(data)
	if err != nil {
		return explain("storing "+key+" failed", err)
	}
	err = f.place(temporary, path, data, replace)
	if err != nil {
		_ = os.Remove(temporary) // nothing names it
	}
	if core.CodeOf(err) == core.Conflict {
		return core.Errorf(core.Conflict, "%s exists with other content", key)
	}
	return explain("storing "+key+" failed", err)
}

// write makes a synced file with a name of its own.
func (f *Folder) write(data []byte) (name string, err error) {
	file, err := os.CreateTemp(filepath.Join(f.dir, unfinished), "")
	if err != nil {
		return "", err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		_ = os.Remove(file.Name()) // nothing names it
	}
	return file.Name(), err
}

// place moves a finished file to its path, durably.
func (f *Folder) place(temporary, path string, data []byte, replace bool) error {
	if err := f.move(temporary, path, data, replace); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path)) // also of what another writer has just moved there
}

// move moves a finished file to its path, if that is free or has the same content.
func (f *Folder) move(temporary, path string, data []byte, replace bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch existing, err := os.ReadFile(path); {
	case err == nil && replace, errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !bytes.Equal(existing, data):
		return core.Errorf(core.Conflict, "it exists with other content")
	default:
		return os.Remove(temporary)
	}
	if err := os.Mkdir(filepath.Dir(path), 0o700); err == nil {
		if err := syncDir(f.dir); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Rename(temporary, path)
}

// Get returns an object.
func (f *Folder) Get(ctx context.Context, key string) ([]byte, error) {
	path, err := f.path(key)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, explain("reading "+key+" was given up", err)
	}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, core.Errorf(core.NotFound, "there is no blob %s", key)
	}
	return data, explain("reading "+key+" failed", err)
}

// Delete removes an object; one that does not exist is no error.
func (f *Folder) Delete(ctx context.Context, key string) error {
	path, err := f.path(key)
	if err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return explain("deleting "+key+" was given up", err)
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return explain("deleting "+key+" failed", err)
	}
	return nil
}

// List returns what is there, by key. An object that is deleted meanwhile may be
// missing or not.
func (f *Folder) List(ctx context.Context) ([]core.StoredBlob, error) {
	folders, err := os.ReadDir(f.dir)
	if err != nil {
		return nil, explain("listing blobs failed", err)
	}
	var all []core.StoredBlob
	for _, folder := range folders {
		if err := ctx.Err(); err != nil {
			return nil, explain("listing blobs was given up", err)
		}
		if folder.Name() == unfinished || !folder.IsDir() {
			continue
		}
		files, err := os.ReadDir(filepath.Join(f.dir, folder.Name()))
		if err != nil {
			return nil, explain("listing blobs failed", err)
		}
		for _, file := range files {
			info, err := file.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			} else if err != nil {
				return nil, explain("listing blobs failed", err)
			}
			all = append(all, core.StoredBlob{Key: strings.ReplaceAll(file.Name(), "~", "/"), Size: info.Size(), Modified: info.ModTime()})
		}
	}
	sortByKey(all)
	return all, nil
}

func sortByKey(all []core.StoredBlob) {
	slices.SortFunc(all, func(a, b core.StoredBlob) int { return strings.Compare(a.Key, b.Key) })
}

// syncDir makes the names in a folder durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closeErr := d.Close(); err == nil {
		err = closeErr
	}
	return err
}

// explain says what happened in words; the disk's errors are all worth another try.
func explain(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return core.Errorf(core.Unavailable, "%s: the disk is full and nothing was changed; free some space and try again: %w", what, err)
	}
	return core.Errorf(core.Unavailable, "%s: %w", what, err)
}
