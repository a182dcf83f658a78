package statefile_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/statefile"
)

const shop = `{"version": 4, "terraform_version": "1.12.6", "serial": 7, "lineage": "l", "outputs": {
    "url": {"value": "http://shop", "type": "string"},
    "password": {"value": "hunter2hunter2", "type": "string", "sensitive": true}},
  "resources": [
    {"module": "module.a[\"x.y\"].module.b", "mode": "managed", "type": "cloud_server", "name": "web", "provider": "p", "instances": [
      {"index_key": 0, "attributes": {"id": "srv-1", "ports": [80, 443], "tags": {}, "boot": {"key": "sesame-sesame", "n": 12345678901234567890}},
       "sensitive_attributes": [[{"type": "get_attr", "value": "boot"}, {"type": "get_attr", "value": "key"}]]},
      {"index_key": "a\"]b", "status": "tainted", "attributes": {"id": "srv-2"}},
      {"index_key": 0, "deposed": "abcd1234", "attributes": {"id": "srv-0"}}]},
    {"mode": "data", "type": "cloud_image", "name": "web", "instances": [{"attributes": {"list": [{"a": 1}]}}]}]}`

func TestAddresses(t *testing.T) {
	t.Parallel()
	f, err := statefile.Read([]byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`data.cloud_image.web`, `module.a["x.y"].module.b.cloud_server.web["a\"]b"]`,
		`module.a["x.y"].module.b.cloud_server.web[0]`, `module.a["x.y"].module.b.cloud_server.web[0] (deposed abcd1234)`}
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(f.Instances()))); diff != "" {
		t.Error(diff)
	}
	if got := f.Resources[0].Block(); got != "module.a.module.b.cloud_server.web" {
		t.Error(got)
	}
	if got := f.Resources[1].Block(); got != "data.cloud_image.web" {
		t.Error(got)
	}
	flat := statefile.Flat(f.Resources[0].Instances[0].Attributes)
	if diff := cmp.Diff(map[string]any{"id": "srv-1", "ports[0]": json.Number("80"), "ports[1]": json.Number("443"), "tags": map[string]any{},
		"boot.key": "sesame-sesame", "boot.n": json.Number("12345678901234567890")}, flat); diff != "" {
		t.Error(diff)
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	f, err := statefile.Read([]byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	server := f.Resources[0].Instances[0]
	for path, want := range map[string]bool{"boot.key": true, "boot.key.deeper": true, "boot.key[0]": true, "boot.keys": false, "boot": false, "id": false} {
		if server.Marked(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	var s statefile.Secrets
	if s.In("sesame-sesame") {
		t.Error("it knows what it was not told")
	}
	s.Learn(f)
	for value, want := range map[string]bool{"sesame-sesame": true, "http://user:hunter2hunter2@db": true, "srv-1": false, "sesame": false} {
		if s.In(value) != want || s.In(map[string]any{"a": []any{value}}) != want {
			t.Errorf("%s: %v", value, !want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"", "[]", `{"version": "x"}`, `{"resources": [{"instances": [{"attributes": []}]}]}`, strings.Repeat("[", 100_000)} {
		if _, err := statefile.Read([]byte(bad)); core.CodeOf(err) != core.Invalid {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if f, err := statefile.Read([]byte(`{"serial": 1, "lineage": "l", "encrypted_data": "x"}`)); err != nil || !bool(f.Encrypted) {
		t.Error(f, err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(shop))
	f.Fuzz(func(t *testing.T, content []byte) {
		file, err := statefile.Read(content)
		if err != nil {
			return
		}
		var s statefile.Secrets
		s.Learn(file)
		for address := range file.Instances() {
			if got := statefile.WithoutKeys(address); len(got) > len(address) {
				t.Errorf("%q grew to %q", address, got)
			}
		}
	})
}
