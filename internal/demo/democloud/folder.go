package democloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/terrace-cd/terrace/internal/core"
)

// folder is the cloud's memory on disk:
//
//	lock                              held while a cloud uses the folder
//	key                               what passwords are computed from
//	address                           where the API listened last
//	journal.jsonl                     every change
//	resources/TENANT/TYPE/ID.json     one file for each resource
//	servers/ID/                       what a server serves
//	databases/ID/                     a database's data
type folder struct {
	dir  string
	lock *os.File
}

func openFolder(dir string) (*folder, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	for _, d := range []string{"", "resources", "servers", "databases"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, err
		}
	}
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close() // nothing was written to it
		return nil, core.Errorf(core.Conflict, "another democloud uses the folder %s: stop it, or use another folder", dir)
	}
	return &folder{dir: dir, lock: lock}, nil
}

func (f *folder) close() error { return f.lock.Close() }

func (f *folder) path(elem ...string) string {
	return filepath.Join(append([]string{f.dir}, elem...)...)
}

func (f *folder) file(r Resource) string {
	return f.path("resources", r.Tenant, string(r.Type), r.ID+".json")
}

// load reads all resources and drops what an interrupted write left behind.
func (f *folder) load() ([]Resource, error) {
	var found []Resource
	err := filepath.WalkDir(f.path("resources"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !strings.HasSuffix(path, ".json") {
			return os.Remove(path)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var r Resource
		if err := json.Unmarshal(text, &r); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		found = append(found, r)
		return nil
	})
	return found, err
}

// put writes a resource's file, synced, all or nothing.
func (f *folder) put(r Resource) error {
	r.Password = ""
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(f.file(r), append(text, '\n'))
}

func (f *folder) remove(r Resource) error {
	if err := os.Remove(f.file(r)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(f.file(r)))
}

// disk is the folder that belongs to a resource, "" for those that have none.
func (f *folder) disk(r Resource) string {
	switch r.Type {
	case Server:
		return f.path("servers", r.ID)
	case Database:
		return f.path("databases", r.ID)
	}
	return ""
}

// format makes the folder of a new resource.
func (f *folder) format(r Resource) error {
	switch r.Type {
	case Server:
		page := fmt.Sprintf("%s is up (image %s). Nothing is deployed on it yet.\n", r.Name, r.Spec.Image)
		return writeFile(filepath.Join(f.disk(r), "index.html"), []byte(page))
	case Database:
		return writeFile(filepath.Join(f.disk(r), "data", "rows.jsonl"), nil)
	}
	return nil
}

// erase removes the folder of a destroyed resource.
func (f *folder) erase(r Resource) error {
	if disk := f.disk(r); disk != "" {
		return os.RemoveAll(disk)
	}
	return nil
}

func writeFile(path string, text []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	temp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	_, err = temp.Write(text)
	if err == nil {
		err = temp.Chmod(0o644)
	}
	if err == nil {
		err = temp.Sync()
	}
	err = errors.Join(err, temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
