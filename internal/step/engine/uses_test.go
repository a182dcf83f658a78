package engine_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/testkit"
	"github.com/terrace-cd/terrace/internal/wire"
)

// What a plan is going to use is known after init, with what modules bring and what only
// the state needs, and before any of it was executed.
func TestUses(t *testing.T) {
	remote := testkit.Git(t)
	remote.Write("main.tf", required(">= 1.0.0")+"module \"deep\" { source = \"./deep\" }\n")
	remote.Write("deep/main.tf", "module \"again\" { source = \"../again\" }\n")
	remote.Write("again/main.tf", "resource \"terraform_data\" \"x\" {}\n")
	commit := remote.Commit("A module")
	remote.Push()
	source := "git::file://" + remote.Remote + "?ref=" + commit

	for _, e := range engines(t) {
		t.Run(e.Name, func(t *testing.T) {
			m := newMirror(t, "1.0.0")
			w, _ := newCloudWorld(t, e, m, map[string]string{
				"main.tf":              "module \"local\" { source = \"../../modules/local\" }\nresource \"terraform_data\" \"a\" {}\n",
				"modules/local/all.tf": required("1.0.0") + "module \"net\" { source = \"" + source + "\" }\n",
			})
			look := func() wire.Uses {
				s := w.open()
				w.init(s)
				got, err := s.Uses()
				if err != nil {
					t.Fatal(err)
				}
				return got
			}
			host := democloud.ProviderHosts[0]
			if e.Name == "terraform" {
				host = democloud.ProviderHosts[1]
			}
			provider := wire.UsedProvider{Address: host + "/" + democloud.ProviderSource, Version: "1.0.0", Where: []string{"module.local", "module.local.module.net"}}
			want := wire.Uses{Engine: e.Name, Version: e.Version, Providers: []wire.UsedProvider{provider},
				Modules: []wire.UsedModule{{Where: "module.local.module.net", Source: source}}}
			if diff := cmp.Diff(want, look()); diff != "" {
				t.Error(diff)
			}
			if starts := m.starts(); len(starts) != 0 {
				t.Errorf("the provider was started %d times to find that out", len(starts))
			}
			w.write(map[string]string{"modules/local/all.tf": ""})
			if diff := cmp.Diff(wire.Uses{Engine: e.Name, Version: e.Version}, look()); diff != "" {
				t.Error(diff)
			}

			// A provider that only the state needs.
			w.write(map[string]string{"main.tf": required("1.0.0") + network})
			w.deploy()
			w.write(map[string]string{"main.tf": "resource \"terraform_data\" \"a\" {}\n"})
			provider.Where = nil
			if diff := cmp.Diff(wire.Uses{Engine: e.Name, Version: e.Version, Providers: []wire.UsedProvider{provider}}, look()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
