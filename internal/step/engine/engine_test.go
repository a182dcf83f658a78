package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/step/engine"
)

const dataStack = `
variable "who" {}
variable "how" { default = "default" }
resource "terraform_data" "a" { input = "${var.who} ${var.how}" }
output "who" { value = terraform_data.a.output }
`

func TestARunPlansAndAppliesExactlyThat(t *testing.T) {
	t.Parallel()
	for _, e := range engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, e, map[string]string{"main.tf": dataStack,
				"terraform.tfvars": `who = "tfvars"`, "x.auto.tfvars": `who = "auto"`, "envs/dev.tfvars": `who = "file"` + "\n" + `how = "file"`})
			w.o.VarFiles = []string{filepath.Join(w.tree, "envs", "dev.tfvars")}
			w.o.Variables = map[string]json.RawMessage{"who": json.RawMessage(`"given"`)}
			s := w.open()
			if w.init(s) {
				t.Error("the first init is skipped")
			}
			p := w.plan(s)
			if !p.Changes || !json.Valid(p.JSON) || !bytes.Contains(p.JSON, []byte("terraform_data.a")) {
				t.Errorf("plan: %v %.300s", p.Changes, p.JSON)
			}
			a, err := s.Apply(t.Context())
			if err != nil || !a.Stored || a.Unsaved != nil {
				t.Fatalf("%+v %v\n%s", a, err, w.out.String())
			}
			if got := w.outputs()["who"]; got != "given file" {
				t.Errorf("variables: %q", got)
			}
			if s.Commands() != 4 {
				t.Errorf("%d engine processes, want init, plan, show and apply", s.Commands())
			}
			if _, err := s.Apply(t.Context()); err == nil {
				t.Error("one plan is applied twice")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(w.o.Temp); err != nil || len(left) != 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
			for _, want := range []string{"terraform_data.a: Creating...", "terraform_data.a: Creation complete after", "Plan: 1 to add, 0 to change, 0 to destroy."} {
				if !strings.Contains(w.out.String(), want) {
					t.Errorf("%q is not in the log:\n%s", want, w.out.String())
				}
			}
			if strings.Contains(w.out.String(), "@level") {
				t.Errorf("JSON in the log:\n%s", w.out.String())
			}

			// Nothing to do: plan is the only process, and init is skipped.
			if n := w.deploy(); n != 1 {
				t.Errorf("%d engine processes for nothing to do", n)
			}
			serial := w.serial(t)
			w.write(map[string]string{"main.tf": dataStack + "# changed\noutput \"more\" { value = 1 }\n"})
			if n := w.deploy(); n != 3 || w.serial(t) != serial+1 {
				t.Errorf("%d engine processes and serial %d for a new output", n, w.serial(t))
			}
		})
	}
}

func TestWhatTheEngineSays(t *testing.T) {
	t.Parallel()
	e := engines(t)[0]
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"unknown reference": {map[string]string{"main.tf": "\nresource \"terraform_data\" \"a\" {\n  input = var.nope\n}\n"},
			"tofu plan failed: stacks/web/main.tf:3: Reference to undeclared input variable"},
		"in a module": {map[string]string{"main.tf": `module "m" { source = "../../modules/m" }`, "modules/m/m.tf": "\n\nlocals { x = file(\"nope\") }\noutput \"x\" { value = local.x }"},
			"tofu plan failed: modules/m/m.tf:3: Invalid function argument"},
		"syntax":        {map[string]string{"main.tf": "resource \"x\" {"}, "tofu init failed: stacks/web/main.tf:1: "},
		"no such value": {map[string]string{"main.tf": `variable "must" {}`}, "tofu plan failed: stacks/web/main.tf:1: No value for required variable"},
		"precondition": {map[string]string{"main.tf": "resource \"terraform_data\" \"a\" {\n  lifecycle {\n    precondition {\n      condition = path.root == \"\"\n      error_message = \"It is full.\"\n    }\n  }\n}"},
			"tofu plan failed: stacks/web/main.tf:4: Resource precondition failed: It is full."},
		"module that is not there": {map[string]string{"main.tf": `module "m" { source = "../../modules/nope" }`}, "tofu init failed: Unreadable module directory"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, e, test.files)
			s := w.open()
			_, err := s.Init(t.Context())
			if err == nil {
				_, err = s.Plan(t.Context(), engine.PlanOptions{})
			}
			assertInvalid(t, err)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got  %v\nwant %s\nlog: %s", err, test.want, w.out.String())
			}
		})
	}
}

func TestBackendsOfTheStack(t *testing.T) {
	t.Parallel()
	e := engines(t)[0]
	mine := filepath.Join(t.TempDir(), "mine.tfstate")
	local := "terraform {\n  backend \"local\" { path = \"" + mine + "\" }\n}\nresource \"terraform_data\" \"a\" {}\n"

	w := newWorld(t, e, map[string]string{"main.tf": local})
	w.deploy()
	if w.serial(t) == 0 {
		t.Error("the state is not in the built-in backend")
	}
	own := newWorld(t, e, map[string]string{"main.tf": local})
	own.o.Backend, own.o.Token = "", ""
	own.deploy()
	if _, err := os.Stat(mine); err != nil || own.posts != 0 {
		t.Errorf("the stack's own backend is not used: %v", err)
	}
	// From one to the other: another digest, so init is run again.
	own.o.Backend, own.o.Token = own.URL, token
	if n := own.deploy(); n != 4 {
		t.Errorf("%d engine processes after the backend has changed", n)
	}
	for name, files := range map[string]map[string]string{
		"cloud block":   {"main.tf": "terraform {\n  cloud {\n    organization = \"x\"\n  }\n}\n"},
		"overrides":     {"main.tf": "", "zzz_override.tf": "terraform {\n  backend \"local\" {}\n}\n"},
		"our file name": {"main.tf": "", "zz_terrace_override.tf": "locals {}\n"},
	} {
		w := newWorld(t, e, files)
		_, err := engine.Open(t.Context(), w.o)
		assertInvalid(t, err)
		if err == nil || !strings.Contains(err.Error(), "stacks/web/") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheStateIsTheTruth(t *testing.T) {
	t.Parallel()
	e := engines(t)[0]
	stack := map[string]string{"main.tf": "resource \"terraform_data\" \"a\" {}\n"}

	t.Run("upload refused at the end", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, e, stack)
		w.failing(func(r *http.Request, _ int) int {
			if r.Method == http.MethodPost {
				return http.StatusConflict
			}
			return 0
		})
		s := w.open()
		w.init(s)
		w.plan(s)
		a, err := s.Apply(t.Context())
		if err == nil || a.Stored || !bytes.Contains(a.Unsaved, []byte(`"terraform_data"`)) {
			t.Errorf("%v %s %v", a.Stored, a.Unsaved, err)
		}
	})
	t.Run("locked by somebody", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, e, stack)
		w.o.LockTimeout = time.Millisecond
		s := w.open()
		w.init(s)
		w.lockedBy(`{"ID":"1","Operation":"plan","Who":"ana@laptop","Created":"2026-01-02T03:04:05Z"}`)
		_, err := s.Plan(t.Context(), engine.PlanOptions{})
		assertUnavailable(t, err)
		if err == nil || !strings.Contains(err.Error(), "ana@laptop") {
			t.Errorf("it is not said who has the lock: %v", err)
		}
		w.lockedBy("")
		w.plan(s)
		w.lockedBy(`{"ID":"1","Who":"ana@laptop"}`)
		if a, err := s.Apply(t.Context()); err == nil || !a.Stored {
			t.Errorf("an apply that did not begin: %+v %v", a, err)
		}
	})
	t.Run("a server that is away for a while", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, e, stack)
		away := 1
		w.failing(func(r *http.Request, _ int) int {
			if r.Method == http.MethodPost && away > 0 {
				away--
				return http.StatusServiceUnavailable
			}
			return 0
		})
		w.deploy()
	})
}

func TestInterruptedApply(t *testing.T) {
	t.Parallel()
	for _, e := range engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, e, map[string]string{"main.tf": `
resource "terraform_data" "first" {}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.first]
  provisioner "local-exec" { command = "trap 'exit 1' INT; echo begun > begun; while :; do sleep 0.05; done" }
}
resource "terraform_data" "last" { depends_on = [terraform_data.slow] }
`})
			s := w.open()
			w.init(s)
			w.plan(s)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go func() {
				eventually(t, "the provisioner runs", func() bool {
					_, err := os.Stat(filepath.Join(w.dir, "begun"))
					return err == nil
				})
				cancel()
			}()
			a, err := s.Apply(ctx)
			if err == nil || !a.Stored || a.Unsaved != nil {
				t.Errorf("%+v %v\n%s", a, err, w.out.String())
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if !bytes.Contains(w.state, []byte(`"first"`)) || bytes.Contains(w.state, []byte(`"last"`)) {
				t.Errorf("the state is not that of a partial apply: %s", w.state)
			}
			if w.lock != nil {
				t.Error("the state is left locked")
			}
		})
	}
}

// Not even a process that left its session and emptied its environment survives an engine
// that was killed; what has happened is not known then.
func TestAKilledApplyLeavesNothingRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines(t)[0], map[string]string{"main.tf": `
resource "terraform_data" "slow" {
  provisioner "local-exec" { command = "setsid sh -c 'trap \"\" INT TERM; echo $$ > pid; exec sleep 600' & trap '' INT; wait" }
}
`})
	w.o.Grace = -1
	s := w.open()
	w.init(s)
	w.plan(s)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var pid string
	go func() {
		eventually(t, "the provisioner runs", func() bool {
			data, err := os.ReadFile(filepath.Join(w.dir, "pid"))
			pid = strings.TrimSpace(string(data))
			return err == nil && pid != ""
		})
		cancel()
	}()
	a, err := s.Apply(ctx)
	assertUnavailable(t, err)
	if a.Stored {
		t.Errorf("%+v %v", a, err)
	}
	n, err := strconv.Atoi(pid)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := process.StartTime(n); err == nil {
		t.Errorf("process %s still runs", pid)
	}
}

func TestNothingSecretInArguments(t *testing.T) {
	t.Parallel()
	w := newWorld(t, engines(t)[0], map[string]string{"main.tf": `
variable "password" {}
variable "other" {}
resource "terraform_data" "look" {
  input = [sha1(var.password), var.other]
  provisioner "local-exec" { command = "cat /proc/*/cmdline > seen 2>/dev/null; env > env; true" }
}
`})
	w.o.Variables = map[string]json.RawMessage{"password": json.RawMessage(`"canary-in-variable"`)}
	w.o.Env = append(w.o.Env, "CLOUD_TOKEN=canary-in-secret", "TF_VAR_other=canary-in-tf-var", "TF_CLI_ARGS_plan=-nonsense", "TF_REATTACH_PROVIDERS={}", "TF_WORKSPACE=x")
	w.deploy()
	seen, err := os.ReadFile(filepath.Join(w.dir, "seen"))
	if err != nil || bytes.Contains(seen, []byte("canary-in-")) || bytes.Contains(seen, []byte(token)) {
		t.Errorf("secrets in arguments: %v", err)
	}
	env, err := os.ReadFile(filepath.Join(w.dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"CLOUD_TOKEN=canary-in-secret", "TERRACE_RUN=r-1", "TERRACE_FENCE=7", "TF_IN_AUTOMATION=1"} {
		if !strings.Contains(string(env), want) {
			t.Errorf("%s is not in the environment", want)
		}
	}
	for _, not := range []string{"-nonsense", "GOCACHE=", "TF_WORKSPACE"} {
		if strings.Contains(string(env), not) {
			t.Errorf("%s is in the environment", not)
		}
	}
	info, err := os.Stat(filepath.Join(w.dir, "zz_terrace_override.tf"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
}
