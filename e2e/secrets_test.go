package e2e

import (
	"bytes"
	"encoding/base64"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Secrets reach what needs them, and nothing else: neither logs, plans and answers, nor
// the database and the other files of the server, nor a list of processes. What the
// server itself knows does not reach a run.
func TestSecretsAppearNowhere(t *testing.T) {
	t.Parallel()
	const (
		secret    = "canary/of+a secret&value" // differs in every encoding
		sensitive = "canary-of-an-output-0815"
		serverEnv = "canary-of-the-server-4711"
	)
	w := newWorld(t)
	w.stop(15)
	w.env = append(w.env, "CLOUD_PASSWORD="+serverEnv, "TF_VAR_place="+serverEnv)
	w.start()
	w.park(`secrets = ["CLOUD_TOKEN"]`, `secrets = ["CLOUD_TOKEN"]`, "")
	w.stack("one", "first", w.gate("dev", "a")+`
resource "terraform_data" "leak" {
  provisioner "local-exec" {
    command = "echo $CLOUD_TOKEN; printf %s \"$CLOUD_TOKEN\" | base64; env > `+w.dir+`/env-${var.place}; env; echo it cannot be had: $CLOUD_TOKEN >&2"
  }
}

resource "terraform_data" "password" {
  input = sensitive("`+sensitive+`-${var.place}")
}

output "password" {
  value     = terraform_data.password.output
  sensitive = true
}
`)
	w.repo.Write("stacks/one/fail.tf", `resource "terraform_data" "fail" {
  depends_on = [terraform_data.leak, terraform_data.gate]
  provisioner "local-exec" {
    command = var.place == "dev" ? "true" : "echo no: $CLOUD_TOKEN >&2; exit 1"
  }
}
`)
	commit := w.repo.Commit("One")
	w.repo.Push()

	t.Log("without its value nothing starts, and the message says what to do")
	w.add("park")
	w.wants(w.ends(commit), "failed", "dev failed", "production waiting")
	says(t, "run show", w.run("run", "show", w.runAt("one@dev", "failed").ID), "CLOUD_TOKEN", "terrace secret set dev CLOUD_TOKEN")

	for _, environment := range []string{"dev", "production"} {
		cmd := exec.CommandContext(t.Context(), terrace, "secret", "set", environment, "CLOUD_TOKEN")
		cmd.Env = append([]string{"TERRACE_URL=" + w.url, "TERRACE_TOKEN=" + w.token}, w.env...)
		cmd.Stdin = strings.NewReader(secret + "\n")
		if out, err := cmd.CombinedOutput(); err != nil || bytes.Contains(out, []byte(secret)) {
			t.Fatalf("secret set: %v\n%s", err, out)
		}
	}
	w.run("rollout", "start")
	w.began("a")
	w.arguments(secret, sensitive, w.token)
	open(t, w.file("go-a"))
	w.wants(w.ends(commit), "failed", "dev succeeded", "production failed")

	canaries := map[string]string{
		"the secret": secret, "the secret in base64": base64.StdEncoding.EncodeToString([]byte(secret)), "the secret in a URL": url.QueryEscape(secret),
		"the secret in JSON": strings.ReplaceAll(secret, "&", `\u0026`), "the output": sensitive, "the server's environment": serverEnv,
	}
	absent := func(where, text string) {
		t.Helper()
		for what, canary := range canaries {
			if strings.Contains(text, canary) {
				t.Errorf("%s is in %s", what, where)
			}
		}
	}
	logs := ""
	for _, r := range get[[]run](w, "runs") {
		for _, words := range [][]string{{"run", "logs", r.ID}, {"run", "logs", "--json", r.ID}, {"run", "show", r.ID}, {"run", "show", "--json", r.ID}, {"run", "plan", r.ID}, {"run", "plan", "--json", r.ID}} {
			stdout, stderr, _ := w.try(words...) // a run that never began has no plan
			absent("terrace "+strings.Join(words, " "), stdout+stderr)
			if words[1] == "logs" {
				logs += stdout
			}
		}
	}
	says(t, "the logs", logs, "it cannot be had: ")
	for _, words := range [][]string{{"status"}, {"status", "--why", "--json"}, {"events", "--json"}, {"rollout", "list", "--json"}, {"state", "show", "one@dev"}, {"state", "show", "one@dev", "--json"}, {"secret", "list", "dev", "--json"}} {
		absent("terrace "+strings.Join(words, " "), w.run(words...))
	}
	absent("the server's log", w.log())

	for _, environment := range []string{"dev", "production"} {
		env, err := os.ReadFile(w.file("env-" + environment))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(env), "CLOUD_TOKEN="+secret) {
			t.Errorf("a run in %s does not have its secret", environment)
		}
		for _, word := range []string{serverEnv, w.token, "CLOUD_PASSWORD", "GORACE", "TF_CLI_CONFIG_FILE=/nonexistent"} {
			if strings.Contains(string(env), word) {
				t.Errorf("a run in %s sees %s", environment, word)
			}
		}
	}
	if got := w.output("one@dev", "password"); got != sensitive+"-dev" {
		t.Errorf("the output is %q", got)
	}

	// The database writes what it has only later; a server that ended has.
	w.stop(15)
	w.files(canaries, sensitive)
	w.start()
}

// arguments fails when a word is among the arguments of any process.
func (w *world) arguments(words ...string) {
	w.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(files) == 0 {
		w.Fatalf("there are no processes: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		for _, word := range words {
			if bytes.Contains(data, []byte(word)) {
				w.Errorf("%q has %q among its arguments", file, word)
			}
		}
	}
}

// files fails when a canary is in a file of the data folder. What is in the commit
// itself is looked for outside of the code's copies only.
func (w *world) files(canaries map[string]string, inCode string) {
	w.Helper()
	n := 0
	if err := filepath.WalkDir(w.data, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		n++
		rel, _ := filepath.Rel(w.data, path)
		for what, canary := range canaries {
			if ext := filepath.Ext(path); canary == inCode && (ext == ".tf" || ext == ".tfvars") {
				continue
			}
			if bytes.Contains(data, []byte(canary)) {
				w.Errorf("%s is in %s", what, rel)
			}
		}
		return nil
	}); err != nil {
		w.Fatal(err)
	}
	if n < 5 {
		w.Errorf("the data folder has %d files; this looks at the wrong place", n)
	}
}
