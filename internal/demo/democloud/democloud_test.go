package democloud_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.Cleanup(func(code int) { os.Exit(code) }),
		// Idle connections of http.DefaultClient end by themselves.
		goleak.IgnoreTopFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreTopFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreTopFunction("internal/poll.runtime_pollWait"),
		// A server that refused a long body waits half a second before it hangs up.
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

var small = democloud.Spec{Image: "web-1"}

func create(t *testing.T, c *democloud.Client, typ democloud.Type, name string, spec democloud.Spec) democloud.Resource {
	t.Helper()
	r, err := c.Create(t.Context(), typ, name, spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// fetch returns the status, the name of the server that answered, and the body.
func fetch(t *testing.T, url string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header.Get("Democloud-Server"), string(body)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func put(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func gone(t *testing.T, path string) bool {
	t.Helper()
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

func TestServerServesItsFolder(t *testing.T) {
	t.Parallel()
	_, c := democloudtest.Start(t, democloud.Options{})
	s := create(t, c, democloud.Server, "web", small)
	if s.State != democloud.Ready || s.Spec.Size != "small" || s.Tenant != "default" {
		t.Errorf("a new server is %+v", s)
	}
	if code, _, body := fetch(t, s.URL); code != 200 || !strings.Contains(body, "web is up") {
		t.Errorf("a fresh server answers %d %q", code, body)
	}
	put(t, s.Root, "hello.txt", "hello")
	secret := filepath.Join(t.TempDir(), "secret")
	put(t, filepath.Dir(secret), "secret", "s3cret")
	if err := os.Symlink(secret, filepath.Join(s.Root, "link")); err != nil {
		t.Fatal(err)
	}
	if code, by, body := fetch(t, s.URL+"/hello.txt"); code != 200 || by != "web" || body != "hello" {
		t.Errorf("its file comes as %d %q %q", code, by, body)
	}
	if code, _, body := fetch(t, s.URL+"/link"); code == 200 {
		t.Errorf("a link led out of the folder: %q", body)
	}
	if code, _, _ := fetch(t, s.URL+"/none"); code != 404 {
		t.Errorf("a missing file is %d", code)
	}

	if _, err := c.Update(t.Context(), democloud.Server, s.ID, "web", democloud.Spec{Image: "web-2"}); core.CodeOf(err) != core.Invalid {
		t.Errorf("another image in place: %v", err)
	}
	if err := os.Remove(filepath.Join(s.Root, "index.html")); err != nil {
		t.Fatal(err)
	}
	if code, _, body := fetch(t, s.URL); code != 403 || strings.Contains(body, "hello.txt") {
		t.Errorf("without a page it answers %d %q", code, body)
	}
	grown, err := c.Update(t.Context(), democloud.Server, s.ID, "web-big", democloud.Spec{Image: "web-1", Size: "large"})
	if err != nil || grown.Address != s.Address || grown.Spec.Size != "large" {
		t.Errorf("growing in place: %+v, %v", grown, err)
	}
	if _, by, body := fetch(t, s.URL+"/hello.txt"); by != "web-big" || body != "hello" {
		t.Errorf("after growing it is %q with %q", by, body)
	}

	if err := c.Delete(t.Context(), democloud.Server, s.ID); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := fetch(t, s.URL); code != 0 || !gone(t, s.Root) {
		t.Errorf("destroyed, it answers %d, folder gone: %v", code, gone(t, s.Root))
	}
}

func TestLatency(t *testing.T) {
	t.Parallel()
	_, c := democloudtest.Start(t, democloud.Options{Latency: 200 * time.Millisecond})
	began := time.Now()
	s := create(t, c, democloud.Server, "web", small)
	if s.State != democloud.Creating || s.Address != "" {
		t.Fatalf("just created it is %+v", s)
	}
	s, err := c.WaitReady(t.Context(), democloud.Server, s.ID)
	if err != nil || s.State != democloud.Ready || s.Address == "" || time.Since(began) < 200*time.Millisecond {
		t.Errorf("after %v it is %+v, %v", time.Since(began), s, err)
	}
	never := time.Hour
	slow, err := c.Create(t.Context(), democloud.Server, "slow", small, &never)
	if err != nil {
		t.Fatal(err)
	}
	waited := make(chan error)
	go func() {
		_, err := c.WaitReady(t.Context(), democloud.Server, slow.ID)
		waited <- err
	}()
	if err := c.Delete(t.Context(), democloud.Server, slow.ID); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; core.CodeOf(err) != core.NotFound {
		t.Errorf("waiting for a server that was destroyed: %v", err)
	}
}

func TestLoadBalancer(t *testing.T) {
	t.Parallel()
	_, c := democloudtest.Start(t, democloud.Options{})
	var servers []democloud.Resource
	var ids []string
	for _, name := range []string{"a", "b", "c"} {
		s := create(t, c, democloud.Server, name, small)
		put(t, s.Root, "index.html", "page")
		servers, ids = append(servers, s), append(ids, s.ID)
	}
	lb := create(t, c, democloud.LoadBalancer, "front", democloud.Spec{Servers: ids})
	if code, _, body := fetch(t, lb.URL); code != 503 || !strings.Contains(body, "no healthy server") {
		t.Errorf("without a healthy server: %d %q", code, body)
	}
	for _, s := range servers {
		put(t, s.Root, "healthz", "ok")
	}
	// who returns the servers that answer n requests, sorted, each name once.
	who := func(n int) string {
		var seen []string
		for range n {
			code, by, _ := fetch(t, lb.URL)
			if code != 200 {
				t.Errorf("a request got %d", code)
			}
			seen = append(seen, by)
		}
		slices.Sort(seen)
		return strings.Join(slices.Compact(seen), "")
	}
	if got := who(1); got == "" {
		t.Error("healthy from now on, yet nobody answers")
	}
	eventually(t, "all three answer", func() bool { return who(3) == "abc" })

	// A crash in between is noticed by the request that meets it.
	if err := c.Stop(t.Context(), servers[1].ID); err != nil {
		t.Fatal(err)
	}
	if got := who(6); got != "ac" {
		t.Errorf("with b down, %q answer", got)
	}
	if err := c.Start(t.Context(), servers[1].ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, "b is back", func() bool { return who(3) == "abc" })

	if err := os.Remove(filepath.Join(servers[0].Root, "healthz")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a is left out, being unhealthy", func() bool { return who(4) == "bc" })

	// Another health path, then fewer servers, in place.
	if _, err := c.Update(t.Context(), democloud.LoadBalancer, lb.ID, "front", democloud.Spec{Servers: ids, HealthPath: "/"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a counts again", func() bool { return who(3) == "abc" })
	if _, err := c.Update(t.Context(), democloud.LoadBalancer, lb.ID, "front", democloud.Spec{Servers: ids[:1], HealthPath: "/"}); err != nil {
		t.Fatal(err)
	}
	if got := who(3); got != "a" {
		t.Errorf("with a alone behind it, %q answer", got)
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, lb.URL, strings.NewReader("a body"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.Header.Get("Democloud-Server") != "a" {
		t.Errorf("a POST is answered by %q with %s", resp.Header.Get("Democloud-Server"), resp.Status)
	}
}

func TestDNSAndDatabase(t *testing.T) {
	t.Parallel()
	_, c := democloudtest.Start(t, democloud.Options{})
	rec := create(t, c, democloud.DNSRecord, "www.shop.example", democloud.Spec{Value: "127.0.0.1:80"})
	found, err := c.Resolve(t.Context(), "WWW.shop.example")
	if err != nil || len(found) != 1 || found[0] != (democloud.Record{Tenant: "default", Type: "A", Value: "127.0.0.1:80", TTL: 60}) {
		t.Errorf("resolved %+v, %v", found, err)
	}
	if _, err := c.Create(t.Context(), democloud.DNSRecord, "www.shop.example", democloud.Spec{Value: "x"}, nil); core.CodeOf(err) != core.Conflict {
		t.Errorf("the same record again: %v", err)
	}
	if _, err := c.Update(t.Context(), democloud.DNSRecord, rec.ID, "www.shop.example", democloud.Spec{Value: "other", TTL: 5}); err != nil {
		t.Error(err)
	}
	if found, err = c.Resolve(t.Context(), "www.shop.example"); err != nil || found[0].Value != "other" {
		t.Errorf("after the change: %+v, %v", found, err)
	}
	if _, err := c.Resolve(t.Context(), "none.example"); core.CodeOf(err) != core.NotFound {
		t.Errorf("an unknown name: %v", err)
	}

	db := create(t, c, democloud.Database, "orders", democloud.Spec{})
	put(t, db.Path, "orders.csv", "1,2,3")
	if len(db.Password) != 32 || db.Username == "" {
		t.Errorf("a database comes with %+v", db)
	}
	grown, err := c.Update(t.Context(), democloud.Database, db.ID, "orders", democloud.Spec{Size: "large"})
	if err != nil || grown.Password != db.Password || gone(t, filepath.Join(db.Path, "orders.csv")) {
		t.Errorf("growing it: %+v, %v", grown, err)
	}
	if _, err := c.Update(t.Context(), democloud.Database, db.ID, "renamed", democloud.Spec{Size: "large"}); core.CodeOf(err) != core.Invalid {
		t.Errorf("renaming it: %v", err)
	}
	if err := c.Delete(t.Context(), democloud.Database, db.ID); err != nil || !gone(t, db.Path) {
		t.Errorf("destroying it: %v, its data is gone: %v", err, gone(t, db.Path))
	}
}

func TestNetworkInUse(t *testing.T) {
	t.Parallel()
	_, c := democloudtest.Start(t, democloud.Options{})
	net := create(t, c, democloud.Network, "main", democloud.Spec{CIDR: "10.0.0.0/16"})
	s := create(t, c, democloud.Server, "web", democloud.Spec{Image: "web-1", NetworkID: net.ID})
	if err := c.Delete(t.Context(), democloud.Network, net.ID); core.CodeOf(err) != core.Conflict {
		t.Errorf("destroying a network in use: %v", err)
	}
	if err := c.Delete(t.Context(), democloud.Server, s.ID); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), democloud.Network, net.ID); err != nil {
		t.Error(err)
	}
}

func TestTenantsAreApart(t *testing.T) {
	t.Parallel()
	_, all := democloudtest.Start(t, democloud.Options{})
	eu, us := *all, *all
	eu.Tenant, us.Tenant = "eu", "us"
	s := create(t, &eu, democloud.Server, "web", small)
	create(t, &eu, democloud.Database, "orders", democloud.Spec{})
	create(t, &us, democloud.Database, "orders", democloud.Spec{})
	if _, err := us.Get(t.Context(), democloud.Server, s.ID); core.CodeOf(err) != core.NotFound {
		t.Errorf("us sees what is in eu: %v", err)
	}
	if err := us.Delete(t.Context(), democloud.Server, s.ID); core.CodeOf(err) != core.NotFound {
		t.Errorf("us destroys what is in eu: %v", err)
	}
	if _, err := us.Create(t.Context(), democloud.LoadBalancer, "front", democloud.Spec{Servers: []string{s.ID}}, nil); core.CodeOf(err) != core.Invalid {
		t.Errorf("us balances what is in eu: %v", err)
	}
	for _, of := range []struct {
		client *democloud.Client
		n      int
	}{{&eu, 2}, {&us, 1}, {all, 3}} {
		if found, err := of.client.List(t.Context(), ""); err != nil || len(found) != of.n {
			t.Errorf("tenant %q lists %d resources, %v", of.client.Tenant, len(found), err)
		}
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	cloud, c := democloudtest.Start(t, democloud.Options{})
	if _, _, body := fetch(t, cloud.URL()); !strings.Contains(body, "Nothing is here yet") {
		t.Errorf("the empty page says %s", body)
	}
	s := create(t, c, democloud.Server, "web-on-show", small)
	if _, err := c.Inject(t.Context(), democloud.Fault{Mode: democloud.Fail, Name: "<script>"}); err != nil {
		t.Fatal(err)
	}
	code, _, body := fetch(t, cloud.URL())
	if code != 200 || !strings.Contains(body, "web-on-show") || !strings.Contains(body, s.URL) || strings.Contains(body, "<script>") {
		t.Errorf("the page is %d: %s", code, body)
	}
}
