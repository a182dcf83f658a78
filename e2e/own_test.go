package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// ownPark is park with the stacks' own backends.
func (w *world) ownPark(backend, environments, more string) {
	w.Helper()
	w.repo.Write("terrace.hcl", fmt.Sprintf(`project "park" {
  stacks  = ["stacks/*"]
  state   = "stack"
  backend = %s
}

environment "dev" {
  variables = { place = environment.name }
  %[2]s
}

environment "production" {
  after     = ["dev"]
  variables = { place = environment.name }
  %[2]s
}

%[3]s
`, backend, environments, more))
}

// backend is a backend block for the end of a stack.
func backend(kind string) string { return "terraform {\n  backend \"" + kind + "\" {}\n}\n" }

// beforehand adds the project while there is nothing in it to roll out, so that it can
// be given secrets.
func (w *world) beforehand() {
	w.Helper()
	w.repo.Write("README.md", "# The park\n")
	w.repo.Commit("Nothing yet")
	w.repo.Push()
	w.add("park")
}

// secret gives both environments a secret.
func (w *world) secret(name, value string) {
	w.Helper()
	w.secretIn("dev", name, value)
	w.secretIn("production", name, value)
}

func (w *world) secretIn(place, name, value string) {
	w.Helper()
	if out, errs, code := w.tryWith(value+"\n", "secret", "set", place, name); code != 0 {
		w.Fatalf("secret set %s: exit %d\n%s%s", place, code, out, errs)
	}
}

// inS3 adds the project, with what opens the bucket.
func (w *world) inS3(bucket *testkit.S3Bucket) {
	w.Helper()
	w.beforehand()
	w.secret("AWS_ACCESS_KEY_ID", bucket.AccessKey)
	w.secret("AWS_SECRET_ACCESS_KEY", bucket.SecretKey)
}

const awsSecrets = `secrets = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]`

// inBucket is the backend of a project whose stacks keep their states in a bucket.
func inBucket(b *testkit.S3Bucket) string {
	return fmt.Sprintf(`{
    bucket                      = %q
    key                         = "${environment.name}/${stack.name}.tfstate"
    region                      = %q
    endpoints                   = { s3 = %q }
    use_path_style              = true
    use_lockfile                = true
    max_retries                 = 1
    skip_credentials_validation = true
    skip_requesting_account_id  = true
    skip_metadata_api_check     = true
    skip_region_validation      = true
  }`, b.Bucket, b.Region, b.Endpoint)
}

// ownState is a state file as a backend keeps it.
type ownState struct {
	Serial    int
	Lineage   string
	Outputs   map[string]struct{ Value any }
	Resources []struct {
		Name      string
		Instances []struct {
			Attributes struct{ ID string }
		}
	}
}

func (s ownState) id(name string) string {
	for _, r := range s.Resources {
		if r.Name == name && len(r.Instances) > 0 {
			return r.Instances[0].Attributes.ID
		}
	}
	return ""
}

func stateAt(t *testing.T, file string) ownState {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return readState(t, data)
}

func readState(t *testing.T, data []byte) ownState {
	t.Helper()
	var s ownState
	if err := json.Unmarshal(data, &s); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return s
}

// Stacks that keep their states in S3 are promoted as any other: wired by outputs, up
// to date by digests, with what Terrace cannot promise there said.
func TestStatesStayInTheStacksOwnBackend(t *testing.T) {
	t.Parallel()
	const canary = "canary-of-an-own-output"
	w := newWorld(t)
	bucket := testkit.S3(t)
	w.inS3(bucket)
	const wired = "stack \"house\" {\n  inputs = { on = stack.ground.said, key = stack.ground.key }\n}\n"
	w.ownPark(inBucket(bucket), awsSecrets, wired)
	const key = "output \"key\" {\n  value     = join(\"-\", [\"canary\", \"of\", \"an\", \"own\", \"output\"])\n  sensitive = true\n}\n"
	w.stack("ground", "ground", backend("s3")+key)
	w.stack("house", "house", backend("s3")+`
variable "on" {
  type = string
}
variable "key" {
  type      = string
  sensitive = true
}
resource "terraform_data" "on" {
  input = var.on
}
output "stands" {
  value = "on ${terraform_data.on.output}"
}
output "long" {
  value = length(var.key)
  sensitive = true
}
`)
	first := w.repo.Commit("Two stacks")
	w.push()
	w.wants(w.ends(first), "succeeded", "dev succeeded", "production succeeded")
	stands := func(environment string) any {
		t.Helper()
		return stateAt(t, filepath.Join(bucket.Folder, environment+"/house.tfstate")).Outputs["stands"].Value
	}
	for _, environment := range []string{"dev", "production"} {
		if got := stands(environment); got != "on ground in "+environment {
			t.Errorf("the house in %s stands %v", environment, got)
		}
	}

	t.Log("what is known of the states, and what is not")
	says(t, "status", w.run("status"), "kept by the stack's own backend (s3): no versions, no fences", "ground@dev")
	type board struct {
		Instances []struct {
			Instance, State, Backend string
			Type                     string `json:"backend_type"`
		}
	}
	for _, i := range ask[board](w, "status").Instances {
		if i.State != "up_to_date" || i.Backend != "stack" || i.Type != "s3" {
			t.Errorf("%+v", i)
		}
	}
	if all := ask[[]any](w, "state", "list"); len(all) != 0 {
		t.Errorf("the server has the states %v", all)
	}
	for _, verb := range []string{"show", "pull", "versions", "unlock"} {
		_, stderr, code := w.try("state", verb, "house@dev")
		if code != 1 {
			t.Errorf("terrace state %s: exit %d", verb, code)
		}
		says(t, "terrace state "+verb, stderr, "house@dev", "own backend (s3)", "tofu state pull")
	}

	t.Log("a change of one goes on to the one that uses it")
	w.stack("ground", "meadow", backend("s3")+key)
	second := w.repo.Commit("Meadow")
	w.push()
	w.wants(w.ends(second), "succeeded", "dev succeeded", "production succeeded")
	if got := stands("production"); got != "on meadow in production" {
		t.Errorf("the house stands %v", got)
	}
	before := len(get[[]run](w, "runs"))
	w.repo.Write("README.md", "# The park, and a word about it\n")
	third := w.repo.Commit("A word about it")
	w.push()
	w.wants(w.ends(third), "succeeded", "dev succeeded", "production succeeded")
	if after := get[[]run](w, "runs"); len(after) != before {
		t.Errorf("a README made runs: %v", instances(after))
	}

	t.Log("what left the repository is destroyed there")
	w.ownPark(inBucket(bucket), awsSecrets, "")
	w.repo.Remove("stacks/house")
	fourth := w.repo.Commit("No house")
	w.push()
	for _, environment := range []string{"dev", "production"} {
		destroy := w.runAt("house@"+environment, "awaiting_approval")
		if destroy.Kind != "destroy" || destroy.Changes.Delete != 2 {
			t.Errorf("%+v", destroy)
		}
		w.run("approve", destroy.ID)
		w.eventually("the house to be gone", func() bool { state, _ := w.cell("house@" + environment); return state == "" })
		if left := stateAt(t, filepath.Join(bucket.Folder, environment+"/house.tfstate")); len(left.Resources) != 0 {
			t.Errorf("in %s there is still %+v", environment, left.Resources)
		}
	}
	w.wants(w.ends(fourth), "succeeded", "dev succeeded", "production succeeded")
	for _, r := range get[[]run](w, "runs") {
		if stdout, _, _ := w.try("run", "logs", r.ID); strings.Contains(stdout, canary) || strings.Contains(stdout, bucket.SecretKey) {
			t.Errorf("the log of %s has a secret", r.ID)
		}
	}
	w.stop(syscall.SIGTERM)
	w.files(map[string]string{"the sensitive output": canary, "the backend's secret": bucket.SecretKey}, "")
	w.start()
}

var unlockHint = regexp.MustCompile(`terrace run recover (\S+) --unlock (\S+)`)

// A state that could not be stored in the stack's own backend is kept, and a recover run
// stores it there, once the lock that was left behind is taken away.
func TestRecoverWithTheStacksOwnBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bucket := testkit.FaultyS3(t)
	w.inS3(bucket)
	w.ownPark(inBucket(bucket), awsSecrets, "")
	w.stack("one", "first", backend("s3")+w.gate("dev", "a"))
	first := w.repo.Commit("One")
	w.push()
	w.began("a")
	bucket.Stop(t)
	open(t, w.file("go-a"))
	lost := w.runAt("one@dev", "unknown")
	says(t, "run show", w.run("run", "show", lost.ID), "recovery slot", "terrace run recover "+lost.ID)
	type entry struct {
		ID   int64
		Run  string
		Used bool
	}
	slot := ask[[]entry](w, "state", "recovered", "one@dev")
	if len(slot) != 1 || slot[0].Run != lost.ID || slot[0].Used {
		t.Fatalf("the recovery slot has %+v", slot)
	}
	kept := readState(t, []byte(w.run("state", "recovered", "one@dev", fmt.Sprint(slot[0].ID))))
	if kept.id("it") == "" || kept.id("gate") == "" {
		t.Errorf("the kept state has %+v", kept.Resources)
	}
	_, stderr, _ := w.try("state", "show", "one@dev")
	says(t, "state show", stderr, fmt.Sprintf("terrace state recovered one@dev %d", slot[0].ID))

	t.Log("the backend is back; its lock is still the lost run's")
	bucket.Start(t)
	w.run("run", "recover", lost.ID)
	locked := w.runAt("one@dev", "errored")
	message := w.run("run", "show", locked.ID)
	says(t, "run show", message, "is locked in its own backend", "lock ID", "It was taken while "+lost.ID+" ran", "force-unlock")
	hint := unlockHint.FindStringSubmatch(message)
	if hint == nil || hint[1] != lost.ID {
		t.Fatalf("no hint in:\n%s", message)
	}
	if state, _ := w.cell("one@dev"); state != "unknown" {
		t.Errorf("one@dev is %s", state)
	}

	t.Log("with the lock's ID it goes on by itself")
	w.run("run", "recover", lost.ID, "--unlock", hint[2])
	w.wants(w.awaits(first, "the recovered rollout to go on", func(r rollout) bool { return r.Status == "succeeded" }), "succeeded", "dev succeeded", "production succeeded")
	if slot := ask[[]entry](w, "state", "recovered", "one@dev"); len(slot) != 1 || !slot[0].Used {
		t.Errorf("the recovery slot has %+v", slot)
	}
	now := stateAt(t, filepath.Join(bucket.Folder, "dev/one.tfstate"))
	if now.id("it") != kept.id("it") || now.id("gate") != kept.id("gate") {
		t.Errorf("resources were made again: %+v, kept was %+v", now.Resources, kept.Resources)
	}
	if n := lines(w.file("done-a")); n != 1 {
		t.Errorf("the gate was made %d times", n)
	}
}

// A killed runner leaves the lock of the stack's own backend: the outcome is unknown,
// and only a person takes the lock away.
func TestKilledRunnerWithTheStacksOwnBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bucket := testkit.S3(t)
	w.inS3(bucket)
	w.ownPark(inBucket(bucket), awsSecrets, "")
	w.stack("one", "first", backend("s3")+w.gate("dev", "a"))
	commit := w.repo.Commit("One")
	w.push()
	gate := w.began("a")
	above := w.ancestors(gate)
	for _, pid := range above[max(0, len(above)-2):] {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
	lost := w.runAt("one@dev", "unknown")
	open(t, w.file("go-a"))
	w.run("run", "recover", lost.ID, "--unlock", "no-such-lock")
	locked := w.runAt("one@dev", "errored")
	says(t, "the log", w.run("run", "logs", locked.ID), "the lock no-such-lock was not taken away")
	hint := unlockHint.FindStringSubmatch(w.run("run", "show", locked.ID))
	if hint == nil {
		t.Fatalf("no hint in:\n%s", w.run("run", "show", locked.ID))
	}
	w.run("run", "recover", lost.ID, "--unlock", hint[2])
	w.wants(w.awaits(commit, "the recovered rollout to go on", func(r rollout) bool { return r.Status == "succeeded" }), "succeeded", "dev succeeded", "production succeeded")
	if _, stderr, code := w.try("run", "recover", lost.ID); code != 1 || !strings.Contains(stderr, "recovered already") {
		t.Errorf("recovering twice: exit %d %s", code, stderr)
	}
}
