package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/examples"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/testkit"
)

// alike is the machine output of terrace parity.
type alike struct {
	Number                                      *float64
	Resources, Attributes, Declared, Undeclared int
	Instances                                   []struct {
		Stack       string
		A, B        *struct{ Providers map[string]string }
		NotCompared string `json:"not_compared"`
		Differences []struct {
			Kind, Address, Path, Because string
			Declared, Sensitive          bool
			A, B                         json.RawMessage
		}
	}
}

// lists writes every difference in a line.
func (a alike) lists() string {
	var out strings.Builder
	for _, in := range a.Instances {
		for _, d := range in.Differences {
			word := "undeclared"
			if d.Declared {
				word = "declared"
			}
			_, _ = fmt.Fprintf(&out, "%s %s %s %s.%s %s|%s: %s\n", word, in.Stack, d.Kind, d.Address, d.Path, d.A, d.B, d.Because)
		}
	}
	return out.String()
}

// parityShop is the shop of the examples, in environments that differ by variables.
func parityShop(cloud *democloud.Cloud) string {
	environment := func(name, after string, servers int, size, more string) string {
		return fmt.Sprintf("environment %q {\n  after = %s\n  variables = {\n    cloud       = %q\n    environment = environment.name\n    servers     = %d\n    size        = %q\n  }\n%s}\n\n",
			name, after, cloud.URL(), servers, size, more)
	}
	return "project \"park\" {}\n\n" + environment("dev", "[]", 1, "small", "") + environment("staging", `["dev"]`, 2, "medium", "") +
		environment("production", `["staging"]`, 3, "medium", "  parity {\n    with     = \"staging\"\n    at_least = 0.98\n  }\n") +
		"stack \"web\" {\n  inputs = {\n    network_id   = stack.network.id\n    database_url = stack.database.url\n  }\n}\n"
}

// refreshes has the engine take into the state of an instance what is really there, as
// somebody does at a terminal.
func (w *world) refreshes(instance, folder string, variables ...string) {
	w.Helper()
	w.repo.Write(filepath.Join("stacks", folder, "terrace_override.tf"), "terraform {\n  backend \"http\" {}\n}\n")
	dir := filepath.Join(w.repo.Dir, "stacks", folder)
	defer func() {
		for _, name := range []string{"terrace_override.tf", ".terraform"} {
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				w.Error(err)
			}
		}
	}()
	rc := w.file("tofurc")
	if err := os.WriteFile(rc, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", w.mirror), 0o600); err != nil {
		w.Fatal(err)
	}
	env := testkit.EngineEnv(w.T, "TF_CLI_CONFIG_FILE="+rc)
	for name, value := range ask[map[string]string](w, "state", "env", instance) {
		env = append(env, name+"="+value)
	}
	for _, args := range [][]string{{"init", "-input=false"}, append([]string{"apply", "-refresh-only", "-auto-approve", "-input=false"}, variables...)} {
		cmd := exec.CommandContext(w.Context(), testkit.Tofu(w.T), args...)
		cmd.Dir, cmd.Env = dir, env
		if out, err := cmd.CombinedOutput(); err != nil {
			w.Fatalf("tofu %s: %v\n%s", args[0], err, out)
		}
	}
}

// From one release everything that differs is declared; what somebody changes by hand is
// found, named and keeps the next release out of production until it is undone (rule 5).
func TestParity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cloud, _ := w.cloud()
	w.example(examples.Shop(), cloud)
	w.repo.Write("terrace.hcl", parityShop(cloud))
	first := w.repo.Commit("Environments that are alike")
	w.repo.Push()
	w.add("park")
	w.through(w.ends(first))

	before := ask[alike](w, "parity", "dev", "staging", "--at-least", "1")
	if before.Number == nil || *before.Number != 1 || before.Undeclared != 0 {
		t.Fatalf("from one release: %+v\n%s", before, before.lists())
	}
	says(t, "what is declared", before.lists(), "declared web variable servers. 1|2", "declared web resource democloud_server.web[1].",
		`declared web attribute democloud_server.web[0].size "small"|"medium": variable size`, `declared database attribute democloud_database.orders.size "small"|"medium": variable size`,
		"declared web attribute democloud_load_balancer.web.servers")
	for _, in := range before.Instances {
		if in.A == nil || in.B == nil || in.A.Providers["terrace-cd/democloud"] != "1.0.0" {
			t.Errorf("%s has %+v and %+v", in.Stack, in.A, in.B)
		}
	}

	staging := democloud.Client{URL: cloud.URL(), Tenant: "staging"}
	servers, err := staging.List(t.Context(), democloud.Server)
	if err != nil {
		t.Fatal(err)
	}
	var resized democloud.Resource // dev has it, too
	for _, s := range servers {
		if s.Name == "web-1" {
			resized = s
		}
	}
	resize := func(size string) {
		t.Helper()
		spec := resized.Spec
		spec.Size = size
		if _, err := staging.Update(t.Context(), democloud.Server, resized.ID, resized.Name, spec); err != nil {
			t.Fatal(err)
		}
		w.refreshes("web@staging", "web", "-var=cloud="+cloud.URL(), "-var=environment=staging", "-var=servers=2", "-var=size=medium",
			"-var=network_id="+resized.Spec.NetworkID, "-var=database_url=x")
	}
	resize("large")

	after := ask[alike](w, "parity", "dev", "staging")
	if after.Number == nil || *after.Number >= 1 || after.Undeclared != 1 {
		t.Errorf("a server was resized: %+v\n%s", after, after.lists())
	}
	says(t, "what is undeclared", after.lists(), "undeclared web attribute democloud_server.web[", `"small"|"large": staging's code gives "medium"`)
	says(t, "the table", w.run("parity", "dev", "staging"), "UNDECLARED", `staging's code gives "medium"`, "and ")
	if stdout, stderr, code := w.try("parity", "staging", "dev", "--at-least", "1"); code != 1 {
		t.Errorf("exit %d for too little:\n%s%s", code, stdout, stderr)
	}
	for _, bad := range [][]string{{"parity", "dev", "dev"}, {"parity", "dev", "nowhere"}, {"parity", "dev"}, {"parity", "dev", "staging", "--at-least", "7"}, {"parity", "dev", "staging", "--stack", "nothing"}, {"parity", "../x", "dev"}} {
		if _, _, code := w.try(bad...); code == 0 {
			t.Errorf("%q is accepted", bad)
		}
	}

	// The next release changes nothing that would undo it in staging; production stays closed.
	w.repo.Write("stacks/network/outputs.tf", "output \"name\" {\n  value = democloud_network.main.name\n}\n")
	second := w.repo.Commit("Tell the network's name")
	w.push()
	r := w.awaits(second, "production to wait for parity", func(r rollout) bool {
		_, waitsFor := r.stage("production")
		return strings.Contains(waitsFor, "production to be like staging: 0.")
	})
	_, waitsFor := r.stage("production")
	says(t, "what production waits for", waitsFor, "terrace.hcl of release", "wants 0.98", "nobody wrote down that web: democloud_server.web[", `staging's code gives "medium"`)

	resize("medium")
	w.through(w.ends(second))
	if stdout, stderr, code := w.try("parity", "staging", "production", "--at-least", "1"); code != 0 {
		t.Errorf("exit %d when it is undone:\n%s%s", code, stdout, stderr)
	}
}
