package e2e

import (
	"encoding/base64"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// preview is the machine output about one.
type preview struct {
	ID, Status, Why, Branch, Commit string
	Pull                            int64
	Environments                    []struct {
		Environment    string
		Refused, Gates []string
		Changes        struct{ Create, Update, Replace, Delete int }
		Instances      []previewed
	}
}

type previewed struct {
	Instance, State, Run, Why string
	WaitsFor                  string `json:"waits_for"`
	Against                   []string
}

// of finds an instance of a preview; the zero value when it is not affected.
func (p preview) of(instance string) previewed {
	for _, e := range p.Environments {
		for _, in := range e.Instances {
			if in.Instance == instance {
				return in
			}
		}
	}
	return previewed{}
}

// ended waits until a preview is over.
func (w *world) ended(id string) (p preview) {
	w.Helper()
	w.eventually("the preview "+id+" to end", func() bool {
		p = get[preview](w, "previews/"+id)
		return p.Status != "running" && p.Status != "waiting"
	})
	return p
}

// wired writes stacks of which two use outputs of a third: one that a plan tells, and one
// that only the apply does.
func (w *world) wired(word, production string) {
	w.Helper()
	const upstream = "variable \"upstream\" {\n  type = string\n}\nresource \"terraform_data\" \"up\" {\n  input = var.upstream\n}\n"
	w.park(`secrets = ["CLOUD_TOKEN"]`, production, `
stack "web" {
  path   = "stacks/web"
  inputs = { upstream = stack.network.said }
}
stack "dns" {
  path     = "stacks/dns"
  inputs   = { upstream = stack.network.name }
  stateful = ["terraform_data.it"]
}
`)
	w.stack("network", word, "output \"name\" {\n  value = \"net-"+word+"\"\n}\n")
	w.stack("web", "web", upstream)
	w.stack("dns", "dns", upstream)
	w.stack("other", "other", "")
}

// A branch is planned as it will be once it is merged, in every environment, and nothing is
// written: dependants are planned against what their upstreams will have as outputs, or say
// that they wait for them; rules that it takes away hold; what it dumps of its environment
// is nothing of the environments'.
func TestPreviewOfABranch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.beforehand()
	const canary = "c4n4ry-of-the-environment"
	w.secret("CLOUD_TOKEN", canary)
	w.wired("one", "secrets = [\"CLOUD_TOKEN\"]\n  approval {\n    count = 1\n  }")
	first := w.repo.Commit("One")
	w.push()
	w.eventually("release 2 to be in production", func() bool {
		for _, a := range ask[[]approval](w, "approve", "--all") {
			_, _, _ = w.try("approve", a.Run, "--yes")
		}
		return w.of(first).Status == "succeeded"
	})
	before := w.run("state", "pull", "network@production")

	w.repo.Branch("try")
	w.wired("two", "secrets = [\"CLOUD_TOKEN\"]")
	w.repo.Write("stacks/network/dump.tf", "output \"dump\" {\n  value = filebase64(\"/proc/self/environ\")\n}\n")
	tried := w.repo.Commit("Two, and no approval")
	w.repo.Push()
	w.repo.Checkout("main")
	w.repo.Write("README.md", "Something else.\n")
	w.repo.Commit("Meanwhile")
	w.push()

	// The secret of an environment is none of its previews'.
	p := w.ended(ask[preview](w, "preview", "start", "--branch", "try").ID)
	if n := p.of("network@dev"); p.Status != "failed" || n.State != "failed" || !strings.Contains(n.Why, "terrace secret set previews CLOUD_TOKEN") {
		t.Errorf("without a secret for previews: %+v", p)
	}
	says(t, "an approval that is gone", strings.Join(p.Environments[1].Refused, "; "), "the approval is gone")
	w.secretIn("previews", "CLOUD_TOKEN", "read-only-token")

	out, errs, code := w.try("preview", "start", "--branch", "try", "--wait")
	if code != 0 {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	says(t, "the preview", out, "succeeded", "network@dev", "network@production", "waits for network@dev", "against the planned outputs of network", "Refused in production: the approval is gone")
	p = ask[struct{ Previews []preview }](w, "preview", "list").Previews[0]
	p = w.ended(p.ID)
	if p.Commit != tried {
		t.Errorf("it is of %s", p.Commit)
	}
	for instance, want := range map[string]string{"network@dev": "planned", "dns@dev": "planned", "web@dev": "waits", "other@dev": "", "network@production": "planned", "dns@production": "planned", "web@production": "waits", "other@production": ""} {
		if got := p.of(instance); got.State != want {
			t.Errorf("%s is %+v, want %q", instance, got, want)
		}
	}
	if dns := p.of("dns@production"); strings.Join(dns.Against, " ") != "network" {
		t.Errorf("dns was planned against %v", dns.Against)
	}
	plan := w.run("run", "plan", p.of("dns@production").Run)
	says(t, "the plan of dns", plan, "net-one", "net-two")
	if w.run("state", "pull", "network@production") != before {
		t.Error("a state was written")
	}
	if got := w.of(tried); got.ID != "" {
		t.Errorf("a rollout of a branch: %+v", got)
	}
	// Nothing of an environment was there to be found, however it is written.
	logs := w.run("run", "logs", p.of("network@production").Run) + w.run("run", "plan", p.of("network@production").Run)
	for i := range 3 {
		inside := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", i) + canary))
		if inside = inside[4 : len(inside)-4]; strings.Contains(logs, inside) {
			t.Error("the secret of an environment is in a preview's plan")
		}
	}
	// Neither does a run of a preview find what others left, nor others what it left.
	if left, _ := filepath.Glob(filepath.Join(w.dir, "data", "runner", "trees", "*", "*", "network", "tree", "stacks", "network", "dump.tf")); len(left) > 0 {
		t.Errorf("the branch's files are in a kept work tree: %v", left)
	}

	// A newer preview of a branch ends the one before, with its runs; a person ends another.
	old, next := ask[preview](w, "preview", "start", "--branch", "try"), ask[preview](w, "preview", "start", "--branch", "try")
	if got := w.ended(old.ID); got.Status != "superseded" || !strings.Contains(got.Why, tried[:8]) {
		t.Errorf("the older preview: %+v", got)
	}
	if got := ask[preview](w, "preview", "cancel", next.ID); got.Status != "cancelled" {
		t.Errorf("cancelled: %+v", got)
	}
	for _, r := range get[[]run](w, "runs?limit=100") {
		if r.Kind == "preview" && r.Status != "succeeded" && r.Status != "failed" && r.Status != "superseded" {
			t.Errorf("a run of a preview that is over: %+v", r)
		}
	}

	// What is merged says how it compares.
	w.repo.Merge("try", "Merge try")
	w.push()
	merged := w.repo.Head()
	var said struct {
		Foretold *struct {
			Preview, Difference string
			Same                bool
		}
	}
	w.eventually("network@dev to be planned", func() bool {
		for _, r := range get[[]run](w, "runs?environment=dev") {
			if r.Instance == "network@dev" && r.Release.Commit == merged && r.Status == "succeeded" {
				said = ask[struct {
					Foretold *struct {
						Preview, Difference string
						Same                bool
					}
				}](w, "run", "show", r.ID)
				return true
			}
		}
		return false
	})
	if said.Foretold == nil || said.Foretold.Preview != p.ID || said.Foretold.Same || !strings.Contains(said.Foretold.Difference, "dump") {
		t.Errorf("beside the preview: %+v", said.Foretold)
	}
	w.waiting("network@production") // its approval is asked for once more (rule 28)

	// What cannot be merged, and what is not there, says so.
	w.repo.Branch("clash")
	w.repo.Run("reset", "--hard", "-q", first)
	w.repo.Write("stacks/network/main.tf", "# nothing\n")
	w.repo.Commit("Clash")
	w.repo.Run("push", "-q", "-f", "origin", "clash")
	w.repo.Checkout("main")
	if p := ask[preview](w, "preview", "start", "--branch", "clash"); p.Status != "failed" || !strings.Contains(p.Why, "stacks/network/main.tf") {
		t.Errorf("a conflict: %+v", p)
	}
	if p := ask[preview](w, "preview", "start", "--branch", "main"); p.Status != "failed" || !strings.Contains(p.Why, "nothing to preview") {
		t.Errorf("the tracked branch: %+v", p)
	}
	says(t, "a branch that is not there", w.refused("preview", "start", "--branch", "nowhere"), "no branch \"nowhere\"", "main")
	says(t, "a pull request that is not there", w.refused("preview", "start", "--pull", "7"), "no open pull request 7")
	for _, bad := range []string{"-x", "--upload-pack=id", "a..b", "$(id)", "a b"} {
		if _, errs, code := w.try("preview", "start", "--branch="+bad); code == 0 {
			t.Errorf("the branch %q was previewed: %s", bad, errs)
		}
	}
	if resp, _ := w.send(http.MethodPost, w.url+"/api/v1/projects/park/previews", []byte(`{"branch":"try"}`), nil); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("anonymous: %s", resp.Status)
	}
}
