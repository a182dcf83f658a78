package source

import (
	"maps"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

const imageConfig = defaultConfig + `
image "web" {
  command = ["scripts/image.sh", "web"]
  reads   = ["images/web", "images/common/*.sh"]
}

stack "web" {
  inputs = { image = image.web.id }
}
`

// What goes into an image changes its digest, and nothing else does.
func TestImageDigests(t *testing.T) {
	t.Parallel()
	base := map[string]string{
		"terrace.hcl": imageConfig, "stacks/web/main.tf": "variable \"image\" {}\n", "scripts/image.sh": asProgram + "echo 1\n", "scripts/other.sh": "x",
		"images/web/a": "1", "images/web/deep/b": "2", "images/web/roles": asLink + "../../roles", "roles/x/tasks.yml": "3", "images/common/c.sh": "4", "images/common/c.txt": "5",
	}
	r, s := newRepository(t), newSource(t, Options{})
	digest := func(change map[string]string) string {
		t.Helper()
		files := maps.Clone(base)
		maps.Copy(files, change)
		head := r.commit("main", "x", files)
		r.fetch(s, "main")
		all, err := s.Images(t.Context(), r.dir, head, ".")
		if err != nil {
			t.Fatal(err)
		}
		return all["web"].Digest
	}
	before := digest(nil)
	for name, files := range map[string]map[string]string{
		"a file":                 {"images/web/a": "one"},
		"a file below":           {"images/web/deep/b": "two"},
		"a new file":             {"images/web/new": ""},
		"a mode":                 {"images/web/a": asProgram + "1"},
		"a pattern":              {"images/common/c.sh": "four"},
		"the program":            {"scripts/image.sh": asProgram + "echo 2\n"},
		"the program's mode":     {"scripts/image.sh": "echo 1\n"},
		"behind a linked folder": {"roles/x/tasks.yml": "three"},
	} {
		if digest(files) == before {
			t.Errorf("%s changes nothing", name)
		}
	}
	for name, files := range map[string]map[string]string{
		"the stack": {"stacks/web/main.tf": "variable \"image\" {\n}\n"}, "what no pattern matches": {"images/common/c.txt": "five"}, "another script": {"scripts/other.sh": "y"},
	} {
		if digest(files) != before {
			t.Errorf("%s changes it", name)
		}
	}
}

// A symbolic link out of the repository is refused where an image reads it.
func TestImagesWithLinksThatLeave(t *testing.T) {
	t.Parallel()
	r, s := newRepository(t), newSource(t, Options{})
	head := r.commit("main", "x", map[string]string{"terrace.hcl": imageConfig, "stacks/web/main.tf": "variable \"image\" {}\n", "scripts/image.sh": "", "images/web/a": "",
		"images/common/c.sh": asLink + "/etc/passwd", "images/common/d.sh": ""})
	r.fetch(s, "main")
	cfg, diags, err := s.Config(t.Context(), r.dir, head, ".")
	if err != nil || cfg != nil || !diags.HasErrors() {
		t.Errorf("%v, %v", diags, err)
	}
	if _, err := s.Images(t.Context(), r.dir, head, "."); core.CodeOf(err) != core.Invalid {
		t.Errorf("the digest: %v", err)
	}
}
