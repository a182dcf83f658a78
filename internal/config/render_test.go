package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
)

func TestRenderColor(t *testing.T) {
	t.Parallel()
	tree := files{"terrace.hcl": "project \"p\" {\n\tengine = \"äöü\" + 1 # 世界\n}\n"}
	_, diags := Load(tree, ".")
	out := Render(diags, tree, true)
	if !strings.Contains(out, "\x1b[1;31mError:\x1b[0m") || !strings.Contains(out, "\x1b[1;31m^^^^^") {
		t.Errorf("not coloured: %q", out)
	}
	if plain := Render(diags, tree, false); strings.Contains(plain, "\x1b") {
		t.Errorf("coloured although nobody asked: %q", plain)
	}
}

// TestRenderBounds: thousands of problems, files that vanished, places that are not
// in them.
func TestRenderBounds(t *testing.T) {
	t.Parallel()
	var diags hcl.Diagnostics
	for range 5000 {
		diags = append(diags, &hcl.Diagnostic{Severity: hcl.DiagError, Summary: "x", Subject: &hcl.Range{Filename: "gone", Start: hcl.Pos{Line: 99, Column: 99, Byte: 9999}, End: hcl.Pos{Line: 1}}})
	}
	out := Render(diags, files{}, false)
	if !strings.HasSuffix(out, "4900 more problems are not shown.\n") {
		t.Errorf("ends with %q", out[len(out)-80:])
	}
	Render(diags[:1], files{"gone": "a"}, false)
	Render(hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "nowhere"}}, files{}, false)
}

func TestProblems(t *testing.T) {
	t.Parallel()
	tree := files{"terrace.hcl": "project \"p\" {}\nenvironment \"dev\" {\n  bake = \"soon\"\n}\n"}
	_, diags := Load(tree, ".")
	got := Problems(diags)
	if len(got) != 1 || got[0].Severity != "error" || got[0].File != "terrace.hcl" || got[0].Line != 3 || got[0].Column != 10 || got[0].EndColumn != 16 || got[0].Summary == "" || got[0].Detail == "" {
		t.Errorf("got %+v", got)
	}
}

func TestFormat(t *testing.T) {
	t.Parallel()
	src := "project \"p\"   {\n engine=\"tofu\"\n    parallel = 3\n}\n\n\n"
	want := "project \"p\" {\n  engine   = \"tofu\"\n  parallel = 3\n}\n"
	if got := string(Format([]byte(src))); got != want {
		t.Errorf("got %q", got)
	}
	if got := string(Format([]byte(want))); got != want {
		t.Errorf("formatting twice changes it: %q", got)
	}
	broken := "project {{{"
	if got := string(Format([]byte(broken))); got != broken {
		t.Errorf("a broken file came back as %q", got)
	}
	diff := Diff("terrace.hcl", []byte(src), []byte(want))
	wantDiff := `--- terrace.hcl
+++ terrace.hcl
@@ -1,6 +1,4 @@
-project "p"   {
- engine="tofu"
-    parallel = 3
+project "p" {
+  engine   = "tofu"
+  parallel = 3
 }
-
-
`
	if diff != wantDiff {
		t.Errorf("diff:\n%s", diff)
	}
}

// TestReference keeps the documentation equal to the schema.
func TestReference(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]string{"configuration.md": Reference(), "guardrails.md": GuardrailsReference()} {
		name := filepath.Join("..", "..", "docs", "reference", file)
		if *update {
			if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("docs/reference/%s is not current; run: go test ./internal/config -run TestReference -update", file)
		}
	}
}
