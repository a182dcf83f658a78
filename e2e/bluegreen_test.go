package e2e

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/examples"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// visitor asks for a page all the time and counts what fails.
type visitor struct {
	stop   context.CancelFunc
	asking sync.WaitGroup

	mu            sync.Mutex
	asked, failed int
	first         string          // failure
	servers       map[string]bool // that answered
}

// visit starts asking, several at once, until the visitor is asked for its figures.
func (w *world) visit(url string) *visitor {
	ctx, stop := context.WithCancel(w.Context())
	v := &visitor{stop: stop, servers: map[string]bool{}}
	// Requests that are under way when the test ends are no failures of the site.
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{}}
	for range 2 {
		v.asking.Go(func() {
			tick := time.NewTicker(20 * time.Millisecond) // the rest of the machine has work to do
			defer tick.Stop()
			for ctx.Err() == nil {
				v.ask(client, url)
				<-tick.C
			}
		})
	}
	w.Cleanup(func() { stop(); v.asking.Wait(); client.CloseIdleConnections() })
	return v
}

func (v *visitor) ask(client *http.Client, url string) {
	resp, err := client.Get(url)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asked++
	switch {
	case err != nil:
		v.failed++
		v.first = or(v.first, err.Error())
		return
	case resp.StatusCode != http.StatusOK:
		v.failed++
		v.first = or(v.first, resp.Status)
	default:
		v.servers[resp.Header.Get("Democloud-Server")+" "+resp.Header.Get("Democloud-Image")] = true
	}
	_ = resp.Body.Close() // only the status counts
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// leaves ends the visit and wants that nothing failed.
func (v *visitor) leaves(t *testing.T) {
	t.Helper()
	v.stop()
	v.asking.Wait()
	if v.failed > 0 || v.asked < 50 {
		t.Errorf("%d of %d requests failed, the first with %s", v.failed, v.asked, v.first)
	}
	t.Logf("%d requests, %d failed", v.asked, v.failed)
}

// servers lists the servers of an environment by ID.
func servers(t *testing.T, client *democloud.Client, environment string) map[string]democloud.Resource {
	t.Helper()
	all, err := client.List(t.Context(), democloud.Server)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]democloud.Resource{}
	for _, r := range all {
		if r.Tenant == environment {
			out[r.ID] = r
		}
	}
	return out
}

// A commit that changes the size of immutable servers replaces them: the new ones are
// created, provisioned and asked before the load balancer moves and the old ones go. A
// visitor of production notices nothing.
func TestServersAreReplacedWithoutAFailedRequest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cloud, client := w.cloud()
	first := w.example(examples.BlueGreen(), cloud)
	w.add("site")
	stages := []string{"dev succeeded", "canary succeeded", "production succeeded"}
	w.wants(w.rolloutOf(first), "succeeded", stages...)
	before := servers(t, client, "production")
	v := w.visit(w.output("web@production", "url").(string))

	w.repo.Write("terrace.hcl", strings.ReplaceAll(w.repo.Read("terrace.hcl"), `"small"`, `"large"`))
	second := w.repo.Commit("Larger servers")
	w.push()
	r := w.rolloutOf(second)
	w.wants(r, "succeeded", stages...)
	v.leaves(t)
	for id, s := range servers(t, client, "production") {
		if _, old := before[id]; old || s.Spec.Size != "large" {
			t.Errorf("%s (%s) is of size %s, and old: %v", s.Name, id, s.Spec.Size, old)
		}
	}
	for _, run := range w.runsOf(r) {
		if run.Kind != "deploy" {
			continue // the canary's bake
		}
		log := w.run("run", "logs", run.ID)
		says(t, "the log of "+run.ID, log, "The hosts are ready.")
		if n := strings.Count(log, "PLAY ["); n != 1 {
			t.Errorf("%s: Ansible ran %d times; what was provisioned in the apply is not provisioned again", run.Instance, n)
		}
	}

	// A play that fails stops the apply before the load balancer hears of the new server.
	before = servers(t, client, "dev")
	v = w.visit(w.output("web@dev", "url").(string))
	w.repo.Write("terrace.hcl", strings.ReplaceAll(w.repo.Read("terrace.hcl"), `"large"`, `"medium"`))
	play := w.repo.Read("ansible/web.yml")
	w.repo.Write("ansible/web.yml", play+"\n    - name: Broken\n      ansible.builtin.fail:\n        msg: it does not answer\n")
	broken := w.repo.Commit("A play that fails")
	w.push()
	r = w.rolloutOf(broken)
	w.wants(r, "failed", "dev failed", "canary waiting", "production waiting")
	v.leaves(t)
	for id := range before {
		if _, there := servers(t, client, "dev")[id]; !there {
			t.Errorf("the old server %s is gone", id)
		}
	}
	says(t, "the failed run", w.run("run", "show", w.runsOf(r)[0].ID), "it does not answer")

	// Mended, the apply goes on where it stopped.
	w.repo.Write("ansible/web.yml", play)
	mended := w.repo.Commit("A play that does not")
	v = w.visit(w.output("web@dev", "url").(string))
	w.push()
	w.wants(w.rolloutOf(mended), "succeeded", stages...)
	v.leaves(t)
	if n := len(servers(t, client, "dev")); n != 1 {
		t.Errorf("dev has %d servers", n)
	}
}

// A canary whose page breaks while it bakes stops the release before production.
func TestCanaryStopsProduction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cloud, client := w.cloud()
	first := w.example(examples.BlueGreen(), cloud)
	w.add("site")
	w.wants(w.rolloutOf(first), "succeeded", "dev succeeded", "canary succeeded", "production succeeded")
	production := servers(t, client, "production")

	config := strings.ReplaceAll(w.repo.Read("terrace.hcl"), `"small"`, `"large"`)
	config = strings.ReplaceAll(config, `bake  = "5s"`, `bake  = "10m"`)
	w.repo.Write("terrace.hcl", strings.ReplaceAll(config, `within = "1m"`, `within = "10s"`))
	second := w.repo.Commit("Larger servers")
	w.push()
	testkit.Eventually(t, patience, "the canary to bake", func() bool {
		all := get[[]rollout](w, "rollouts")
		return all[0].Release.Commit == second && all[0].Stages[1].Status == "baking"
	})
	for _, s := range servers(t, client, "canary") {
		if err := os.Remove(filepath.Join(s.Root, "index.html")); err != nil {
			t.Fatal(err)
		}
	}
	r := w.rolloutOf(second)
	w.wants(r, "failed", "dev succeeded", "canary failed", "production waiting")
	says(t, "the rollout", w.run("rollout", "show", r.ID), "canary, which failed")
	if after := servers(t, client, "production"); len(after) != len(production) {
		t.Errorf("production has %d servers now, it had %d", len(after), len(production))
	}
	for id := range production {
		if _, there := servers(t, client, "production")[id]; !there {
			t.Errorf("production lost %s", id)
		}
	}
}

func TestProvisionOutsideOfARun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, said, code := w.try("provision"); code != 1 || !strings.Contains(said, "TERRACE_PROVISION=skip") {
		t.Errorf("exit %d: %s", code, said)
	}
	w.env = append(w.env, "TERRACE_PROVISION=skip")
	says(t, "provision", w.run("provision"), "nothing is provisioned")
}
