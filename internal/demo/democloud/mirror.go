package democloud

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/mod/sumdb/dirhash"
)

// What the provider is called. Engines look for it on their own registry's host, so
// the mirror has it under both.
const (
	ProviderVersion = "1.0.0"
	ProviderSource  = "terrace-cd/democloud"
)

// ProviderHosts are the hosts that OpenTofu and Terraform put before ProviderSource.
var ProviderHosts = []string{"registry.opentofu.org", "registry.terraform.io"}

// WriteMirror writes a filesystem mirror in dir from which engines install the
// provider, so that no registry is needed. The provider is a script that becomes exe
// with args: small to hash and copy. exe has to be an absolute path and to run
// provider.Serve.
func WriteMirror(dir, exe string, args []string) error {
	if !filepath.IsAbs(exe) {
		return fmt.Errorf("the provider's program %q is not an absolute path", exe)
	}
	var command strings.Builder
	for _, word := range append([]string{exe}, args...) {
		command.WriteString(" '" + strings.ReplaceAll(word, "'", `'\''`) + "'")
	}
	script := "#!/bin/sh\nexec" + command.String() + "\n"
	for _, host := range ProviderHosts {
		path := filepath.Join(packageDir(dir, host), "terraform-provider-democloud_v"+ProviderVersion)
		if err := writeFile(path, []byte(script)); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// LockFile returns the .terraform.lock.hcl that init would write in a root module that
// takes version 1.0.0 of the provider, and no other provider, from this mirror.
func LockFile(dir, host string) (string, error) {
	hash, err := dirhash.HashDir(packageDir(dir, host), "", dirhash.Hash1)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf(`# This file is maintained automatically by "init".
# Manual edits may be lost in future updates.

provider "%s/%s" {
  version     = "%s"
  constraints = "%s"
  hashes = [
    "%s",
  ]
}
`, host, ProviderSource, ProviderVersion, ProviderVersion, hash), nil
}

func packageDir(dir, host string) string {
	return filepath.Join(dir, host, ProviderSource, ProviderVersion, runtime.GOOS+"_"+runtime.GOARCH)
}
