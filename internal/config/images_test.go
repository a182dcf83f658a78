package config

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
)

func TestImages(t *testing.T) {
	t.Parallel()
	in, err := parseArchive("good-images")
	if err != nil {
		t.Fatal(err)
	}
	cfg, diags := Load(in, ".")
	if diags.HasErrors() {
		t.Fatal(Render(diags, in, false))
	}
	web := cfg.Image("web")
	if web == nil || web.Program != "scripts/image.sh" || !slices.Equal(web.Reads, []string{"images/web", "images/common/**/*.sh"}) ||
		!maps.Equal(web.Variables, map[string]string{"BASE": "debian-12", "SIZE": "10", "NAMES": "a,b"}) || web.Environment != "eu" || web.Within.Minutes() != 30 {
		t.Errorf("the image is %+v", web)
	}
	if used := cfg.Instances("production")[0].Images; !slices.Equal(used, []string{"web"}) {
		t.Errorf("web uses %v", used)
	}

	for name, scope := range map[string]Scope{"none": {}, "another": {Image: func(string) (string, bool) { return "", false }}} {
		if _, err := cfg.Inputs("web", "eu", scope); core.CodeOf(err) != core.Conflict || !strings.Contains(err.Error(), "web@eu needs the image web, which is not built yet") {
			t.Errorf("inputs with %s: %v", name, err)
		}
		if _, err := cfg.After("web", "eu", scope, Own{}); core.CodeOf(err) != core.Conflict {
			t.Errorf("what follows the apply with %s: %v", name, err)
		}
	}
	scope := Scope{Image: func(name string) (string, bool) { return "ami-" + name, true }}
	inputs, err := cfg.Inputs("web", "eu", scope)
	if err != nil || string(inputs.Variables["image"]) != `"ami-web"` {
		t.Errorf("inputs %s, %v", inputs.Variables, err)
	}
	after, err := cfg.After("web", "eu", scope, Own{})
	if err != nil || !slices.Equal(after.Verify[0].Command, []string{"test", "ami-web"}) {
		t.Errorf("verifies %v, %v", after.Verify, err)
	}

	box, err := cfg.InSandbox(core.Sandbox{Name: "box", Of: "shop", Base: "eu", Stacks: []string{"web"}})
	if err != nil || box.Image("web") == nil {
		t.Errorf("in a sandbox: %v", err)
	}
}
