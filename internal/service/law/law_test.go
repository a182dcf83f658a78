package law

import (
	"io/fs"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

type tree map[string]string

func (f tree) ReadFile(name string) ([]byte, error) {
	if s, ok := f[name]; ok {
		return []byte(s), nil
	}
	return nil, fs.ErrNotExist
}

func (f tree) Files() ([]string, error) {
	var names []string
	for name := range f {
		names = append(names, name)
	}
	return names, nil
}

func rails(t *testing.T, text string) *config.Guardrails {
	t.Helper()
	f := tree{config.GuardrailsFile: text}
	g, diags := config.LoadGuardrails(f)
	if diags.HasErrors() {
		t.Fatal(config.Render(diags, f, false))
	}
	return g
}

func repository(t *testing.T, text string) *config.Config {
	t.Helper()
	f := tree{"terrace.hcl": text, "stacks/db/main.tf": ""}
	cfg, diags := config.Load(f, ".")
	if diags.HasErrors() {
		t.Fatal(config.Render(diags, f, false))
	}
	return cfg
}

const guarded = `
environment "prod*" {
  max_destroy = 2
  window {
    days = ["mon"]
  }
}
environment "*" {
  projects    = ["blog"]
  max_replace = 1
}
stack "d*" {
  environments = ["production"]
  stateful     = ["terraform_data.*"]
}
`

// Rule 28: whatever a release says of an environment and its stacks, the guardrails are
// sources of its law, before it, and say the same as without it.
func TestRule28_ARepositoryOnlyAddsToTheGuardrails(t *testing.T) {
	t.Parallel()
	g := rails(t, guarded)
	alone := Under(g, "shop", "production")
	if len(alone.Sources) != 2 || alone.Guardrails != g.Digest || alone.Rails != g {
		t.Fatalf("the guardrails alone: %+v", alone)
	}
	for name, text := range map[string]string{
		"says nothing":        "project \"shop\" {}\nenvironment \"production\" {}\n",
		"does not know them":  "project \"shop\" {}\nenvironment \"dev\" {}\n",
		"raises the limit":    "project \"shop\" {}\nenvironment \"production\" {\n  max_destroy = 1000\n}\n",
		"opens another day":   "project \"shop\" {}\nenvironment \"production\" {\n  window {\n    days = [\"tue\"]\n  }\n}\n",
		"protects nothing":    "project \"shop\" {}\nenvironment \"production\" {}\nstack \"db\" {\n  stateful = []\n}\n",
		"protects other ones": "project \"shop\" {}\nenvironment \"production\" {}\nstack \"db\" {\n  stateful = [\"x.y\"]\n}\n",
	} {
		l := Under(g, "shop", "production")
		l.Sources = append(l.Sources, Of(repository(t, text), "production", "terrace.hcl of release 1"))
		if diff := cmp.Diff(alone.Sources[0].Environment.MaxDestroy, l.Sources[0].Environment.MaxDestroy); diff != "" || *l.Sources[0].Environment.MaxDestroy != 2 {
			t.Errorf("%s: the limit: %s", name, diff)
		}
		if got := l.Protection("db"); len(got) == 0 || got[0].From != `the guardrails (stack "d*")` || !cmp.Equal(got[0].Stateful, []string{"terraform_data.*"}) {
			t.Errorf("%s: protection: %+v", name, got)
		}
		got := l.Windows()
		if len(got) == 0 || !got[0][0].Firm || !cmp.Equal(got[0][0].Days, []time.Weekday{time.Monday}) {
			t.Errorf("%s: windows: %+v", name, got)
		}
		for _, ws := range got[1:] {
			if ws[0].Firm {
				t.Errorf("%s: a repository's window is the guardrails'", name)
			}
		}
	}
}

func TestGuardrailsHoldWhereTheyMean(t *testing.T) {
	t.Parallel()
	g := rails(t, guarded)
	for _, c := range []struct {
		project, environment string
		sources              int
		protected            bool
	}{{"shop", "production", 2, true}, {"shop", "prod-eu", 1, false}, {"shop", "dev", 0, false}, {"blog", "dev", 1, false}, {"blog", "production", 3, true}} {
		l := Under(g, c.project, c.environment)
		if len(l.Sources) != c.sources || (len(l.Protection("db")) > 0) != c.protected || len(l.Protection("web")) > 0 {
			t.Errorf("%s of %s: %+v", c.environment, c.project, l.Sources)
		}
		for _, s := range l.Sources {
			if s.Environment.Name != c.environment || !s.Firm {
				t.Errorf("a source of %s: %+v", c.environment, s)
			}
		}
	}
	if l := Under(&config.Guardrails{}, "shop", "production"); len(l.Sources) != 0 || l.Guardrails != "" {
		t.Errorf("without guardrails: %+v", l)
	}
}

// A stack that no configuration has any more is protected as well.
func TestARemovedStackIsProtected(t *testing.T) {
	t.Parallel()
	l := Under(rails(t, guarded), "shop", "production")
	l.Sources = append(l.Sources, Of(repository(t, "project \"shop\" {}\nenvironment \"production\" {}\n"), "production", Entering(core.Release{Number: 2})))
	if len(l.Protection("deleted")) != 1 {
		t.Errorf("protection: %+v", l.Protection("deleted"))
	}
}
