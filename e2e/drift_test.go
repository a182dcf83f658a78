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

// Rule 25: who looks changes nothing, and finds nothing where there is nothing.
func TestNothingDrifted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("", "", "")
	w.stack("house", "house", "")
	w.settled("A house")
	kept, states := w.run("state", "pull", "house@dev"), len(ask[[]struct{ ID int64 }](w, "state", "versions", "house@dev"))
	if d := ask[driftReport](w, "drift", "show", "house@dev"); d.State != "unknown" {
		t.Errorf("before anybody looked: %+v", d)
	}
	out := w.run("drift", "dev", "--wait")
	says(t, "drift", out, "house@dev: none")
	if w.run("state", "pull", "house@dev") != kept || len(ask[[]struct{ ID int64 }](w, "state", "versions", "house@dev")) != states {
		t.Error("the state was changed by looking")
	}
	looked := w.runAt("house@dev", "succeeded")
	if looked.Kind != "drift" {
		t.Errorf("the newest run is a %s", looked.Kind)
	}
	if state, reason := w.cell("house@dev"); state != "up_to_date" {
		t.Errorf("after a look house@dev is %s: %s", state, reason)
	}
	says(t, "drift list", w.run("drift", "list"), "house@dev", "none", "house@production", "unknown")

	t.Log("what cannot be looked at is said")
	for _, bad := range [][]string{{"drift", "nowhere"}, {"drift", "nobody@dev"}, {"drift", "a@b@c"}, {"drift", "show", "house"}} {
		if _, _, code := w.try(bad...); code == 0 {
			t.Errorf("%q is accepted", bad)
		}
	}

	t.Log("a state that changed since makes it void")
	w.stack("house", "castle", "")
	w.wants(w.ends(w.pushed("A castle")), "succeeded", "dev succeeded", "production succeeded")
	if d := ask[driftReport](w, "drift", "show", "house@dev"); d.State != "unknown" {
		t.Errorf("after the state changed: %+v", d)
	}
}

// servers commits a server and a record with a secret, in the cloud of newStore.
func (w *store) servers(size, secret, more string) string {
	w.Helper()
	w.park("", "", more)
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

resource "democloud_database" "orders" {
  name = "orders"
  size = "`+size+`"
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

// Rule 25: what somebody changed or removed by hand is found and shown; what is secret in
// it is nowhere in clear.
func TestDriftIsFound(t *testing.T) {
	t.Parallel()
	const planned, byHand = "canary-as-planned-7Zq", "canary-by-hand-9Xw"
	w := newStore(t)
	first := w.servers("small", planned, "")
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	kept := w.run("state", "pull", "shop@production")

	w.byHand("production", democloud.Database, func(s *democloud.Spec) { s.Size = "large" })
	w.byHand("production", democloud.DNSRecord, func(s *democloud.Spec) { s.Value = byHand })
	said, stderr, code := w.try("drift", "--wait")
	if code != 1 {
		t.Errorf("drift --wait: exit %d\n%s%s", code, said, stderr)
	}
	says(t, "drift --wait", said, "shop@dev: none", "shop@production: drifted: 2 changed", "democloud_database.orders", `size: "small" → "large"`, "(sensitive)")
	d := ask[driftReport](w.world, "drift", "show", "shop@production")
	if d.State != "drifted" || d.Changed != 2 || d.Gone != 0 || len(d.Drift.Resources) != 2 {
		t.Errorf("%+v", d)
	}
	says(t, "the audit log", w.run("events"), "drift.found")
	if w.run("state", "pull", "shop@production") != kept {
		t.Error("looking changed the state")
	}
	if state, reason := w.cell("shop@production"); state != "up_to_date" {
		t.Errorf("shop@production is %s: %s", state, reason)
	}

	t.Log("what is gone is gone")
	tenant := democloud.Client{URL: w.client.URL, Tenant: "dev"}
	all, err := tenant.List(t.Context(), democloud.Database)
	if err != nil || len(all) != 1 {
		t.Fatalf("%v %+v", err, all)
	}
	if err := tenant.Delete(t.Context(), democloud.Database, all[0].ID); err != nil {
		t.Fatal(err)
	}
	said, _, _ = w.try("drift", "shop@dev", "--wait")
	says(t, "drift --wait", said, "shop@dev: drifted: 1 gone", "democloud_database.orders  (gone)")

	t.Log("secrets are nowhere")
	said += w.run("run", "logs", d.Run) + w.run("run", "show", d.Run) + w.run("drift", "show", "shop@production", "--json") + w.run("drift", "list", "--json") + w.log()
	for _, canary := range []string{byHand} {
		if strings.Contains(said, canary) {
			t.Errorf("%s is shown", canary)
		}
		if err := filepath.WalkDir(w.data, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil //nolint:nilerr // a file that has just been removed holds nothing
			}
			content, err := os.ReadFile(name)
			if err == nil && bytes.Contains(content, []byte(canary)) {
				t.Errorf("%s is in %s", canary, name)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
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
	hang, err := w.client.Inject(t.Context(), democloud.Fault{Tenant: "dev", Type: democloud.Database, Operation: democloud.Read, Mode: democloud.Hang})
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
