package democloud_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
)

func TestBadInput(t *testing.T) {
	t.Parallel()
	cloud, c := democloudtest.Start(t, democloud.Options{})
	const json = "application/json"
	for _, test := range []struct {
		name, method, path, contentType, body string
		status                                int
	}{
		{"no JSON", "POST", "/v1/default/server", json, `{`, 400},
		{"two bodies", "POST", "/v1/default/server", json, `{"name":"a","spec":{"image":"i"}} {}`, 400},
		{"a form", "POST", "/v1/default/server", "text/plain", `{"name":"a","spec":{"image":"i"}}`, 400},
		{"unknown field", "POST", "/v1/default/server", json, `{"name":"a","spec":{"image":"i","color":"red"}}`, 400},
		{"no name", "POST", "/v1/default/server", json, `{"spec":{"image":"i"}}`, 400},
		{"name with markup", "POST", "/v1/default/server", json, `{"name":"<b>","spec":{"image":"i"}}`, 400},
		{"no image", "POST", "/v1/default/server", json, `{"name":"a","spec":{}}`, 400},
		{"unknown size", "POST", "/v1/default/server", json, `{"name":"a","spec":{"image":"i","size":"xxl"}}`, 400},
		{"unknown network", "POST", "/v1/default/server", json, `{"name":"a","spec":{"image":"i","network_id":"net-1"}}`, 400},
		{"negative latency", "POST", "/v1/default/server", json, `{"name":"a","spec":{"image":"i"},"latency":"-1s"}`, 400},
		{"bad CIDR", "POST", "/v1/default/network", json, `{"name":"a","spec":{"cidr":"10.0"}}`, 400},
		{"health path", "POST", "/v1/default/load_balancer", json, `{"name":"a","spec":{"health_path":"x"}}`, 400},
		{"record type", "POST", "/v1/default/dns_record", json, `{"name":"a","spec":{"record_type":"B","value":"v"}}`, 400},
		{"no value", "POST", "/v1/default/dns_record", json, `{"name":"a"}`, 400},
		{"unknown type", "POST", "/v1/default/toaster", json, `{"name":"a"}`, 404},
		{"tenant", "POST", "/v1/..%2f..%2fetc/server", json, `{"name":"a","spec":{"image":"i"}}`, 400},
		{"too long", "POST", "/v1/default/server", json, `{"name":"` + strings.Repeat("a", 2<<20) + `"}`, 400},
		{"no such id", "GET", "/v1/default/server/srv-1", "", "", 404},
		{"no such id", "DELETE", "/v1/default/server/srv-1", "", "", 404},
		{"no such id", "POST", "/v1/default/server/srv-1/stop", "", "", 404},
		{"wrong method", "PATCH", "/v1/default/server/srv-1", json, "{}", 405},
		{"no such path", "GET", "/v2", "", "", 404},
		{"resolve nothing", "GET", "/resolve", "", "", 400},
		{"journal", "GET", "/journal?after=x", "", "", 400},
		{"fault mode", "POST", "/faults", json, `{"mode":"explode"}`, 400},
		{"fault type", "POST", "/faults", json, `{"mode":"fail","type":"toaster"}`, 400},
		{"fault operation", "POST", "/faults", json, `{"mode":"fail","operation":"fry"}`, 400},
		{"fault count", "POST", "/faults", json, `{"mode":"fail","count":-1}`, 400},
		{"fault delay", "POST", "/faults", json, `{"mode":"slow"}`, 400},
		{"fault pattern", "POST", "/faults", json, `{"mode":"fail","name":"["}`, 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), test.method, cloud.URL()+test.path, strings.NewReader(test.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", test.contentType)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != test.status {
			t.Errorf("%s: %s %s is answered %s, want %d", test.name, test.method, test.path, resp.Status, test.status)
		}
	}
	if journal, err := c.Journal(t.Context(), 0); err != nil || len(journal) != 0 || count(t, c) != 0 {
		t.Errorf("bad input changed something: %v, %v", journal, err)
	}
}

func TestForeignHostIsRefused(t *testing.T) {
	t.Parallel()
	cloud, _ := democloudtest.Start(t, democloud.Options{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, cloud.URL()+"/journal", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "evil.example"
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("it is answered %s", resp.Status)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, opts := range []democloud.Options{
		{},
		{Dir: t.TempDir(), Addr: "0.0.0.0:0"},
		{Dir: t.TempDir(), Addr: "nonsense"},
	} {
		if _, err := democloud.New(opts); core.CodeOf(err) != core.Invalid {
			t.Errorf("%+v: %v", opts, err)
		}
	}
}

func TestClientWithoutCloud(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://127.0.0.1:1", "", "http://%"} {
		c := democloud.Client{URL: url}
		if _, err := c.List(t.Context(), ""); core.CodeOf(err) != core.Unavailable && core.CodeOf(err) != core.Invalid {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestJournalNamesTheCaller(t *testing.T) {
	t.Parallel()
	_, c := democloudtest.Start(t, democloud.Options{})
	c.Caller = democloud.Caller{Run: "r-1", Fence: "7"}
	db := create(t, c, democloud.Database, "orders", democloud.Spec{})
	journal, err := c.Journal(t.Context(), 0)
	if err != nil || len(journal) != 1 || journal[0].Run != "r-1" || journal[0].Fence != "7" || journal[0].Resource.ID != db.ID {
		t.Errorf("the journal has %+v, %v", journal, err)
	}
	if journal[0].Resource.Password != "" {
		t.Error("the journal keeps the password")
	}
}
