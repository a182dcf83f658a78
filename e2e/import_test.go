package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/testkit"
)

// TestImportFromABackend: a stack that exists, with its state in a backend of its own, is
// taken over in one command, which proves itself. Nothing is created twice before or after.
func TestImportFromABackend(t *testing.T) {
	t.Parallel()
	for name, place := range map[string]func(t *testing.T, w *world) (settings string, env []string){
		"local": func(*testing.T, *world) (string, []string) { return "{}", nil },
		"pg": func(t *testing.T, _ *world) (string, []string) {
			return "{}", []string{"PG_CONN_STR=" + testkit.Postgres(t)}
		},
		"s3": func(t *testing.T, _ *world) (string, []string) {
			b := testkit.S3(t)
			settings := strings.NewReplacer("${environment.name}/${stack.name}", "some/where").Replace(inBucket(b))
			return settings, append(b.Env(), "AWS_ACCESS_KEY_ID="+b.AccessKey, "AWS_SECRET_ACCESS_KEY="+b.SecretKey)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			settings, env := place(t, w)
			w.env = append(w.env, env...)
			w.beforehand()
			// A module outside of the stack's folder, as it is in the field.
			module := func(version string) {
				w.repo.Write("modules/thing/main.tf", fmt.Sprintf("variable \"place\" {}\nresource \"terraform_data\" \"this\" {\n  input = \"%s in ${var.place}\"\n}\noutput \"id\" { value = terraform_data.this.id }\n", version))
			}
			module("one")
			w.repo.Write("stacks/web/main.tf", fmt.Sprintf("terraform {\n  backend %q %s\n}\nvariable \"place\" {}\nmodule \"thing\" {\n  source = \"../../modules/thing\"\n  place  = var.place\n}\noutput \"id\" { value = module.thing.id }\n", name, settings))
			w.repo.Write("terrace.hcl", "project \"park\" {\n  stacks = [\"stacks/*\"]\n}\nenvironment \"dev\" {\n  variables = { place = environment.name }\n}\n")
			first := w.repo.Commit("As it was")
			stack := filepath.Join(w.repo.Dir, "stacks", "web")
			tofu := func(args ...string) string {
				t.Helper()
				cmd := exec.CommandContext(t.Context(), testkit.Tofu(t), args...)
				cmd.Dir, cmd.Env = stack, testkit.EngineEnv(t, append(env, "TF_VAR_place=dev")...)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("tofu %v: %v\n%s", args, err, out)
				}
				return string(out)
			}
			tofu("init", "-input=false")
			tofu("apply", "-input=false", "-auto-approve")
			id := strings.TrimSpace(tofu("output", "-raw", "id"))

			if name != "local" { // a run cannot know of a file that is not in the commit
				w.push()
				w.wants(w.ends(first), "failed", "dev failed")
				says(t, "run show", w.run("run", "show", w.runAt("web@dev", "failed").ID), "terrace state import web@dev --from-backend", "a second time")
			}
			folder := snapshot(t, w.repo.Dir)
			importing := []string{"state", "import", "web@dev", "--from-backend", stack}
			if _, stderr, code := w.try(append(importing, "--var", "place=elsewhere")...); code == 0 || !strings.Contains(stderr, "the plan has changes") || !strings.Contains(stderr, "elsewhere") {
				t.Errorf("imported although the plan has changes: %d %s", code, stderr)
			}
			if _, stderr, code := w.try(append(importing, "--var", "place=dev", "--workspace", "none")...); code == 0 || !strings.Contains(stderr, "none") {
				t.Errorf("a workspace that is not there: %d %s", code, stderr)
			}
			stdout, stderr, code := w.try(append(importing, "--var", "place=dev")...)
			if code != 0 {
				t.Fatalf("%d %s", code, stderr)
			}
			says(t, "state import", stderr, "The "+name+" backend has serial", "with 1 resources", "no changes")
			says(t, "state import", stdout, "read back and equal")
			if after := snapshot(t, w.repo.Dir); after != folder {
				t.Errorf("the repository was changed: %s\n%s", folder, after)
			}
			if _, stderr, code := w.try(append(importing, "--var", "place=dev")...); code == 0 || !strings.Contains(stderr, "has a state already") {
				t.Errorf("imported twice: %d %s", code, stderr)
			}
			if name == "local" {
				w.push()
			} else {
				w.run("rollout", "start")
			}
			w.awaits(first, "the rollout after the import", func(r rollout) bool { return r.Status == "succeeded" })
			if got := w.output("web@dev", "id"); got != id {
				t.Errorf("the resource is %v now, and was %s", got, id)
			}
		})
	}
}

// snapshot lists what is in a folder, with sizes.
func snapshot(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "find", dir, "-type", "f", "-not", "-path", "*/.git/*", "-printf", "%P %s %T@\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestStateForPeople: what people do with a state from a terminal, with the engine and
// with terrace.
func TestStateForPeople(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.repo.Write("stacks/web/main.tf", "variable \"place\" {}\nresource \"terraform_data\" \"this\" { input = var.place }\noutput \"id\" { value = terraform_data.this.output }\n")
	w.repo.Write("terrace.hcl", "project \"park\" {\n  stacks = [\"stacks/*\"]\n}\nenvironment \"dev\" {\n  variables = { place = environment.name }\n}\n")
	first := w.repo.Commit("One")
	w.repo.Push()
	w.add("park")
	w.wants(w.ends(first), "succeeded", "dev succeeded")

	// A laptop: a clone, the printed lines, the plain engine.
	laptop := t.TempDir()
	clone := exec.CommandContext(t.Context(), "git", "clone", "-q", w.repo.Remote, laptop)
	if out, err := clone.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	stack := filepath.Join(laptop, "stacks", "web")
	if err := os.WriteFile(filepath.Join(stack, "terrace_override.tf"), []byte("terraform {\n  backend \"http\" {}\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shell := func(script string) (string, error) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", `eval "$(`+terrace+` state env web@dev)"; cd `+stack+"; "+script)
		cmd.Env = append(testkit.EngineEnv(t, "TF_VAR_place=dev", "TERRACE_URL="+w.url, "TERRACE_TOKEN="+w.token), "PATH="+filepath.Dir(testkit.Tofu(t))+":"+os.Getenv("PATH"))
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	out, err := shell("tofu init -input=false && tofu plan -input=false -detailed-exitcode")
	if err != nil || !strings.Contains(out, "No changes") {
		t.Fatalf("%v %s", err, out)
	}
	if out, err := shell("tofu apply -input=false -auto-approve -var place=laptop"); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	if got := w.output("web@dev", "id"); got != "laptop" {
		t.Errorf("the output is %v", got)
	}
	versions := ask[[]struct {
		ID     int64
		Serial int64
		By     string
	}](w, "state", "versions", "web@dev")
	if len(versions) < 2 || !strings.HasPrefix(versions[0].By, "user:") && versions[0].By == versions[1].By {
		t.Errorf("versions %+v", versions)
	}
	says(t, "state diff", w.run("state", "diff", "web@dev"), "~ terraform_data.this", `input.value: "dev" -> "laptop"`, "Outputs", `id: "dev" -> "laptop"`)
	old := fmt.Sprint(versions[1].ID)
	if _, stderr, code := w.try("state", "restore", "web@dev", old); code == 0 || !strings.Contains(stderr, `"laptop" -> "dev"`) || !strings.Contains(stderr, "--yes") {
		t.Errorf("restored without a question: %d %s", code, stderr)
	}
	w.run("state", "restore", "web@dev", old, "--yes", "--reason", "a test")
	if got := w.output("web@dev", "id"); got != "dev" {
		t.Errorf("the output is %v after the restore", got)
	}
	if _, stderr, code := w.try("state", "restore", "web@dev", "99999", "--yes"); code == 0 || !strings.Contains(stderr, "99999") {
		t.Errorf("a version that is not there: %d %s", code, stderr)
	}
	// What was restored describes less than there is: the next plan says so.
	if out, err := shell("tofu plan -input=false -detailed-exitcode -var place=laptop"); err == nil || !strings.Contains(out, "laptop") {
		t.Errorf("%v %s", err, out)
	}
	says(t, "events", w.run("events"), "state.restored")
}
