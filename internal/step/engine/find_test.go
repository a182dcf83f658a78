package engine_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/ProtonMail/gopenpgp/v2/crypto"
	"github.com/opentofu/tofudl"

	"github.com/terrace-cd/terrace/internal/step/engine"
)

// program is an engine that knows its version, and notes that it was asked.
func program(version, log string) []byte {
	return fmt.Appendf(nil, "#!/bin/sh\necho asked >> '%s'\necho '{\"terraform_version\": \"%s\"}'\n", log, version)
}

func put(t testing.TB, file string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, data, 0o755); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir, cache, log := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "log")
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	put(t, filepath.Join(one, "tofu"), program("1.10.3", log))
	put(t, filepath.Join(two, "tofu"), program("1.12.6-dev", log))
	put(t, filepath.Join(cache, "tofu", "1.8.1", "tofu"), program("1.8.1", log))
	put(t, filepath.Join(cache, "tofu", "1.9.4", "tofu"), program("1.9.4", log))
	put(t, filepath.Join(cache, "tofu", "1.9.10", "tofu"), program("1.9.10", log))
	put(t, filepath.Join(cache, "tofu", "1.9.11", "nothing"), nil)
	o := engine.FindOptions{Path: "relative:" + filepath.Join(dir, "nowhere") + ":" + one + ":" + two, Cache: cache, TofuURL: "http://127.0.0.1:1", TerraformURL: "http://127.0.0.1:1"}
	for constraint, want := range map[string]string{
		"": "1.10.3", "~> 1.10.0": "1.10.3", ">= 1.12.0": "1.12.6-dev", "1.12.6": "1.12.6-dev", "~> 1.9.0": "1.9.10", "< 1.9": "1.8.1", "= 1.9.4": "1.9.4",
	} {
		e, err := engine.Find(t.Context(), "tofu", constraint, o)
		if err != nil || e.Version != want || e.Name != "tofu" {
			t.Errorf("%q: %+v %v, want %s", constraint, e, err, want)
		}
	}
	asked, err := os.ReadFile(log)
	if err != nil || bytes.Count(asked, []byte("asked")) != 2 {
		t.Errorf("versions were asked for %d times, %v", bytes.Count(asked, []byte("asked")), err)
	}
	// Another program in the same place is asked again.
	put(t, filepath.Join(one, "tofu"), append(program("1.11.0", log), "# longer"...))
	if e, err := engine.Find(t.Context(), "tofu", "", o); err != nil || e.Version != "1.11.0" {
		t.Errorf("%+v %v", e, err)
	}

	_, err = engine.Find(t.Context(), "tofu", "~> 99.0", o)
	assertUnavailable(t, err)
	if err == nil || !strings.Contains(err.Error(), "1.12.6-dev") || !strings.Contains(err.Error(), "tofu ~> 99.0 is not installed") {
		t.Errorf("what there is is not said: %v", err)
	}
	for _, bad := range [][2]string{{"pulumi", ""}, {"", ""}, {"../tofu", ""}, {"tofu", "latest"}, {"tofu", "~>"}} {
		_, err := engine.Find(t.Context(), bad[0], bad[1], o)
		assertInvalid(t, err)
	}
}

// signed makes a key and signs with it.
func signed(t testing.TB) (public string, key *crypto.Key, sign func([]byte) []byte) {
	t.Helper()
	key, err := crypto.GenerateKey("releases", "releases@example.org", "x25519", 0)
	if err != nil {
		t.Fatal(err)
	}
	if public, err = key.GetArmoredPublicKey(); err != nil {
		t.Fatal(err)
	}
	ring, err := crypto.NewKeyRing(key)
	if err != nil {
		t.Fatal(err)
	}
	return public, key, func(data []byte) []byte {
		s, err := ring.SignDetached(crypto.NewPlainMessage(data))
		if err != nil {
			t.Fatal(err)
		}
		return s.GetBinary()
	}
}

func TestTofuIsDownloaded(t *testing.T) {
	t.Parallel()
	public, key, _ := signed(t)
	storage, err := tofudl.NewFilesystemStorage(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	releases, err := tofudl.NewMirror(tofudl.MirrorConfig{GPGKey: public}, storage, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{"1.9.0", "1.10.0", "1.11.0", "1.12.0-rc1"} {
		b, err := tofudl.NewReleaseBuilder(key)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.PackageBinary(tofudl.PlatformAuto, tofudl.ArchitectureAuto, program(v, "/dev/null"), nil); err != nil {
			t.Fatal(err)
		}
		if err := b.Build(t.Context(), tofudl.Version(v), releases); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	archives := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if strings.HasSuffix(r.URL.Path, ".tar.gz") {
			archives++
		}
		mu.Unlock()
		releases.ServeHTTP(w, r)
	}))
	defer server.Close()
	testDownload(t, "tofu", engine.FindOptions{TofuURL: server.URL, Key: public})
	mu.Lock()
	defer mu.Unlock()
	if archives != 3 { // one of them with the wrong signature
		t.Errorf("%d archives were downloaded for 2 versions", archives)
	}
}

func TestTerraformIsDownloaded(t *testing.T) {
	t.Parallel()
	public, _, sign := signed(t)
	files := map[string][]byte{}
	type build struct {
		Name     string `json:"name"`
		Version  string `json:"version"`
		OS       string `json:"os"`
		Arch     string `json:"arch"`
		Filename string `json:"filename"`
		URL      string `json:"url"`
	}
	versions := map[string]any{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		switch path.Ext(r.URL.Path) {
		case ".json":
			w.Header().Set("Content-Type", "application/json")
		case ".zip":
			w.Header().Set("Content-Type", "application/zip")
		}
		_, _ = w.Write(data) // the client's own business
	}))
	defer server.Close()
	for _, v := range []string{"1.9.0", "1.10.0", "1.11.0", "1.12.0-rc1"} {
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		h := &zip.FileHeader{Name: "terraform"}
		h.SetMode(0o755)
		f, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(program(v, "/dev/null")); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		dir, stem := "/terraform/"+v+"/", "terraform_"+v
		archive := stem + "_" + runtime.GOOS + "_" + runtime.GOARCH + ".zip"
		sums := fmt.Appendf(nil, "%x  %s\n", sha256.Sum256(b.Bytes()), archive)
		files[dir+archive], files[dir+stem+"_SHA256SUMS"], files[dir+stem+"_SHA256SUMS.sig"] = b.Bytes(), sums, sign(sums)
		one := map[string]any{"name": "terraform", "version": v, "shasums": stem + "_SHA256SUMS", "shasums_signature": stem + "_SHA256SUMS.sig",
			"shasums_signatures": []string{stem + "_SHA256SUMS.sig"},
			"builds":             []build{{"terraform", v, runtime.GOOS, runtime.GOARCH, archive, server.URL + dir + archive}}}
		versions[v] = one
		data, err := json.Marshal(one)
		if err != nil {
			t.Fatal(err)
		}
		files[dir+"index.json"] = data
	}
	data, err := json.Marshal(map[string]any{"name": "terraform", "versions": versions})
	if err != nil {
		t.Fatal(err)
	}
	files["/terraform/index.json"] = data
	testDownload(t, "terraform", engine.FindOptions{TerraformURL: server.URL, Key: public})
}

func testDownload(t *testing.T, name string, o engine.FindOptions) {
	t.Helper()
	o.Cache = t.TempDir()
	var group sync.WaitGroup
	for range 4 { // one of them downloads
		group.Go(func() {
			e, err := engine.Find(t.Context(), name, "", o)
			if err != nil || e.Version != "1.11.0" || e.Path != filepath.Join(o.Cache, name, "1.11.0", name) {
				t.Errorf("%+v %v", e, err)
			}
		})
	}
	group.Wait()
	e, err := engine.Find(t.Context(), name, "~> 1.9.0", o)
	if err != nil || e.Version != "1.9.0" {
		t.Errorf("%+v %v", e, err)
	}
	info, err := os.Stat(e.Path)
	if err != nil || info.Mode().Perm()&0o555 != 0o555 {
		t.Errorf("%v %v", info.Mode(), err)
	}
	_, err = engine.Find(t.Context(), name, "~> 2.0", o)
	assertUnavailable(t, err)

	// Signed by somebody else: refused, and nothing is left.
	o.Key, _, _ = signed(t)
	o.Cache = t.TempDir()
	_, err = engine.Find(t.Context(), name, "", o)
	assertUnavailable(t, err)
	left, globErr := filepath.Glob(filepath.Join(o.Cache, name, "*"))
	if globErr != nil || len(left) != 1 || filepath.Base(left[0]) != ".lock" {
		t.Errorf("left behind: %v %v", left, globErr)
	}
}
