package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/terrace-cd/terrace/internal/demo/democloud"
)

// CloudOptions of a cloud without the rest of the demo.
type CloudOptions struct {
	Cloud        democloud.Options
	Exe          string
	ProviderArgs []string
	Stdout       io.Writer
}

// RunCloud runs a cloud by itself until ctx ends, with the mirror of its provider
// beside it, for whoever wants to set the rest up by hand.
func RunCloud(ctx context.Context, o CloudOptions) (err error) {
	dir, err := filepath.Abs(o.Cloud.Dir)
	if err != nil {
		return err
	}
	mirror := filepath.Join(dir, "providers")
	o.Cloud.Dir = filepath.Join(dir, "cloud")
	cloud, err := democloud.New(o.Cloud)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cloud.Close()) }()
	if err := democloud.WriteMirror(mirror, o.Exe, o.ProviderArgs); err != nil {
		return err
	}
	if err := cloud.Start(); err != nil {
		return err
	}
	_, err = fmt.Fprintf(o.Stdout, `The cloud is at %s
Its provider    terrace server --provider-mirror %s
or, by hand     provider_installation { filesystem_mirror { path = %q } } in the file that TF_CLI_CONFIG_FILE names
`, cloud.URL(), mirror, mirror)
	if err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}
