package config

import (
	"strings"
	"testing"
)

// TestInit shows what terrace init writes. Its file always parses, is formatted, and
// holds except for variables that only a person can know.
func TestInit(t *testing.T) {
	golden(t, "init", func(t *testing.T, in files) string {
		text, found, err := Init(in, "my shop")
		if err != nil {
			t.Fatal(err)
		}
		if string(Format([]byte(text))) != text {
			t.Errorf("not formatted")
		}
		in[FileName] = text
		_, diags := Load(in, ".")
		for _, d := range diags {
			if !strings.HasPrefix(d.Summary, "No value for variable") && !(d.Severity != 1) {
				t.Errorf("the file has a problem:\n%s", Render(diags, in, false))
			}
		}
		out := text + "\n"
		for _, n := range found.Notes {
			out += "note: " + n + "\n"
		}
		return out
	})
}

func TestProjectName(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"shop": "shop", "my shop": "my-shop", "-x.": "x", "ü": "infrastructure", "": "infrastructure", strings.Repeat("a", 80): strings.Repeat("a", 63)} {
		if got := projectName(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}
