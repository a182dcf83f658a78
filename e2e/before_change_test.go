package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

// store is a world with a database in a cloud, in a tenant for each environment.
type store struct {
	*world
	client *democloud.Client
	lock   string // .terraform.lock.hcl
}

func newStore(t *testing.T) *store {
	t.Helper()
	w := &store{world: newWorld(t)}
	_, w.client = w.cloud()
	var err error
	if w.lock, err = democloud.LockFile(w.mirror, democloud.ProviderHosts[0]); err != nil {
		t.Fatal(err)
	}
	return w
}

// size commits another size of the database. script is scripts/backup.sh, none for "",
// and settings are of the stack.
func (w *store) size(size, settings, script string) string {
	w.Helper()
	w.park("", "", "stack \"shop\" {\n  "+settings+"\n}\n")
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

output "path" {
  value = democloud_database.orders.path
}
`)
	if script != "" {
		w.repo.Write("scripts/backup.sh", "#!/bin/sh\nset -e\n"+script)
		if err := os.Chmod(filepath.Join(w.repo.Dir, "scripts/backup.sh"), 0o755); err != nil {
			w.Fatal(err)
		}
	}
	commit := w.repo.Commit("Size " + size)
	w.repo.Push()
	return commit
}

// Rules 13 and 28: before a database is changed it is backed up, also by a release that
// drops the backup; when that fails, nothing is changed.
func TestABackupComesFirst(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	const (
		protected = `stateful = ["democloud_database.*"]`
		backedUp  = protected + "\n  before_change {\n    command = [\"scripts/backup.sh\", output.path, environment.name]\n    within = \"1m\"\n  }"
	)
	script := `if [ -e ` + w.file("full") + ` ]; then echo "the disk is full" >&2; exit 3; fi
mkdir -p ` + w.file("backups") + `
cp -r "$1" ` + w.file("backups") + `/"$2-$(date +%s%N)"
echo "backed up $1"
`
	backups := func() int {
		found, err := filepath.Glob(w.file("backups/dev-*/*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	is := func(environment, size string) {
		t.Helper()
		tenant := democloud.Client{URL: w.client.URL, Tenant: environment}
		all, err := tenant.List(t.Context(), democloud.Database)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) != 1 || all[0].Spec.Size != size {
			t.Errorf("%s has %+v, want one of size %s", environment, all, size)
		}
	}
	first := w.size("small", backedUp, script)
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	if backups() != 0 {
		t.Error("something was backed up before there was anything")
	}

	second := w.size("medium", backedUp, "")
	w.push()
	r := w.ends(second)
	w.wants(r, "succeeded", "dev succeeded", "production succeeded")
	one := backups()
	if one == 0 {
		t.Error("nothing was backed up")
	}
	for _, run := range w.runsOf(r) {
		says(t, run.ID, w.run("run", "show", run.ID), "Before the change (terrace.hcl of release 2): exit 0", "$ scripts/backup.sh /", "| backed up /")
		says(t, "the log of "+run.ID, w.run("run", "logs", run.ID), "The plan touches democloud_database.orders, which is stateful", "backed up /")
	}
	is("production", "medium")

	// The release there is broken: nothing is changed, nothing is held.
	if err := os.WriteFile(w.file("full"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	third := w.size("large", backedUp, "")
	w.push()
	r = w.ends(third)
	w.wants(r, "failed", "dev failed", "production waiting")
	is("dev", "medium")
	failed := w.runsOf(r)[0]
	says(t, "the failure", failed.Error.Message, "before_change (terrace.hcl of release 3)", "exit 3: the disk is full", "nothing was changed", "terrace rollout start --commit 3")
	type kept struct {
		Before []struct {
			OK       bool
			ExitCode int `json:"exit_code"`
			Last     []string
		} `json:"before_change"`
	}
	if k := ask[kept](w.world, "run", "show", failed.ID).Before; len(k) != 1 || k[0].OK || k[0].ExitCode != 3 || len(k[0].Last) != 1 {
		t.Errorf("kept: %+v", k)
	}
	if holds := ask[struct{ Holds []struct{ Reason string } }](w.world, "status").Holds; len(holds) > 0 {
		t.Errorf("it is held: %+v", holds)
	}

	// One that drops the backup, and its script, meets it all the same.
	w.repo.Remove("scripts/backup.sh")
	fourth := w.size("large", protected, "")
	w.push()
	r = w.ends(fourth)
	w.wants(r, "failed", "dev failed", "production waiting")
	says(t, "the failure", w.runsOf(r)[0].Error.Message, "before_change (terrace.hcl of release 2, which is there now)", "exit 3: the disk is full")
	is("dev", "medium")
	if err := os.Remove(w.file("full")); err != nil {
		t.Fatal(err)
	}
	w.run("rollout", "start", "--wait")
	w.wants(w.ends(fourth), "succeeded", "dev succeeded", "production succeeded")
	is("production", "large")
	two := backups()
	if two <= one {
		t.Error("nothing was backed up for the release that dropped the backup")
	}

	// From then on it is gone.
	fifth := w.size("small", protected, "")
	w.push()
	w.wants(w.ends(fifth), "succeeded", "dev succeeded", "production succeeded")
	is("production", "small")
	if backups() != two {
		t.Error("it was backed up once more")
	}
	says(t, "the audit log", w.run("events"), "run.before_change")
}

// Rules 13 and 28 on the cloud: a commit that renames the database's resource without a moved
// block is stopped before anything is applied, its data is still there, and an exception lets
// exactly that through, once.
func TestARenamedDatabaseIsStopped(t *testing.T) {
	t.Parallel()
	w := newStore(t)
	const protected = `stateful = ["democloud_database.*"]`
	first := w.size("small", protected, "")
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	path := w.output("shop@dev", "path").(string)
	row := filepath.Join(path, "orders.txt")
	if err := os.WriteFile(row, []byte("order 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rename := func(from, to, message string) string {
		t.Helper()
		// The name in the cloud as well: two of one name cannot be at once, and the engine makes
		// one and destroys the other in no order.
		names := strings.NewReplacer(`"democloud_database" "`+from, `"democloud_database" "`+to, "democloud_database."+from, "democloud_database."+to, `name = "`+from, `name = "`+to)
		w.repo.Write("stacks/shop/main.tf", names.Replace(w.repo.Read("stacks/shop/main.tf")))
		commit := w.repo.Commit(message)
		w.push()
		return commit
	}
	second := rename("orders", "sales", "Call it sales")
	r := w.ends(second)
	w.wants(r, "failed", "dev failed", "production waiting")
	says(t, "the denial", w.runsOf(r)[0].Error.Message, "shop@dev would destroy democloud_database.orders", "moved block", "terrace except shop@dev 'democloud_database.orders'")
	if got, err := os.ReadFile(row); err != nil || string(got) != "order 1\n" {
		t.Errorf("the data: %q, %v", got, err)
	}
	if w.sizeIn("dev") != "small" {
		t.Error("the database is gone")
	}

	w.run("except", "shop@dev", "democloud_database.orders", "--reason", "the orders are archived")
	w.run("rollout", "start")
	r = w.awaits(second, "the exception to be used", func(r rollout) bool { return r.Status != "running" && r.Stages[0].Status == "succeeded" })
	w.wants(r, "failed", "dev succeeded", "production failed") // it was for dev alone
	if _, err := os.Stat(row); err == nil {
		t.Error("the exception let nothing through")
	}
	says(t, "the list", w.run("except", "list", "--all"), "used by r-")

	// Once: back again is denied in dev.
	third := rename("sales", "orders", "Call it orders again")
	w.wants(w.ends(third), "failed", "dev failed", "production waiting")
	if w.sizeIn("dev") != "small" || w.sizeIn("production") != "small" {
		t.Error("a database is gone")
	}
}
