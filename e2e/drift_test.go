package e2e

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

// driftReport is what terrace drift show says.
type driftReport struct {
	Instance, State, Message, Run string
	Changed, Gone                 int
	Drift                         struct {
		Resources []struct {
			Address, What string
			Attributes    []struct {
				Path, Before, After string
				Sensitive           bool
			}
		}
	}
}

// servers commits a server and a record with a secret, in the cloud of newStore.
func (w *store) servers(size, secret, dev string) string {
	w.Helper()
	w.park(dev, "", "")
	w.repo.Write("stacks/shop/.terraform.lock.hcl", w.lock)
	w.repo.Write("stacks/shop/main.tf", `terraform {
  required_providers {
    democloud = {
      source  = "terrace-cd/democloud"
      version = "1.0.0"
    }
  }
}

provider "democloud" {
  endpoint = "`+w.client.URL+`"
  tenant   = var.place
}

variable "place" {
  type = string
}

resource "democloud_server" "web" {
  name  = "web"
  image = "debian-12"
  size  = "`+size+`"
}

resource "democloud_dns_record" "key" {
  name  = "key"
  type  = "TXT"
  value = sensitive("`+secret+`")
}
`)
	commit := w.repo.Commit("Size " + size)
	w.repo.Push()
	return commit
}

// byHand changes the one resource of a type in an environment, as somebody in a console does.
func (w *store) byHand(environment string, kind democloud.Type, change func(*democloud.Spec)) {
	w.Helper()
	tenant := democloud.Client{URL: w.client.URL, Tenant: environment}
	all, err := tenant.List(w.Context(), kind)
	if err != nil || len(all) != 1 {
		w.Fatalf("%v in %s: %+v", err, environment, all)
	}
	change(&all[0].Spec)
	if _, err := tenant.Update(w.Context(), kind, all[0].ID, all[0].Name, all[0].Spec); err != nil {
		w.Fatal(err)
	}
}

// driftOf is what is known of an instance's drift.
func (w *store) driftOf(instance string) (d driftReport) {
	w.Helper()
	for _, d := range get[[]driftReport](w.world, "drift") {
		if d.Instance == instance {
			return d
		}
	}
	return driftReport{}
}

// Rule 25: what somebody changed or removed by hand is found, by itself where the environment
// wants that, and shown; what is secret in it is nowhere in clear. Who looks changes nothing. A
// person has it undone, by the gates.
func TestDriftIsFoundAndUndone(t *testing.T) {
	t.Parallel()
	const planned, byHand = "canary-as-planned-7Zq", "canary-by-hand-9Xw"
	w := newStore(t)
	first := w.servers("small", planned, `drift = "4s"`)
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	kept := w.run("state", "pull", "shop@production")

	t.Log("nothing is found where there is nothing, also by itself")
	w.eventually("dev to be looked at by itself", func() bool { return w.driftOf("shop@dev").State == "none" })
	if d := w.driftOf("shop@production"); d.State != "unknown" {
		t.Errorf("nobody looked at production, and it is %+v", d)
	}

	t.Log("what was changed by hand is named")
	w.byHand("production", democloud.Server, func(s *democloud.Spec) { s.Size = "large" })
	w.byHand("production", democloud.DNSRecord, func(s *democloud.Spec) { s.Value = byHand })
	said, stderr, code := w.try("drift", "production", "--wait")
	if code != 1 {
		t.Errorf("drift --wait: exit %d\n%s%s", code, said, stderr)
	}
	says(t, "drift --wait", said, "shop@production: drifted: 2 changed", "~ democloud_server.web  (changed)", `size: "small" → "large"`, "(sensitive)")
	d := ask[driftReport](w.world, "drift", "show", "shop@production")
	if d.State != "drifted" || d.Changed != 2 || d.Gone != 0 || len(d.Drift.Resources) != 2 {
		t.Errorf("%+v", d)
	}
	said += w.run("run", "show", d.Run)
	says(t, "run show", said, `size: "small" → "large"`)
	says(t, "status", w.run("status"), ", drifted", "terrace drift show shop@production")
	says(t, "the audit log", w.run("events"), "drift.found")
	if w.run("state", "pull", "shop@production") != kept {
		t.Error("looking changed the state")
	}
	if state, reason := w.cell("shop@production"); state != "up_to_date" {
		t.Errorf("shop@production is %s: %s", state, reason)
	}

	t.Log("what is gone is gone, and found by itself")
	tenant := democloud.Client{URL: w.client.URL, Tenant: "dev"}
	all, err := tenant.List(t.Context(), democloud.Server)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v %+v", err, all)
	}
	if err := tenant.Delete(t.Context(), democloud.Server, all[0].ID); err != nil {
		t.Fatal(err)
	}
	w.eventually("what is gone to be found", func() bool { d := w.driftOf("shop@dev"); return d.State == "drifted" && d.Gone == 1 })

	t.Log("nothing is undone silently, and nothing past a gate")
	if _, stderr, code := w.try("drift", "fix", "shop@production"); code != 2 || !strings.Contains(stderr, `size: "small" → "large"`) || !strings.Contains(stderr, "--yes") {
		t.Errorf("drift fix without --yes: exit %d\n%s", code, stderr)
	}
	w.run("hold", "production", "--reason", "somebody is at it")
	if out, stderr, code := w.try("drift", "fix", "production", "--yes", "--wait"); code != 3 {
		t.Errorf("drift fix behind a hold: exit %d\n%s%s", code, out, stderr)
	}
	if _, stderr, code := w.try("drift", "fix", "production", "--yes"); code != 1 || !strings.Contains(stderr, "repairs production already") {
		t.Errorf("drift fix, again: exit %d\n%s", code, stderr)
	}
	w.run("unhold", "production")
	w.eventually("the repair to end", func() bool { return w.of(first).Status != "running" })
	w.wants(w.of(first), "succeeded", "production succeeded")
	tenant.Tenant = "production"
	if all, err := tenant.List(t.Context(), democloud.Server); err != nil || len(all) != 1 || all[0].Spec.Size != "small" {
		t.Errorf("after the repair: %v %+v", err, all)
	}
	if d := w.driftOf("shop@production"); d.State != "unknown" {
		t.Errorf("after the repair shop@production is %+v", d)
	}
	said += w.refused("drift", "fix", "shop@production", "--yes")
	says(t, "drift fix where nothing is known", said, "is not known to have drifted")

	t.Log("what cannot be looked at is said")
	for _, bad := range [][]string{{"drift", "nowhere"}, {"drift", "nobody@dev"}, {"drift", "a@b@c"}, {"drift", "show", "house"}, {"drift", "fix", "nowhere", "--yes"}} {
		if _, _, code := w.try(bad...); code == 0 {
			t.Errorf("%q is accepted", bad)
		}
	}

	t.Log("secrets are nowhere")
	said += w.run("run", "logs", d.Run) + w.run("drift", "list", "--json") + w.run("events", "--json") + w.log()
	if strings.Contains(said, byHand) {
		t.Errorf("%s is shown", byHand)
	}
	if err := filepath.WalkDir(w.data, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil //nolint:nilerr // a file that has just been removed holds nothing
		}
		if content, err := os.ReadFile(name); err == nil && bytes.Contains(content, []byte(byHand)) {
			t.Errorf("%s is in %s", byHand, name)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// Rule 25: a release that enters does not wait for who looks, and who looks has nothing
// that it would have to wait for.
func TestALookGivesWay(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	first := w.servers("small", "one", "")
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	hang, err := w.client.Inject(t.Context(), democloud.Fault{Tenant: "dev", Type: democloud.Server, Operation: democloud.Read, Mode: democloud.Hang})
	if err != nil {
		t.Fatal(err)
	}
	look := ask[struct{ Runs []run }](w.world, "drift", "shop@dev").Runs[0]
	w.eventually("the look to hang on the cloud", func() bool {
		faults, err := w.client.Faults(t.Context())
		return err == nil && len(faults) == 1 && faults[0].Hits > 0
	})
	says(t, "status", w.run("drift", "list"), "looking", look.ID)
	if again := ask[struct{ Runs []run }](w.world, "drift", "shop@dev").Runs[0]; again.ID != look.ID {
		t.Errorf("asked again, %s looks, and not %s", again.ID, look.ID)
	}
	if said := w.run("state", "show", "shop@dev"); strings.Contains(strings.ToLower(said), "locked by") {
		t.Errorf("a look has the lock:\n%s", said)
	}

	w.servers("large", "one", "")
	second := w.repo.Head()
	w.push()
	w.eventually("the look to give way", func() bool {
		for _, r := range get[[]run](w.world, "runs?environment=dev&stack=shop") {
			if r.ID == look.ID {
				look = r
			}
		}
		return look.Status == "superseded"
	})
	says(t, "the look", look.Error.Message, "release 2 entered dev")
	if _, stderr, code := w.try("drift", "dev"); code != 1 || !strings.Contains(stderr, "a release is in dev") {
		t.Errorf("looking while a release is in dev: exit %d %s", code, stderr)
	}
	if err := w.client.ClearFaults(t.Context(), hang.ID); err != nil {
		t.Fatal(err)
	}
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
}
