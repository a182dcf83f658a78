package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opentofu/tofudl/mockmirror"
)

// A mirror of signed releases on loopback; its only release is 1.0.0.
func signed(t *testing.T, program string) release {
	t.Helper()
	m := mockmirror.NewFromBinary(t, []byte(program))
	return release{version: "1.0.0", api: m.APIURL(), mirror: m.DownloadMirrorURLTemplate(), key: m.GPGKey(), probe: 5 * time.Second}
}

func TestDownloadsASignedRelease(t *testing.T) {
	out := filepath.Join(t.TempDir(), "tofu")
	if err := run(t.Context(), signed(t, "the program"), out); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(out)
	if err != nil || !bytes.Equal(data, []byte("the program")) {
		t.Errorf("wrote %q, %v", data, err)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o755 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestRefusesWhatItCannotTrustOrFind(t *testing.T) {
	stranger := signed(t, "a stranger's program")
	stranger.key = signed(t, "x").key
	missing := signed(t, "x")
	missing.version = "9.9.9"
	for name, tc := range map[string]struct {
		release release
		want    string
	}{
		"foreign signature": {stranger, "signature"},
		"no such release":   {missing, `no OpenTofu release "9.9.9"`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			err := run(t.Context(), tc.release, filepath.Join(dir, "tofu"))
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q in it", err, tc.want)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left %s behind", left[0].Name())
			}
		})
	}
}

// A server that accepts and says nothing must not keep anybody waiting.
func TestGivesUpOnASilentServer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	r := release{version: "1.0.0", api: "http://" + silent.Addr().String() + "/api.json", probe: 50 * time.Millisecond}
	if err := run(t.Context(), r, filepath.Join(t.TempDir(), "tofu")); err == nil {
		t.Error("downloaded something from a server that never answers")
	}
}
