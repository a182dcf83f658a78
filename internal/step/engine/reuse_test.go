package engine_test

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
	"github.com/terrace-cd/terrace/internal/step/engine"
)

const platform = runtime.GOOS + "_" + runtime.GOARCH

// mirror is a filesystem mirror with democloud's provider, which notes each start.
type mirror struct {
	testing.TB
	dir, log string
}

func newMirror(t testing.TB, versions ...string) *mirror {
	t.Helper()
	m := &mirror{t, t.TempDir(), filepath.Join(t.TempDir(), "starts")}
	given := democloudtest.Mirror(t)
	for _, v := range versions {
		for _, host := range democloud.ProviderHosts {
			from := filepath.Join(given, host, democloud.ProviderSource, democloud.ProviderVersion, platform, "terraform-provider-democloud_v"+democloud.ProviderVersion)
			script, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			script = bytes.Replace(script, []byte("\n"), fmt.Appendf(nil, "\n# %s\nif [ -n \"$TF_PLUGIN_MAGIC_COOKIE\" ]; then echo $$ >> '%s'; fi\n", v, m.log), 1)
			file := filepath.Join(m.packageDir(host, v), "terraform-provider-democloud_v"+v)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, script, 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

func (m *mirror) packageDir(host, version string) string {
	return filepath.Join(m.dir, host, democloud.ProviderSource, version, platform)
}

// starts are the processes of the provider since the last call.
func (m *mirror) starts() []int {
	m.Helper()
	data, err := os.ReadFile(m.log)
	if err != nil && !os.IsNotExist(err) {
		m.Fatal(err)
	}
	_ = os.Remove(m.log) // it may not be there
	var pids []int
	for line := range strings.Lines(string(data)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			m.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// packed is the mirror with archives instead of folders.
func (m *mirror) packed() string {
	m.Helper()
	to := m.TempDir()
	err := filepath.WalkDir(m.dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		dir := filepath.Dir(file)
		version := filepath.Base(filepath.Dir(dir))
		rel, err := filepath.Rel(m.dir, filepath.Dir(filepath.Dir(dir)))
		if err != nil {
			return err
		}
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		h := &zip.FileHeader{Name: d.Name()}
		h.SetMode(0o755)
		f, err := w.CreateHeader(h)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if _, err := f.Write(data); err != nil {
			return err
		}
		if err := w.Close(); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(to, rel), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel, fmt.Sprintf("terraform-provider-democloud_%s_%s.zip", version, platform)), b.Bytes(), 0o600)
	})
	if err != nil {
		m.Fatal(err)
	}
	return to
}

// required is a root module's demand for democloud's provider.
func required(constraint string) string {
	return fmt.Sprintf(`
terraform {
  required_providers {
    democloud = {
      source  = "terrace-cd/democloud"
      version = %q
    }
  }
}
`, constraint)
}

const network = `
resource "democloud_network" "main" {
  name = "main"
  cidr = "10.0.0.0/16"
}
`

func newCloudWorld(t testing.TB, e engine.Engine, m *mirror, files map[string]string) (*world, *democloud.Client) {
	t.Helper()
	_, cloud := democloudtest.Start(t, democloud.Options{})
	w := newWorld(t, e, files)
	w.o.Env = append(w.o.Env, "DEMOCLOUD_ENDPOINT="+cloud.URL)
	w.o.Store = t.TempDir()
	w.o.Mirrors = []string{m.dir}
	w.o.KeepProviders = true
	return w, cloud
}

func TestInitIsRepeatedWhenSomethingItNeedsHasChanged(t *testing.T) {
	t.Parallel()
	for _, e := range engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t, "1.0.0", "1.1.0")
			one := "output \"x\" { value = 1 }\n"
			w, _ := newCloudWorld(t, e, m, map[string]string{
				"versions.tf": required("1.0.0"), "main.tf": network, "calls.tf": `module "m" { source = "../../modules/one" }`,
				"modules/one/m.tf": required(">= 1.0.0") + one, "modules/two/m.tf": one,
			})
			lock := filepath.Join(w.dir, ".terraform.lock.hcl")
			read := func() string {
				t.Helper()
				data, err := os.ReadFile(lock)
				if err != nil {
					t.Fatal(err)
				}
				return string(data)
			}
			if w.init(w.open()) {
				t.Fatal("the first init is skipped")
			}
			written := read()

			steps := []struct {
				name    string
				change  func()
				skipped bool
			}{
				{"nothing", func() {}, true},
				{"a resource", func() {
					w.write(map[string]string{"main.tf": network + "# edited\noutput \"id\" { value = democloud_network.main.id }\n"})
				}, true},
				{"a file", func() { w.write(map[string]string{"more.tf": one}) }, true},
				{"a called module's resources", func() {
					w.write(map[string]string{"modules/one/m.tf": required(">= 1.0.0") + one + "resource \"democloud_network\" \"n\" {\n name = \"n\"\n cidr = \"10.1.0.0/16\"\n}\n"})
				}, true},
				{"a called module's outputs", func() { w.write(map[string]string{"modules/one/n.tf": "output \"y\" { value = 1 }\n"}) }, true},
				{"a module's source", func() { w.write(map[string]string{"calls.tf": `module "m" { source = "../../modules/two" }`}) }, false},
				{"another call", func() {
					w.write(map[string]string{"calls2.tf.json": `{"module":{"n":{"source":"../../modules/one"}}}`})
				}, false},
				{"the version", func() { w.write(map[string]string{"versions.tf": required("1.1.0")}); _ = os.Remove(lock) }, false},
				{"the lock file", func() { w.write(map[string]string{".terraform.lock.hcl": read() + "\n# comment\n"}) }, false},
				{"a builtin provider", func() { w.write(map[string]string{"data.tf": "resource \"terraform_data\" \"d\" {}\n"}) }, false},
				{"the engine", func() { w.o.Engine.Version += "-other" }, false},
				{"the engine back", func() { w.o.Engine.Version = strings.TrimSuffix(w.o.Engine.Version, "-other") }, false},
				{"packages", func() { _ = os.RemoveAll(filepath.Join(w.dir, ".terraform", "providers")) }, false},
				{"modules", func() { _ = os.RemoveAll(filepath.Join(w.dir, ".terraform", "modules")) }, false},
				{"a module's provider", func() { w.write(map[string]string{"modules/two/m.tf": required(">= 1.0.0")}) }, false},
				{"nothing at the end", func() {}, true},
			}
			var last *engine.Session
			for _, step := range steps {
				step.change()
				s := w.open()
				if got := w.init(s); got != step.skipped {
					t.Errorf("%s: skipped is %v", step.name, got)
				}
				if !step.skipped {
					if !w.init(w.open()) {
						t.Errorf("%s: not skipped afterwards", step.name)
					}
					continue
				}
				last = s
			}
			w.plan(last) // what was skipped was not needed
			if !strings.Contains(written, `"1.0.0"`) || !strings.Contains(read(), `"1.1.0"`) {
				t.Error("the lock file was not made, or not made anew")
			}
		})
	}
}

func TestTheStacksOwnLockFileIsReadOnly(t *testing.T) {
	t.Parallel()
	e := engines(t)[0]
	m := newMirror(t, "1.0.0", "1.1.0")
	w, _ := newCloudWorld(t, e, m, map[string]string{"versions.tf": required("~> 1.0"), "main.tf": network})
	w.init(w.open())
	lock, err := os.ReadFile(filepath.Join(w.dir, ".terraform.lock.hcl"))
	if err != nil || !bytes.Contains(lock, []byte(`"1.1.0"`)) {
		t.Fatalf("%s %v", lock, err)
	}

	// In a repository: it is used, and it is not written.
	w2, _ := newCloudWorld(t, e, m, map[string]string{"versions.tf": required("~> 1.0"), "main.tf": network, ".terraform.lock.hcl": string(lock)})
	w2.deploy()

	// It does not know the provider, or not this version.
	w3, _ := newCloudWorld(t, e, m, map[string]string{"versions.tf": required("1.0.0"), "main.tf": network, ".terraform.lock.hcl": string(lock)})
	_, err = w3.open().Init(t.Context())
	assertInvalid(t, err)

	// The package is another one.
	wrong := strings.Replace(string(lock), "h1:", "h1:AAAA", 1)
	w4, _ := newCloudWorld(t, e, m, map[string]string{"versions.tf": required("~> 1.0"), "main.tf": network, ".terraform.lock.hcl": wrong})
	_, err = w4.open().Init(t.Context())
	assertInvalid(t, err)
}

func TestTheStoreIsFilledOnce(t *testing.T) {
	t.Parallel()
	for _, e := range engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t, "1.0.0")
			store, packed := t.TempDir(), m.packed()
			var lock string
			for i := range 3 {
				w, _ := newCloudWorld(t, e, m, map[string]string{"versions.tf": required("1.0.0"), "main.tf": network})
				w.o.Store, w.o.Mirrors = store, nil
				if i == 0 {
					w.o.Mirrors = []string{packed}
				}
				if i == 2 {
					w.write(map[string]string{".terraform.lock.hcl": lock})
				}
				s := w.open()
				w.init(s)
				if i == 2 {
					w.plan(s)
				}
				if err := os.RemoveAll(packed); err != nil { // from here on there is only the store
					t.Fatal(err)
				}
				data, err := os.ReadFile(filepath.Join(w.dir, ".terraform.lock.hcl"))
				if err != nil {
					t.Fatal(err)
				}
				lock = string(data)
				links := 0
				err = filepath.WalkDir(filepath.Join(w.dir, ".terraform", "providers"), func(file string, d fs.DirEntry, err error) error {
					if err == nil && d.Type() == fs.ModeSymlink {
						links++
						if to, err := filepath.EvalSymlinks(file); err != nil || !strings.HasPrefix(to, store) {
							t.Errorf("%s is %s, %v", file, to, err)
						}
					}
					return err
				})
				if err != nil || links != 1 {
					t.Errorf("%d links into the store, %v", links, err)
				}
			}
		})
	}
}

func TestManyRunsFillTheStoreAtATime(t *testing.T) {
	t.Parallel()
	m := newMirror(t, "1.0.0")
	packed, store := m.packed(), t.TempDir()
	e := engines(t)[0]
	for range 4 {
		w, _ := newCloudWorld(t, e, m, map[string]string{"versions.tf": required("1.0.0"), "main.tf": network})
		w.o.Store, w.o.Mirrors = store, []string{packed}
		t.Run("run", func(t *testing.T) {
			t.Parallel()
			w.TB = t
			w.init(w.open())
		})
	}
}
