package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/step/engine"
)

const ownStack = `terraform {
  backend "http" {}
}
resource "terraform_data" "a" {
  input = "one"
}
output "said" {
  value = terraform_data.a.output
}
output "secret" {
  value     = "hush"
  sensitive = true
}
`

// ownWorld is a stack with an http backend of its own, whose password is a secret of the
// environment and whose address comes from terrace.hcl.
func ownWorld(t *testing.T, e engine.Engine) *world {
	w := newWorld(t, e, map[string]string{"main.tf": ownStack})
	w.o.Backend, w.o.Token = "", ""
	address, err := json.Marshal(w.URL + "/mine")
	if err != nil {
		t.Fatal(err)
	}
	w.o.BackendConfig = map[string]json.RawMessage{"address": address, "lock_address": address, "unlock_address": address, "lock_method": json.RawMessage(`"LOCK"`),
		"unlock_method": json.RawMessage(`"UNLOCK"`), "username": json.RawMessage(`"me"`)}
	w.o.Env = append(w.o.Env, "TF_HTTP_PASSWORD="+token)
	return w
}

func (w *world) see(s *engine.Session) engine.Own {
	w.Helper()
	own, err := s.See(w.Context(), []string{"terraform_data"})
	if err != nil {
		w.Fatalf("%v\n%s", err, w.out.String())
	}
	return own
}

// What is in the stack's own backend is seen before and after an apply, with what tells
// outputs apart that are sensitive.
func TestTheStacksOwnStateIsSeen(t *testing.T) {
	t.Parallel()
	for _, e := range engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			w := ownWorld(t, e)
			s := w.open()
			w.init(s)
			if data, err := os.ReadFile(filepath.Join(w.o.Temp, "backend.json")); err != nil || !strings.Contains(string(data), w.URL) {
				t.Errorf("the settings are not in a file of the run: %v", err)
			} else if info, err := os.Stat(filepath.Join(w.o.Temp, "backend.json")); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("it is %v %v", info, err)
			}
			if own := w.see(s); own.Backend != "http" || own.Lineage != "" || own.Serial != 0 || own.Resources != 0 {
				t.Errorf("before the first apply: %+v", own)
			}
			w.plan(s)
			if a, err := s.Apply(t.Context()); err != nil || !a.Stored {
				t.Fatalf("%+v %v", a, err)
			}
			own := w.see(s)
			if own.Lineage == "" || own.Serial == 0 || own.Resources != 1 || !strings.Contains(string(own.Instances), `"type":"terraform_data"`) {
				t.Errorf("after it: %+v", own)
			}
			var outputs map[string]struct {
				Value, Type any
				Sensitive   bool
			}
			if err := json.Unmarshal(own.Outputs, &outputs); err != nil || outputs["said"].Value != "one" || outputs["said"].Sensitive || !outputs["secret"].Sensitive || outputs["said"].Type != "string" {
				t.Errorf("the outputs are %s: %v", own.Outputs, err)
			}
			if strings.Contains(w.out.String(), "hush") {
				t.Error("a sensitive output is in the log")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}

			// The same settings again need no init; others do.
			again := w.open()
			if !w.init(again) {
				t.Error("init was run though nothing changed")
			}
			w.o.BackendConfig["update_method"] = json.RawMessage(`"PUT"`)
			if other := w.open(); w.init(other) {
				t.Error("init was skipped though the backend's settings changed")
			}
		})
	}
}

// A state is pushed under the engine's rules, and read back.
func TestPushToTheStacksOwnBackend(t *testing.T) {
	t.Parallel()
	for _, e := range engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			w := ownWorld(t, e)
			s := w.open()
			w.init(s)
			w.plan(s)
			if a, err := s.Apply(t.Context()); err != nil || !a.Stored {
				t.Fatalf("%+v %v", a, err)
			}
			mine := w.see(s).Lineage
			state := func(lineage string, serial int) []byte {
				return fmt.Appendf(nil, `{"version":4,"terraform_version":"1.11.0","serial":%d,"lineage":%q,"outputs":{"said":{"value":"serial %[1]d","type":"string"}},"resources":[]}`, serial, lineage)
			}
			if err := s.Push(t.Context(), state(mine, 5)); err != nil {
				t.Fatal(err)
			}
			pushed := w.see(s)
			if pushed.Lineage != mine || pushed.Serial < 5 || !strings.Contains(string(pushed.Outputs), "serial 5") {
				t.Errorf("there is %+v", pushed)
			}
			for name, refused := range map[string][]byte{"a foreign lineage": state("other", 9), "an older serial": state(mine, 3)} {
				err := s.Push(t.Context(), refused)
				if err == nil || !strings.Contains(err.Error(), "stacks/web") {
					t.Errorf("%s: %v", name, err)
				}
			}
			if own := w.see(s); own.Serial != pushed.Serial || own.Digest != pushed.Digest {
				t.Errorf("there is %+v", own)
			}
			if _, err := os.Stat(filepath.Join(w.o.Temp, "push.tfstate")); err == nil {
				t.Error("the pushed state is left behind")
			}
		})
	}
}

// A lock that somebody else holds is named with all that a person has to know, and taken
// away by its ID alone. (Terraform shows another ID with http backends.)
func TestLocksOfTheStacksOwnBackend(t *testing.T) {
	t.Parallel()
	w := ownWorld(t, engines(t)[0])
	const id = "9db590f1-b6fe-c5f2-2678-8804f089deba"
	w.o.LockTimeout = 1 // a nanosecond
	s := w.open()
	w.init(s)
	w.lockedBy(`{"ID":"` + id + `","Operation":"OperationTypeApply","Who":"root@dead","Version":"1.12.6","Created":"2026-11-23T05:00:00.5Z","Path":""}`)
	_, err := s.Plan(t.Context(), engine.PlanOptions{})
	assertUnavailable(t, err)
	var locked *engine.Locked
	if !errors.As(err, &locked) || locked.ID != id || locked.Who != "root@dead" || locked.Operation != "Apply" || !strings.HasPrefix(locked.Created, "2026-11-23 05:00:00.5") {
		t.Fatalf("%+v %v", locked, err)
	}
	for _, word := range []string{"stacks/web", "root@dead", "tofu force-unlock " + id} {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in: %v", word, err)
		}
	}
	if err := s.ForceUnlock(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	w.plan(s)
	w.lockedBy(`{"ID":"-help"}`)
	if err := s.ForceUnlock(t.Context(), "-help"); err != nil {
		t.Errorf("an ID that looks like an option: %v", err)
	}
	w.plan(s)
}

// A state that would stay in the work tree is lost with it.
func TestStatesInTheWorkTreeAreRefused(t *testing.T) {
	t.Parallel()
	e := engines(t)[0]
	outside := filepath.Join(t.TempDir(), "states", "web.tfstate")
	for name, c := range map[string]struct {
		code, path string
		ok         bool
	}{
		"no block":          {code: ""},
		"no path":           {code: "terraform {\n  backend \"local\" {}\n}\n"},
		"a relative path":   {code: "terraform {\n  backend \"local\" {}\n}\n", path: "../web.tfstate"},
		"a path by default": {code: "variable \"at\" {\n  default = \"here\"\n}\nterraform {\n  backend \"local\" { path = var.at }\n}\n"},
		"an absolute path":  {code: "terraform {\n  backend \"local\" {}\n}\n", path: outside, ok: true},
	} {
		w := newWorld(t, e, map[string]string{"main.tf": c.code + "resource \"terraform_data\" \"a\" {}\n"})
		w.o.Backend, w.o.Token = "", ""
		if c.path != "" {
			w.o.BackendConfig = map[string]json.RawMessage{"path": fmt.Appendf(nil, "%q", c.path)}
		}
		s, err := engine.Open(t.Context(), w.o)
		if err == nil {
			_, err = s.Init(t.Context())
			defer func() { _ = s.Close() }()
		}
		if c.ok {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		assertInvalid(t, err)
		if err == nil || !strings.Contains(err.Error(), "would be lost") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
