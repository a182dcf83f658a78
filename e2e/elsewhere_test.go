package e2e

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// vaultWith is a vault that has one secret, and counts who asked for it with its token.
func vaultWith(t *testing.T, token, path, body string) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch {
		case req.Header.Get("X-Vault-Token") != token:
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"errors":["permission denied"]}`)
		case req.URL.Path != "/v1/"+path:
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, `{"errors":[]}`)
		default:
			asked.Add(1)
			_, _ = io.WriteString(w, body)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, asked
}

// secretAt gives a place a secret.
func (w *world) secretAt(place, name, value string) {
	w.Helper()
	cmd := exec.CommandContext(w.Context(), plain, "secret", "set", place, name, "--project", "park")
	cmd.Env, cmd.Stdin = append([]string{"TERRACE_URL=" + w.url, "TERRACE_TOKEN=" + w.token}, w.env...), strings.NewReader(value)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.Fatalf("secret set %s: %v\n%s", name, err, out)
	}
}

// sopsFile is a file that SOPS encrypted, with the key that opens it.
func sopsFile(t *testing.T) (content, key string) {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile("../internal/sops/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	return read("secrets.yaml"), read("key.txt")
}

// Variables come in layers, of which the guardrails are the last; secrets come from the
// server, an encrypted file and a vault. A sandbox has its own of all of them.
func TestLayersAndSecretsElsewhere(t *testing.T) {
	t.Parallel()
	const (
		fromFile  = "canary-of-a-file-5Kd" // as it is in the file
		fromVault = "canary-of-a-vault-8Qz"
		token     = "hvs.canary-of-a-token"
	)
	file, key := sopsFile(t)
	vault, asked := vaultWith(t, token, "kv/data/park/dev", `{"data":{"data":{"token":"`+fromVault+`"},"metadata":{"version":1}}}`)
	w := newWorld(t)
	const declares = `
variable "shared" {
  type = string
}

variable "servers" {
  type    = number
  default = 1
}

variable "owner" {
  type    = string
  default = "nobody"
}

resource "terraform_data" "use" {
  triggers_replace = [var.shared, var.servers, var.owner]
  provisioner "local-exec" {
    command = "echo \"${var.place} ${var.shared} ${var.servers} ${var.owner}\" >> SAID; env > ENV-${var.place}; echo said: $DB_PASSWORD $API_TOKEN"
  }
}
`
	code := func(dev, more string) string {
		w.park(dev, "", more)
		w.repo.Write("terrace.hcl", strings.Replace(w.repo.Read("terrace.hcl"), "project \"park\" {", "project \"park\" {\n  variables = { shared = \"of-${environment.name}\" }", 1))
		w.stack("web", "one", strings.NewReplacer("SAID", w.file("said"), "ENV", w.file("env")).Replace(declares))
		commit := w.repo.Commit("dev: " + dev)
		w.repo.Push()
		return commit
	}
	const elsewhere = `sops {
    file    = "secrets/${environment.name}.sops.yaml"
    secrets = ["DB_PASSWORD"]
  }
  vault "main" {
    secrets = { API_TOKEN = "kv/data/park/${environment.name}#token" }
  }`
	w.repo.Write("secrets/dev.sops.yaml", file)
	w.rails("environment \"*\" {\n  variables = { owner = \"platform\" }\n}\n")
	first := code(elsewhere, "stack \"web\" {\n  inputs = { servers = 2, owner = \"inputs\" }\n}\n")
	w.add("park")
	w.wants(w.ends(first), "failed", "dev failed", "production waiting")
	why := func() string { return w.runAt("web@dev", "failed").Error.Message }
	says(t, "without the guardrails' vault", why(), `needs the secret API_TOKEN`, `the guardrails have no vault "main"`)
	rails := func(paths, owner string) string {
		return "vault \"main\" {\n  address = \"" + vault + "\"\n  paths = [\"" + paths + "\"]\n}\nenvironment \"*\" {\n  variables = { owner = \"" + owner + "\" }\n}\n"
	}
	again := func(words ...string) {
		t.Helper()
		out, stderr, code := w.try("rollout", "start", "--wait")
		if code != 1 {
			t.Fatalf("exit %d\n%s%s", code, out, stderr)
		}
		says(t, "why", get[[]run](w, "runs")[0].Error.Message, words...)
	}
	w.rails(rails("kv/data/${project.name}/other/*", "platform"))
	again("terrace secret set dev TERRACE_VAULT_MAIN_TOKEN --project park")
	w.secretAt("dev", "TERRACE_VAULT_MAIN_TOKEN", token)
	again("terrace secret set dev SOPS_AGE_KEY --project park", "in secrets/dev.sops.yaml")
	w.secretAt("dev", "SOPS_AGE_KEY", key)
	again("the guardrails do not let dev of park read kv/data/park/dev")
	if asked.Load() != 0 {
		t.Error("the vault was asked for what may not be read")
	}
	w.rails(rails("kv/data/${project.name}/${environment.name}", "platform"))
	w.run("rollout", "start", "--wait")

	says(t, "variables", w.run("variables", "web@dev"), `"platform"`, `guardrails version 3 (environment "*"), guardrails.hcl of version 3:6`,
		"inputs of stack web, terrace.hcl:", `"of-dev"`, "variables of project park, terrace.hcl:2")
	said := func(want ...string) {
		t.Helper()
		text, err := os.ReadFile(w.file("said"))
		got := strings.Split(strings.TrimSpace(string(text)), "\n")
		// A release that is verified in dev enters production while dev has it again (rule 5).
		slices.Sort(got)
		slices.Sort(want)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("runs saw, %v:\n%s\nwant\n%s", err, text, strings.Join(want, "\n"))
		}
	}
	said("dev of-dev 2 platform", "production of-production 2 platform")
	env, err := os.ReadFile(w.file("env-dev"))
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"DB_PASSWORD=" + fromFile, "API_TOKEN=" + fromVault} {
		if !strings.Contains(string(env), word) {
			t.Errorf("a run does not have %s", word)
		}
	}
	_, rest, _ := strings.Cut(key, "AGE-SECRET")
	private := "AGE-SECRET" + strings.TrimSpace(rest)
	for _, word := range []string{token, private, "SOPS_AGE_KEY", "VAULT_MAIN", "shop-user"} {
		if strings.Contains(string(env), word) {
			t.Errorf("a run sees %s", word)
		}
	}

	// Another value of the guardrails makes instances behind; the next rollout applies it.
	w.rails(rails("kv/data/${project.name}/${environment.name}", "others"))
	state, reason := w.cell("web@dev")
	if state != "behind" || !strings.Contains(reason, "the guardrails give owner another value since") {
		t.Errorf("web@dev is %s: %s", state, reason)
	}
	w.run("rollout", "start", "--wait")
	said("dev of-dev 2 platform", "production of-production 2 platform", "dev of-dev 2 others", "production of-production 2 others")
	if state, reason := w.cell("web@dev"); state != "up_to_date" {
		t.Errorf("web@dev is %s: %s", state, reason)
	}

	// One that does not fit is said at once, and starts nothing.
	w.rails(rails("kv/data/${project.name}/${environment.name}", "others") + "environment \"prod*\" {\n  variables = { servers = \"many\" }\n}\n")
	_, stderr, exit := w.try("rollout", "start")
	if exit != 1 {
		t.Errorf("exit %d", exit)
	}
	says(t, "why", stderr, `The wrong type for variable "servers"`, "web@production", "guardrails.hcl of version 5:9")
	w.rails(rails("kv/data/${project.name}/${environment.name}", "others"))

	// A sandbox: neither the base's key nor its token, but values of its own.
	says(t, "a bad value", w.refused("sandbox", "create", "try", "--base", "dev", "--branch", "main", "--var", "servers=many", "--stacks", "web"), `The wrong type for variable "servers"`)
	w.run("sandbox", "create", "try", "--base", "dev", "--branch", "main", "--var", "shared=of-ana")
	w.eventually("the sandbox to fail", func() bool { return get[sandbox](w, "sandboxes/try").Status == "failed" })
	says(t, "why", get[sandbox](w, "sandboxes/try").Reason, "which has no value: terrace secret set sandboxes")
	w.secretAt("sandboxes", "DB_PASSWORD", "harmless")
	w.secretAt("sandboxes", "API_TOKEN", "harmless")
	before := asked.Load()
	w.run("rollout", "start", "--project", "park~try", "--wait")
	w.run("sandbox", "set", "try", "--var", "shared=of-ben", "--wait")
	if asked.Load() != before {
		t.Error("a sandbox asked the vault of its base")
	}
	text, err := os.ReadFile(w.file("said"))
	if err != nil || !strings.HasSuffix(string(text), "try of-ana 2 others\ntry of-ben 2 others\n") {
		t.Errorf("runs saw, %v:\n%s", err, text)
	}
	says(t, "variables", w.run("variables", "web@try"), `"of-ben"`, "variables of sandbox try", "guardrails version")
	if env, err := os.ReadFile(w.file("env-try")); err != nil || strings.Contains(string(env), fromFile) || strings.Contains(string(env), fromVault) {
		t.Errorf("a sandbox has its base's secrets (%v)", err)
	}

	// Nothing secret is anywhere.
	canaries := map[string]string{"the file's secret": fromFile, "the vault's": fromVault, "in base64": base64.StdEncoding.EncodeToString([]byte(fromVault)), "the token": token, "the key": private}
	absent := func(where, text string) {
		t.Helper()
		for what, canary := range canaries {
			if strings.Contains(text, canary) {
				t.Errorf("%s is in %s", what, where)
			}
		}
	}
	for _, r := range get[[]run](w, "runs") {
		for _, words := range [][]string{{"run", "logs", r.ID}, {"run", "show", "--json", r.ID}, {"run", "plan", "--json", r.ID}} {
			stdout, stderr, _ := w.try(words...)
			absent(strings.Join(words, " "), stdout+stderr)
		}
	}
	for _, words := range [][]string{{"events", "--json", "--limit", "1000"}, {"status", "--why", "--json"}, {"variables", "web@dev", "--json"}, {"secret", "list", "dev", "--json"}, {"guardrails", "show"}} {
		absent(strings.Join(words, " "), w.run(words...))
	}
	absent("the server's log", w.log())
	w.arguments(fromFile, fromVault, token, private)
	w.stop(15)
	w.files(canaries, "")
	w.start()
}

// What waits for an approval with a value that the guardrails have replaced meanwhile is
// planned again, and only that is applied.
func TestAGuardedValueIsPlannedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.park("approval {}", "", "")
	w.stack("web", "one", `
variable "owner" {
  type    = string
  default = "nobody"
}

resource "terraform_data" "owner" {
  triggers_replace = var.owner
  provisioner "local-exec" {
    command = "echo ${var.place} ${var.owner} >> `+w.file("said")+`"
  }
}
`)
	commit := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	first := w.waiting("web@dev")
	w.rails("environment \"*\" {\n  variables = { owner = \"platform\" }\n}\n")
	var second approval
	w.eventually("another plan to wait", func() bool {
		second = w.waiting("web@dev")
		return second.Run != first.Run
	})
	says(t, "the first run", w.run("run", "show", first.Run), "superseded", "the guardrails give owner another value since it was planned")
	w.run("approve", second.Run)
	w.wants(w.ends(commit), "succeeded", "dev succeeded", "production succeeded")
	if text, err := os.ReadFile(w.file("said")); err != nil || string(text) != "dev platform\nproduction platform\n" {
		t.Errorf("runs saw, %v:\n%s", err, text)
	}
}
