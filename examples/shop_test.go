package examples_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/examples"
	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
	"github.com/terrace-cd/terrace/internal/testkit"
)

func TestMain(m *testing.M) {
	democloudtest.Main()
	os.Exit(m.Run())
}

func TestShopIsValid(t *testing.T) {
	t.Parallel()
	tree := config.Dir("shop")
	c, diags := config.Load(tree, ".")
	if len(diags) > 0 {
		t.Fatal(config.Render(diags, tree, false))
	}
	for _, e := range c.Environments {
		var order []string
		for _, i := range c.Instances(e.Name) {
			order = append(order, i.Stack)
		}
		if slices.Sort(order[:len(order)-1]); strings.Join(order, " ") != "database network web" {
			t.Errorf("in %s the order is %v", e.Name, order)
		}
	}
}

func TestOthersAreValid(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"bluegreen", "image"} {
		tree := config.Dir(name)
		if _, diags := config.Load(tree, "."); len(diags) > 0 {
			t.Error(config.Render(diags, tree, false))
		}
	}
}

// TestShopByHand does what Terrace does, with the engine and Ansible alone: a
// repository that it promotes works without it, too.
func TestShopByHand(t *testing.T) {
	t.Parallel()
	tofu := testkit.Tofu(t)
	playbook, err := exec.LookPath("ansible-playbook")
	if err != nil {
		t.Fatal("Ansible is not installed; run: scripts/deps test")
	}
	_, cloud := democloudtest.Start(t, democloud.Options{})
	dir := t.TempDir()
	if err := os.CopyFS(dir, examples.Shop()); err != nil {
		t.Fatal(err)
	}
	mirror := democloudtest.Mirror(t)
	rc := filepath.Join(t.TempDir(), "tofurc")
	write(t, rc, fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", mirror))
	lock, err := democloud.LockFile(mirror, democloud.ProviderHosts[0])
	if err != nil {
		t.Fatal(err)
	}
	env := testkit.EngineEnv(t, "TF_CLI_CONFIG_FILE="+rc, "LC_ALL=C.UTF-8")
	run := func(name string, args ...string) []byte {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return out
	}
	type outputs map[string]struct{ Value json.RawMessage }
	apply := func(stack string, variables ...string) outputs {
		t.Helper()
		folder := filepath.Join(dir, "stacks", stack)
		write(t, filepath.Join(folder, ".terraform.lock.hcl"), lock)
		run(tofu, "-chdir="+folder, "init", "-input=false", "-lockfile=readonly")
		args := []string{"-chdir=" + folder, "apply", "-input=false", "-auto-approve", "-var=cloud=" + cloud.URL, "-var=environment=dev"}
		run(tofu, append(args, variables...)...)
		var o outputs
		if err := json.Unmarshal(run(tofu, "-chdir="+folder, "output", "-json"), &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	text := func(o outputs, name string) (s string) {
		t.Helper()
		if err := json.Unmarshal(o[name].Value, &s); err != nil {
			t.Fatalf("output %s is %s: %v", name, o[name].Value, err)
		}
		return s
	}
	network, database := apply("network"), apply("database", "-var=size=small")
	web := apply("web", "-var=size=small", "-var=servers=2",
		"-var=network_id="+text(network, "id"), "-var=database_url="+text(database, "url"))

	inventory := filepath.Join(dir, "inventory.json")
	write(t, inventory, `{"web": {"hosts": `+string(web["hosts"].Value)+`}}`)
	provision := func() string {
		t.Helper()
		return string(run(playbook, "-i", inventory, "-e", `{"environment_name": "dev", "database_url": "`+text(database, "url")+`"}`,
			filepath.Join(dir, "ansible", "web.yml")))
	}
	if out := provision(); strings.Count(out, "changed=2") != 2 {
		t.Errorf("the first time Ansible says\n%s", out)
	}
	shows := func(version string) {
		t.Helper()
		page := fetch(t, text(web, "url"))
		if !strings.Contains(page, `<meta name="page-version" content="`+version+`">`) || !strings.Contains(page, "dev, served by web-") {
			t.Errorf("the page is\n%s", page)
		}
	}
	shows("1")

	vars := filepath.Join(dir, "ansible", "page.yml")
	before, err := os.ReadFile(vars)
	if err != nil {
		t.Fatal(err)
	}
	write(t, vars, strings.Replace(string(before), `page_version: "1"`, `page_version: "2"`, 1))
	if out := provision(); strings.Count(out, "changed=1") != 2 {
		t.Errorf("the second time Ansible says\n%s", out)
	}
	shows("2")

	found, err := cloud.Resolve(t.Context(), text(web, "name"))
	if err != nil || "http://"+found[0].Value != text(web, "url") {
		t.Errorf("the name resolves to %v, %v", found, err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s answers %s, %v: %s", url, resp.Status, err, body)
	}
	return string(body)
}
