package democloud_test

import (
	"strings"
	"testing"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/democloudtest"
)

// A server that is made from an image serves the image's files from its first moment, whoever
// it belongs to.
func TestImages(t *testing.T) {
	t.Parallel()
	_, dev := democloudtest.Start(t, democloud.Options{})
	image := create(t, dev, democloud.Image, "web", democloud.Spec{Files: map[string]string{"index.html": "hello\n", "deep/healthz": "ok\n"}})
	if !strings.HasPrefix(image.ID, "img-") || image.State != democloud.Ready {
		t.Fatalf("made %+v", image)
	}
	server := create(t, dev, democloud.Server, "web-1", democloud.Spec{Image: image.ID})
	for path, want := range map[string]string{"/": "hello\n", "/deep/healthz": "ok\n"} {
		if _, _, got := fetch(t, server.URL+path); got != want {
			t.Errorf("GET %s: %q", path, got)
		}
	}
	for what, spec := range map[string]democloud.Spec{"nothing in it": {}, "out of it": {Files: map[string]string{"../x": ""}}, "absolute": {Files: map[string]string{"/x": ""}}} {
		if _, err := dev.Create(t.Context(), democloud.Image, "bad", spec, nil); core.CodeOf(err) != core.Invalid {
			t.Errorf("an image with %s: %v", what, err)
		}
	}
	if _, err := dev.Create(t.Context(), democloud.Server, "web-2", democloud.Spec{Image: "img-0000000000"}, nil); core.CodeOf(err) != core.Invalid {
		t.Errorf("a server from an image that is not there: %v", err)
	}
	if err := dev.Delete(t.Context(), democloud.Image, image.ID); core.CodeOf(err) != core.Conflict {
		t.Errorf("deleting an image in use: %v", err)
	}
}
