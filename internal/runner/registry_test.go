package runner

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// The engine's registry has what the release got, for who knows its path.
func TestRegistryOfARun(t *testing.T) {
	t.Parallel()
	has := wire.Registry{Host: "modules.example.com", Modules: []wire.RegistryModule{{Module: "team/vpc/aws", Version: "1.0.0"}, {Module: "team/vpc/aws", Version: "1.2.0"}, {Module: "team/gone/aws", Version: "1.0.0"}}}
	fetches := 0
	r, err := openRegistry(t.Context(), has, func(_ context.Context, module, version string) (wire.ModuleArchive, error) {
		fetches++
		if module == "team/gone/aws" {
			return wire.ModuleArchive{}, core.Errorf(core.NotFound, "there is no module team/gone/aws")
		}
		return wire.ModuleArchive{Folder: "vpc", Archive: []byte("archive of " + version)}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	defer func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}()
	get := func(path string) (status int, body, location string) {
		t.Helper()
		resp, err := client.Get(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, strings.TrimSpace(string(text)), resp.Header.Get("X-Terraform-Get")
	}
	strange := strings.Replace(r.url(), r.path, "x", 1)
	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{r.url() + "team/vpc/aws/versions", 200, `{"modules":[{"versions":[{"version":"1.0.0"},{"version":"1.2.0"}]}]}`},
		{r.url() + "team/dns/aws/versions", 200, `{"modules":[{"versions":[]}]}`},
		{r.url() + "team/vpc/aws/1.2.0/download", 204, "./module.tar.gz//vpc"},
		{r.url() + "team/vpc/aws/1.2.0/module.tar.gz", 200, "archive of 1.2.0"},
		{r.url() + "team/vpc/aws/1.1.0/download", 404, "did not get"},
		{r.url() + "team/vpc/aws/1.1.0/module.tar.gz", 404, "did not get"},
		{r.url() + "team/gone/aws/1.0.0/download", 400, "there is no module team/gone/aws"},
		{strange + "team/vpc/aws/versions", 403, "one run"},
		{strange + "team/vpc/aws/1.2.0/module.tar.gz", 403, "one run"},
		{r.url() + "state", 404, ""},
	} {
		status, body, location := get(c.path)
		if status != c.status || !strings.Contains(body+location, c.want) {
			t.Errorf("%s: %d %s %s, want %d and %s", c.path, status, body, location, c.status, c.want)
		}
	}
	if fetches != 2 {
		t.Errorf("%d archives were fetched, want each once", fetches)
	}
}
