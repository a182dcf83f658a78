package engine_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/step/engine"
)

// registry serves a module that says its version, in the versions that it is told.
func registry(t *testing.T, versions ...string) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /secret/team/word/generic/versions", func(w http.ResponseWriter, _ *http.Request) {
		var all []map[string]string
		for _, v := range versions {
			all = append(all, map[string]string{"version": v})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"modules": []any{map[string]any{"versions": all}}})
	})
	mux.HandleFunc("GET /secret/team/word/generic/{version}/download", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Terraform-Get", "./module.tar.gz//deep/folder")
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET /secret/team/word/generic/{version}/module.tar.gz", func(w http.ResponseWriter, req *http.Request) {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		archive := tar.NewWriter(zip)
		code := "output \"version\" {\n  value = \"" + req.PathValue("version") + "\"\n}\n"
		_ = archive.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "deep/folder/main.tf", Mode: 0o644, Size: int64(len(code))})
		_, _ = archive.Write([]byte(code))
		_, _ = archive.Close(), zip.Close()
		_, _ = w.Write(b.Bytes())
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.URL + "/secret/"
}

// The engine finds a registry where its session says, takes the versions that it has, and
// another one when it has another one, although the code is the same.
func TestModulesOfARegistry(t *testing.T) {
	t.Parallel()
	for _, e := range engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, e, map[string]string{"main.tf": `
module "word" {
  source  = "modules.example.com/team/word/generic"
  version = "~> 1.0"
}
output "version" {
  value = module.word.version
}
`})
			serve := func(known string, versions ...string) {
				w.o.Registry = &engine.Registry{Host: "modules.example.com", URL: registry(t, versions...), Versions: map[string][]string{"team/word/generic": {known}}}
			}
			is := func(want string) {
				t.Helper()
				w.deploy()
				if got := w.outputs()["version"]; got != want {
					t.Errorf("it has version %v, want %s", got, want)
				}
			}
			serve("1.0.0", "1.0.0")
			is("1.0.0")
			serve("1.0.0", "1.0.0") // at another address
			if s := w.open(); !w.init(s) {
				t.Error("init is repeated, although the registry has the same")
			}
			serve("1.1.0", "1.1.0")
			is("1.1.0")
			serve("1.0.0", "1.0.0")
			is("1.0.0")
			serve("1.1.0", "1.1.0", "1.2.0")
			if _, err := w.open().Init(t.Context()); core.CodeOf(err) != core.Invalid || !strings.Contains(core.MessageOf(err), "1.2.0") {
				t.Errorf("a version is taken that the release did not get: %v", err)
			}
		})
	}
}
