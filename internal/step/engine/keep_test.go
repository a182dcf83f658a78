package engine_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/step/engine"
)

// gone reports whether none of the processes runs.
func gone(pids []int) bool {
	for _, pid := range pids {
		if _, err := process.StartTime(pid); err == nil {
			return false
		}
	}
	return true
}

func TestKeptProvider(t *testing.T) {
	t.Parallel()
	for _, e := range engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t, "1.0.0")
			stack := required("1.0.0") + network + "provider \"democloud\" {\n  tenant = var.tenant\n}\nvariable \"tenant\" { default = \"one\" }\n" +
				"module \"m\" {\n  count = 2\n  source = \"../../modules/m\"\n  index = count.index\n}\n"
			w, cloud := newCloudWorld(t, e, m, map[string]string{"main.tf": stack,
				"modules/m/m.tf": required(">= 1.0.0") + "variable \"index\" {}\nresource \"democloud_network\" \"n\" {\n  name = \"n${var.index}\"\n  cidr = \"10.1.0.0/16\"\n}\n"})
			s := w.open()
			w.init(s)
			m.starts()
			if !w.plan(s).Changes {
				t.Fatal("no changes")
			}
			if _, err := s.Apply(t.Context()); err != nil {
				t.Fatalf("%v\n%s", err, w.out.String())
			}
			pids := m.starts()
			if len(pids) != 1 {
				t.Errorf("the provider was started %d times for plan, show and apply", len(pids))
			}
			if gone(pids) {
				t.Error("the provider was not kept")
			}
			if err := s.Close(); err != nil || !gone(pids) {
				t.Errorf("the provider survives its session: %v", err)
			}
			if got := names(t, cloud, "one"); got != "main n0 n1" {
				t.Errorf("created: %s", got)
			}
			// The next run of the instance has its own.
			w.deploy()
			if n := len(m.starts()); n != 1 {
				t.Errorf("the provider was started %d times in a second run", n)
			}
		})
	}
}

// names are the resources of a tenant.
func names(t testing.TB, cloud *democloud.Client, tenant string) string {
	t.Helper()
	c := *cloud
	c.Tenant = tenant
	all, err := c.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range all {
		out = append(out, r.Name)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// Two configurations of a provider are two tenants, regions or accounts. A kept process
// holds one, so it is not kept, however the second configuration comes about.
func TestTwoConfigurationsNeverMix(t *testing.T) {
	t.Parallel()
	e := engines(t)[0]
	resource := func(name, provider string) string {
		return fmt.Sprintf("resource \"democloud_network\" %q {\n  name = %q\n  cidr = \"10.0.0.0/16\"\n  %s\n}\n", name, name, provider)
	}
	one, two := "provider \"democloud\" {\n  tenant = \"one\"\n}\n", "provider \"democloud\" {\n  alias = \"two\"\n  tenant = \"two\"\n}\n"
	for name, files := range map[string]map[string]string{
		"an alias": {"main.tf": required("1.0.0") + one + two + resource("a", "") + resource("b", "provider = democloud.two")},
		"an alias for a module": {"main.tf": required("1.0.0") + one + two + resource("a", "") + "module \"m\" {\n  source = \"../../modules/m\"\n  providers = { democloud = democloud.two }\n}\n",
			"modules/m/m.tf": required("1.0.0") + resource("b", "")},
		"a module with its own": {"main.tf": required("1.0.0") + one + resource("a", "") + "module \"m\" { source = \"../../modules/m\" }\n",
			"modules/m/m.tf": required("1.0.0") + strings.Replace(two, "  alias = \"two\"\n", "", 1) + resource("b", "")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t, "1.0.0")
			w, cloud := newCloudWorld(t, e, m, files)
			s := w.open()
			w.init(s)
			m.starts()
			w.plan(s)
			if !gone(m.starts()) {
				t.Error("the provider is kept")
			}
			if _, err := s.Apply(t.Context()); err != nil {
				t.Fatalf("%v\n%s", err, w.out.String())
			}
			if a, b := names(t, cloud, "one"), names(t, cloud, "two"); a != "a" || b != "b" {
				t.Errorf("tenant one has %q, tenant two %q", a, b)
			}
		})
	}
}

func TestAChangedPackageIsRefused(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		t.Run(fmt.Sprintf("kept %v", keep), func(t *testing.T) {
			t.Parallel()
			e := engines(t)[0]
			m := newMirror(t, "1.0.0")
			w, cloud := newCloudWorld(t, e, m, map[string]string{"main.tf": required("1.0.0") + network})
			w.o.KeepProviders = keep
			w.init(w.open())
			m.starts()
			file := filepath.Join(m.packageDir(democloud.ProviderHosts[0], "1.0.0"), "terraform-provider-democloud_v1.0.0")
			script, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, append(script, "# changed\n"...), 0o755); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
			s := w.open()
			if !w.init(s) {
				t.Error("init is not skipped")
			}
			_, err = s.Plan(t.Context(), engine.PlanOptions{})
			assertInvalid(t, err)
			if n := len(m.starts()); n != 0 {
				t.Errorf("the changed provider was started %d times", n)
			}
			if got := names(t, cloud, "default"); got != "" {
				t.Errorf("created: %s", got)
			}
		})
	}
}

// A provider that cannot be handed over is left to the engine.
func TestAProviderThatDoesNotSpeakIsNotKept(t *testing.T) {
	t.Parallel()
	m := newMirror(t, "1.0.0")
	for _, host := range democloud.ProviderHosts {
		file := filepath.Join(m.packageDir(host, "1.0.0"), "terraform-provider-democloud_v1.0.0")
		script, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		// It speaks only with engines that offer TLS.
		script = bytes.Replace(script, []byte("\n"), []byte("\nif [ -z \"$PLUGIN_CLIENT_CERT\" ]; then echo nonsense; exit 1; fi\n"), 1)
		if err := os.WriteFile(file, script, 0o755); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	w, cloud := newCloudWorld(t, engines(t)[0], m, map[string]string{"main.tf": required("1.0.0") + network})
	w.deploy()
	if got := names(t, cloud, "default"); got != "main" {
		t.Errorf("created: %s", got)
	}
	if !strings.Contains(w.out.String(), "is started anew for each command") {
		t.Errorf("not said in the log:\n%s", w.out.String())
	}
}
