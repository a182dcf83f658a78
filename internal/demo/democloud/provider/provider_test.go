package provider_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
	"github.com/terrace-cd/terrace/internal/testkit"
)

func TestMain(m *testing.M) {
	democloudtest.Main()
	os.Exit(m.Run())
}

// world is a folder with a root module, an engine and a cloud.
type world struct {
	t      *testing.T
	engine string
	dir    string
	env    []string
	cloud  *democloud.Client
}

func newWorld(t *testing.T, engine string) *world {
	t.Helper()
	_, client := democloudtest.Start(t, democloud.Options{})
	return newWorldOn(t, engine, client)
}

func newWorldOn(t *testing.T, engine string, client *democloud.Client) *world {
	t.Helper()
	w := &world{t: t, engine: engine, dir: t.TempDir(), cloud: client}
	rc := filepath.Join(t.TempDir(), "tofurc")
	w.write(rc, fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", democloudtest.Mirror(t)))
	w.env = testkit.EngineEnv(t, "TF_CLI_CONFIG_FILE="+rc, "DEMOCLOUD_ENDPOINT="+client.URL, "TERRACE_RUN=r-test", "TERRACE_FENCE=7")
	return w
}

func (w *world) write(path, text string) {
	w.t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// module replaces the root module.
func (w *world) module(text string) {
	w.t.Helper()
	w.write(filepath.Join(w.dir, "main.tf"), `
terraform {
  required_providers {
    democloud = {
      source  = "terrace-cd/democloud"
      version = "1.0.0"
    }
  }
}
`+text)
}

func (w *world) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, w.engine, append([]string{"-chdir=" + w.dir}, args...)...)
	cmd.Env = w.env
	return cmd
}

// try runs the engine and returns all that it said, its line breaks undone.
func (w *world) try(args ...string) (string, error) {
	out, err := w.command(w.t.Context(), args...).CombinedOutput()
	return strings.Join(strings.Fields(string(out)), " "), err
}

func (w *world) run(args ...string) string {
	w.t.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.t.Fatalf("%s %s: %v\n%s", w.engine, strings.Join(args, " "), err, out)
	}
	return out
}

func (w *world) init()         { w.t.Helper(); w.run("init", "-no-color", "-input=false") }
func (w *world) apply() string { w.t.Helper(); return w.run("apply", "-no-color", "-auto-approve") }

func (w *world) output(name string) string {
	w.t.Helper()
	var v string
	if err := json.Unmarshal([]byte(w.run("output", "-json", name)), &v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

// plan returns what would be done, such as "update democloud_server.web".
func (w *world) plan() string {
	w.t.Helper()
	w.run("plan", "-no-color", "-out=plan")
	var plan struct {
		ResourceChanges []struct {
			Address string
			Change  struct{ Actions []string }
		} `json:"resource_changes"`
	}
	if err := json.Unmarshal([]byte(w.run("show", "-json", "plan")), &plan); err != nil {
		w.t.Fatal(err)
	}
	var done []string
	for _, c := range plan.ResourceChanges {
		if what := strings.Join(c.Change.Actions, "-"); what != "no-op" {
			done = append(done, what+" "+c.Address)
		}
	}
	return strings.Join(done, ", ")
}

func (w *world) journal() []string {
	w.t.Helper()
	entries, err := w.cloud.Journal(w.t.Context(), 0)
	if err != nil {
		w.t.Fatal(err)
	}
	var lines []string
	for _, e := range entries {
		if e.Run != "r-test" || e.Fence != "7" {
			w.t.Errorf("a change is tagged with run %q, fence %q", e.Run, e.Fence)
		}
		lines = append(lines, string(e.Operation)+" "+e.Resource.Name)
	}
	return lines
}

const everything = `
provider "democloud" {}

resource "democloud_network" "main" {
  name = "main"
  cidr = "10.0.0.0/16"
}

resource "democloud_server" "web" {
  name       = "web"
  network_id = democloud_network.main.id
  image      = "IMAGE"
  size       = "SIZE"
}

resource "democloud_load_balancer" "front" {
  name        = "front"
  servers     = [democloud_server.web.id]
  health_path = "/"
}

resource "democloud_dns_record" "www" {
  name  = "www.example"
  value = democloud_load_balancer.front.address
}

resource "democloud_database" "orders" {
  name = "orders"
}

output "server" { value = democloud_server.web.id }
output "address" { value = democloud_server.web.address }
output "database" { value = democloud_database.orders.id }
output "password" {
  value     = democloud_database.orders.password
  sensitive = true
}
`

func variant(image, size string) string {
	return strings.NewReplacer("IMAGE", image, "SIZE", size).Replace(everything)
}

func TestLifeOfResources(t *testing.T) {
	t.Parallel()
	engines := map[string]string{"tofu": testkit.Tofu(t)}
	if path, ok := testkit.Terraform(t); ok {
		engines["terraform"] = path
	}
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, engine)
			w.module(variant("web-1", "small"))
			w.init()
			out := w.apply()
			server, address, password := w.output("server"), w.output("address"), w.output("password")
			if len(password) != 32 || strings.Contains(out, password) {
				t.Errorf("the password %q is in what the engine said", password)
			}
			if got := w.plan(); got != "" {
				t.Errorf("applied, and yet the plan is to %s", got)
			}

			w.module(variant("web-1", "large"))
			if got := w.plan(); got != "update democloud_server.web" {
				t.Errorf("another size: %s", got)
			}
			w.run("apply", "-no-color", "plan")
			if w.output("server") != server || w.output("address") != address {
				t.Error("another size made another server")
			}

			w.module(variant("web-2", "large"))
			if got := w.plan(); !strings.Contains(got, "delete-create democloud_server.web") {
				t.Errorf("another image: %s", got)
			}
			w.run("apply", "-no-color", "plan")
			if w.output("server") == server {
				t.Error("another image kept the server")
			}
			if got := w.plan(); got != "" {
				t.Errorf("after the replacement the plan is to %s", got)
			}

			// Somebody deletes the server by hand: the next plan notices.
			if err := w.cloud.Delete(t.Context(), democloud.Server, w.output("server")); err != nil {
				t.Fatal(err)
			}
			if got := w.plan(); !strings.Contains(got, "create democloud_server.web") {
				t.Errorf("deleted by hand: %s", got)
			}
			w.run("apply", "-no-color", "plan")

			w.run("state", "rm", "democloud_database.orders")
			database, err := w.cloud.List(t.Context(), democloud.Database)
			if err != nil || len(database) != 1 {
				t.Fatalf("databases: %v, %v", database, err)
			}
			w.run("import", "-no-color", "democloud_database.orders", database[0].ID)
			if got := w.plan(); got != "" {
				t.Errorf("after the import the plan is to %s", got)
			}

			w.run("destroy", "-no-color", "-auto-approve")
			if left, err := w.cloud.List(t.Context(), ""); err != nil || len(left) != 0 {
				t.Errorf("destroyed, and left are %v, %v", left, err)
			}
			if _, err := os.Stat(database[0].Path); err == nil {
				t.Error("the database's folder is still there")
			}
		})
	}
}

func TestAliasesNeverMix(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Tofu(t))
	w.module(`
provider "democloud" { tenant = "eu" }
provider "democloud" {
  alias   = "us"
  tenant  = "us"
  latency = "100ms"
}
resource "democloud_server" "eu" {
  count = 3
  name  = "eu-${count.index}"
  image = "web-1"
}
resource "democloud_server" "us" {
  provider = democloud.us
  count    = 3
  name     = "us-${count.index}"
  image    = "web-1"
}
`)
	w.init()
	w.apply()
	if got := w.plan(); got != "" {
		t.Errorf("the plan is to %s", got)
	}
	all, err := w.cloud.List(t.Context(), "")
	if err != nil || len(all) != 6 {
		t.Fatalf("there are %v, %v", all, err)
	}
	for _, r := range all {
		if !strings.HasPrefix(r.Name, r.Tenant+"-") {
			t.Errorf("%s is in tenant %s", r.Name, r.Tenant)
		}
		if slow := r.ReadyAt.After(r.Created); slow != (r.Tenant == "us") {
			t.Errorf("%s has the other alias's latency", r.Name)
		}
	}
}

const oneServer = `
resource "democloud_server" "web" {
  name  = "web"
  image = "web-1"
}
`

func TestFailureIsReported(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Tofu(t))
	w.module(oneServer)
	w.init()
	if _, err := w.cloud.Inject(t.Context(), democloud.Fault{
		Type: democloud.Server, Operation: democloud.Create, Mode: democloud.Fail, Count: 1, Message: "no capacity left",
	}); err != nil {
		t.Fatal(err)
	}
	out, err := w.try("apply", "-no-color", "-auto-approve")
	if err == nil || !strings.Contains(out, "Could not create the server web") || !strings.Contains(out, "no capacity left") {
		t.Errorf("%v\n%s", err, out)
	}
	if got := w.journal(); len(got) != 0 {
		t.Errorf("the journal has %v", got)
	}
	w.apply()
	if got := strings.Join(w.journal(), ", "); got != "create web" {
		t.Errorf("the journal has %s", got)
	}

	w.env = append(w.env, "DEMOCLOUD_ENDPOINT=http://127.0.0.1:1")
	if out, err := w.try("plan", "-no-color"); err == nil || !strings.Contains(out, "cannot be reached at http://127.0.0.1:1") {
		t.Errorf("without a cloud: %v\n%s", err, out)
	}
	w.env = append(w.env, "DEMOCLOUD_ENDPOINT=")
	if out, err := w.try("plan", "-no-color"); err == nil || !strings.Contains(out, "No endpoint") {
		t.Errorf("without an endpoint: %v\n%s", err, out)
	}
	w.module(oneServer + `provider "democloud" { latency = "soon" }`)
	if out, err := w.try("plan", "-no-color"); err == nil || !strings.Contains(out, "Not a duration") {
		t.Errorf("with a bad latency: %v\n%s", err, out)
	}
}

// TestInterrupted: a server that is being created when the engine is told to stop is
// in the state, tainted, so that nothing is lost and the next apply replaces it.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, testkit.Tofu(t))
	w.module(oneServer + `provider "democloud" { latency = "1h" }`)
	w.init()
	cmd := w.command(t.Context(), "apply", "-no-color", "-auto-approve")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	deadline, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for tick := time.NewTicker(10 * time.Millisecond); ; {
		all, err := w.cloud.List(t.Context(), democloud.Server)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 1 {
			tick.Stop()
			break
		}
		select {
		case <-tick.C:
		case <-deadline.Done():
			t.Fatalf("no server is being created\n%s", out.String())
		}
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Errorf("interrupted, the engine said all is well\n%s", out.String())
	}
	w.module(oneServer)
	if got := w.plan(); got != "delete-create democloud_server.web" {
		t.Errorf("after the interrupt the plan is to %q\n%s", got, out.String())
	}
	w.run("apply", "-no-color", "plan")
	if got := strings.Join(w.journal(), ", "); got != "create web, delete web, create web" {
		t.Errorf("the journal has %s", got)
	}
}

func TestRestartOfTheCloudIsNoChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cloud, client := democloudtest.Start(t, democloud.Options{Dir: dir})
	w := newWorldOn(t, testkit.Tofu(t), client)
	w.module(variant("web-1", "small"))
	w.init()
	w.apply()
	if err := cloud.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := client.List(t.Context(), ""); core.CodeOf(err) != core.Unavailable {
		t.Fatalf("closed, it answers: %v", err)
	}
	democloudtest.Start(t, democloud.Options{Dir: dir})
	if got := w.plan(); got != "" {
		t.Errorf("after the restart the plan is to %s", got)
	}
}
