package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Tofu returns the OpenTofu program: TERRACE_TEST_TOFU, else the one on PATH, else the
// newest in the cache folder that scripts/deps fills.
func Tofu(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("TERRACE_TEST_TOFU"); path != "" {
		return path
	}
	if path, err := exec.LookPath("tofu"); err == nil {
		return path
	}
	if cache, err := os.UserCacheDir(); err == nil {
		found, err := filepath.Glob(filepath.Join(cache, "terrace", "tofu", "*", "tofu"))
		if err == nil && len(found) > 0 {
			slices.Sort(found)
			return found[len(found)-1]
		}
	}
	t.Fatal("OpenTofu is not installed; run: scripts/deps test")
	return ""
}

// Terraform returns the Terraform program where the machine has one. It is the one
// component that no script may install; tests use it in addition to OpenTofu.
func Terraform(t testing.TB) (path string, ok bool) {
	t.Helper()
	path, err := exec.LookPath("terraform")
	return path, err == nil
}

// EngineEnv is a minimal environment for an engine with a home folder of its own:
// nothing of the machine's settings for engines (TF_…) gets in.
func EngineEnv(t testing.TB, extra ...string) []string {
	t.Helper()
	home := t.TempDir()
	return append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home,
		"CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0",
	}, extra...)
}

// WithoutEngineSettings is the test's own environment without TF_….
func WithoutEngineSettings() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TF_") })
}
