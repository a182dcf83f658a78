package engine_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/terrace-cd/terrace/internal/step/engine"
)

// BenchmarkRun compares a run of one small stack that changes one resource: the raw
// commands in a directory that was never used, the same with init done before, and
// sessions in a new and in a kept tree.
func BenchmarkRun(b *testing.B) {
	e := engines(b)[0]
	m := newMirror(b, "1.0.0")
	stack := required("1.0.0") + "variable \"n\" {}\nresource \"democloud_dns_record\" \"r\" {\n  name = \"x\"\n  value = var.n\n}\n"
	change := func(w *world, n int) {
		w.o.Variables = map[string]json.RawMessage{"n": fmt.Appendf(nil, "%q", fmt.Sprint(b.Name(), n))}
	}
	fresh := func(b *testing.B) *world {
		w, _ := newCloudWorld(b, e, m, map[string]string{"main.tf": stack})
		w.o.Output = io.Discard
		return w
	}
	forget := func(w *world) {
		for _, name := range engine.Kept() {
			if err := os.RemoveAll(filepath.Join(w.dir, name)); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, warm := range []bool{false, true} {
		b.Run(fmt.Sprintf("raw/warm=%v", warm), func(b *testing.B) {
			w := fresh(b)
			rc := filepath.Join(b.TempDir(), "rc")
			w.write(map[string]string{"backend.tf": "terraform {\n  backend \"http\" {}\n}\n"})
			if err := os.WriteFile(rc, fmt.Appendf(nil, "provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", m.dir), 0o600); err != nil {
				b.Fatal(err)
			}
			run := func(args ...string) {
				cmd := exec.CommandContext(b.Context(), e.Path, args...)
				cmd.Dir = w.dir
				cmd.Env = append(slices.Clone(w.o.Env), "TF_CLI_CONFIG_FILE="+rc, "TF_HTTP_ADDRESS="+w.o.Backend, "TF_HTTP_LOCK_ADDRESS="+w.o.Backend,
					"TF_HTTP_UNLOCK_ADDRESS="+w.o.Backend, "TF_HTTP_USERNAME=terrace", "TF_HTTP_PASSWORD="+token, "CHECKPOINT_DISABLE=1")
				if out, err := cmd.CombinedOutput(); err != nil {
					b.Fatalf("%v %s", err, out)
				}
			}
			if warm {
				run("init", "-input=false")
			}
			n := 0
			for b.Loop() {
				n++
				if !warm {
					forget(w)
					run("init", "-input=false")
				}
				run("plan", "-input=false", "-out=p", fmt.Sprintf("-var=n=%d", n))
				run("show", "-json", "p")
				run("apply", "-input=false", "p")
			}
		})
	}
	for _, keep := range []bool{false, true} {
		for _, warm := range []bool{false, true} {
			b.Run(fmt.Sprintf("session/keep=%v/warm=%v", keep, warm), func(b *testing.B) {
				w := fresh(b)
				w.o.KeepProviders = keep
				n := 0
				change(w, n)
				w.deploy()
				for b.Loop() {
					n++
					change(w, n)
					if !warm {
						forget(w)
					}
					w.deploy()
				}
			})
		}
	}
}
