package democloud_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
)

func TestRestartKeepsEverything(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cloud, c := democloudtest.Start(t, democloud.Options{Dir: dir})
	a, b := create(t, c, democloud.Server, "a", small), create(t, c, democloud.Server, "b", small)
	put(t, a.Root, "healthz", "ok")
	put(t, a.Root, "index.html", "still here")
	lb := create(t, c, democloud.LoadBalancer, "front", democloud.Spec{Servers: []string{a.ID, b.ID}})
	create(t, c, democloud.Network, "main", democloud.Spec{CIDR: "10.0.0.0/16"})
	create(t, c, democloud.DNSRecord, "www", democloud.Spec{Value: lb.Address})
	db := create(t, c, democloud.Database, "orders", democloud.Spec{})
	put(t, db.Path, "orders.csv", "1,2,3")
	if err := c.Stop(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	hour := time.Hour
	if _, err := c.Create(t.Context(), democloud.Server, "slow", small, &hour); err != nil {
		t.Fatal(err)
	}
	before, err := c.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := democloud.New(democloud.Options{Dir: dir}); core.CodeOf(err) != core.Conflict {
		t.Errorf("a second cloud on the same folder: %v", err)
	}
	if err := cloud.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _, _ := fetch(t, lb.URL); code != 0 {
		t.Errorf("after Close the load balancer answers %d", code)
	}

	again, c := democloudtest.Start(t, democloud.Options{Dir: dir})
	if again.URL() != cloud.URL() {
		t.Errorf("the API moved from %s to %s", cloud.URL(), again.URL())
	}
	after, err := c.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the restart changed (-before +after)\n%s", diff)
	}
	if _, by, body := fetch(t, lb.URL); by != "a" || body != "still here" {
		t.Errorf("through the load balancer comes %q from %q", body, by)
	}
	if gone(t, filepath.Join(db.Path, "orders.csv")) {
		t.Error("the database lost its data")
	}
	create(t, c, democloud.Server, "c", small)
	journal, err := c.Journal(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, e := range journal {
		got = append(got, string(e.Operation)+" "+e.Resource.Name)
		if e.Seq != int64(i+1) {
			t.Errorf("entry %d has the number %d", i, e.Seq)
		}
	}
	want := []string{"create a", "create b", "create front", "create main", "create www", "create orders", "stop b", "create slow", "create c"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("journal (-want +got)\n%s", diff)
	}
}

func TestCreatingGoesOnAfterRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cloud, c := democloudtest.Start(t, democloud.Options{Dir: dir, Latency: 100 * time.Millisecond})
	s := create(t, c, democloud.Server, "web", small)
	if err := cloud.Close(); err != nil {
		t.Fatal(err)
	}
	_, c = democloudtest.Start(t, democloud.Options{Dir: dir})
	s, err := c.WaitReady(t.Context(), democloud.Server, s.ID)
	if err != nil || s.State != democloud.Ready {
		t.Fatalf("it is %+v, %v", s, err)
	}
	if code, _, _ := fetch(t, s.URL); code != 200 {
		t.Errorf("it answers %d", code)
	}
}

// TestCrash puts the folder into the states that a crash in the middle of a change
// leaves, at each place where it can happen.
func TestCrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cloud, c := democloudtest.Start(t, democloud.Options{Dir: dir})
	stays, goes := create(t, c, democloud.Server, "stays", small), create(t, c, democloud.Server, "goes", small)
	if err := cloud.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "journal.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.Collect(strings.Lines(string(text)))
	write := func(lines ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	names := func() string {
		t.Helper()
		cloud, c := democloudtest.Start(t, democloud.Options{Dir: dir})
		all, err := c.List(t.Context(), democloud.Server)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range all {
			names = append(names, r.Name)
			if code, _, _ := fetch(t, r.URL); code != 200 {
				t.Errorf("%s answers %d", r.Name, code)
			}
		}
		if err := cloud.Close(); err != nil {
			t.Fatal(err)
		}
		return strings.Join(names, " ")
	}
	file := func(r democloud.Resource) string {
		return filepath.Join(dir, "resources", "default", "server", r.ID+".json")
	}

	// In the journal, not yet in its file: created all the same.
	if err := os.Remove(file(goes)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(goes.Root); err != nil {
		t.Fatal(err)
	}
	if got := names(); got != "stays goes" {
		t.Errorf("a create that was in the journal alone: %q", got)
	}

	// Half a line was never acknowledged; neither was the start of a file.
	write(append(lines, `{"seq":3,"operation":"delete","reso`)...)
	put(t, filepath.Dir(file(stays)), ".new-123", "{")
	if got := names(); got != "stays goes" {
		t.Errorf("half a line: %q", got)
	}

	// Destroyed in the journal, still in its file: gone.
	var e democloud.Entry
	if err := json.Unmarshal([]byte(lines[1]), &e); err != nil {
		t.Fatal(err)
	}
	e.Seq, e.Operation = 3, democloud.Delete
	line, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	write(append(lines, string(line)+"\n")...)
	if got := names(); got != "stays" || !gone(t, goes.Root) {
		t.Errorf("a destroy that was in the journal alone: %q", got)
	}

	// What can't be read is said, with the file, and nothing is cut off.
	write("garbage\n", lines[0])
	if _, err := democloud.New(democloud.Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("a journal that is not one: %v", err)
	}
}
