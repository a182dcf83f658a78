// Package democloudtest starts democlouds for tests, and makes a test's own binary
// the provider that engines find in a mirror, so that nothing has to be built first.
package democloudtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
	"github.com/terrace-cd/terrace/internal/demo/democloud/provider"
)

const providerArgument = "democloud-provider"

// Main belongs first into a package's TestMain: when the engine started the test's
// binary as the provider, it serves it and never returns. Mirror needs it. A binary
// that was started for anything else than its tests ends, lest tests start themselves
// for ever.
func Main() {
	if len(os.Args) < 2 || strings.HasPrefix(os.Args[1], "-") {
		return
	}
	if len(os.Args) != 2 || os.Args[1] != providerArgument {
		fmt.Fprintf(os.Stderr, "this test binary is a provider with the argument %s only, not with %q\n", providerArgument, os.Args[1:])
		os.Exit(2)
	}
	if err := provider.Serve(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Mirror writes a provider mirror that starts this test's binary.
func Mirror(t testing.TB) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A race-detecting binary takes a second to end unless it is told not to.
	env, err := exec.LookPath("env")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := democloud.WriteMirror(dir, env, []string{"GORACE=atexit_sleep_ms=0", exe, providerArgument}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Start runs a cloud until the test ends. It keeps its folder in a temporary one when
// opts names none, and its load balancers look at their servers 50 times a second
// unless opts says otherwise. The client may see all tenants.
func Start(t testing.TB, opts democloud.Options) (*democloud.Cloud, *democloud.Client) {
	t.Helper()
	if opts.Dir == "" {
		opts.Dir = t.TempDir()
	}
	if opts.HealthEvery == 0 {
		opts.HealthEvery = 20 * time.Millisecond
	}
	cloud, err := democloud.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cloud.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := cloud.Start(); err != nil {
		t.Fatal(err)
	}
	return cloud, &democloud.Client{URL: cloud.URL()}
}
