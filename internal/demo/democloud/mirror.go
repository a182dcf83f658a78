package democloud

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
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
		folder := filepath.Join(dir, host, ProviderSource, ProviderVersion, runtime.GOOS+"_"+runtime.GOARCH)
		path := filepath.Join(folder, "terraform-provider-democloud_v"+ProviderVersion)
		if err := writeFile(path, []byte(script)); err != nil {
			return err
		}
		if err := os.Chmod(path, 0o755); err != nil {
			return err
		}
	}
	return nil
}
