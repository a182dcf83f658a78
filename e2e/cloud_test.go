package e2e

import (
	"bytes"
	"io/fs"
	"path"
	"path/filepath"
	"syscall"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
)

// exampleCloud is where the example repositories expect the cloud.
const exampleCloud = "http://127.0.0.1:8790"

// cloud adds a democloud to a world: from now on the server's runs find its provider. The
// client may see all tenants; tenants of the examples are called after their environments.
func (w *world) cloud() (*democloud.Cloud, *democloud.Client) {
	w.Helper()
	cloud, client := democloudtest.Start(w, democloud.Options{})
	w.mirror = filepath.Join(w.dir, "providers")
	if err := democloud.WriteMirror(w.mirror, plain, []string{"demo-provider"}); err != nil {
		w.Fatal(err)
	}
	w.stop(syscall.SIGTERM)
	w.start()
	return cloud, client
}

// example fills the repository with an example, changed to use this cloud, and commits it.
func (w *world) example(files fs.FS, cloud *democloud.Cloud) string {
	w.Helper()
	lock, err := democloud.LockFile(w.mirror, democloud.ProviderHosts[0])
	if err != nil {
		w.Fatal(err)
	}
	err = fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path.Dir(name) == "stacks" {
				w.repo.Write(path.Join(name, ".terraform.lock.hcl"), lock)
			}
			return nil
		}
		text, err := fs.ReadFile(files, name)
		if err == nil {
			w.repo.Write(name, string(bytes.ReplaceAll(text, []byte(exampleCloud), []byte(cloud.URL()))))
		}
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	commit := w.repo.Commit("The example")
	w.repo.Push()
	return commit
}
