// Command download-tofu writes the OpenTofu program of a release to a file, after
// checking the release's signature and checksum. scripts/deps runs it before it turns
// to building the engine from source, so it gives up within seconds when the release
// servers cannot be reached.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/opentofu/tofudl"
)

// release names what to fetch and from where; empty sources are OpenTofu's own.
type release struct {
	version string
	api     string // URL of the list of versions
	mirror  string // URL template of artifacts
	key     string // armoured public key that signed them
	// probe bounds the first request, which shows whether the servers can be reached.
	probe time.Duration
}

func main() {
	r := release{probe: 8 * time.Second}
	out := flag.String("out", "", "file to write")
	flag.StringVar(&r.version, "version", "", "release, for example 1.12.6")
	flag.StringVar(&r.api, "api", os.Getenv("TOFU_RELEASES_API"), "list of versions (TOFU_RELEASES_API; default: OpenTofu's)")
	flag.StringVar(&r.mirror, "mirror", os.Getenv("TOFU_RELEASES_MIRROR"), "artifacts, a URL with {{ .Version }} and {{ .Artifact }} (TOFU_RELEASES_MIRROR; default: OpenTofu's)")
	flag.Parse()
	if err := run(context.Background(), r, *out); err != nil {
		fmt.Fprintln(os.Stderr, "download-tofu:", err)
		os.Exit(1)
	}
}

// run downloads r and moves it to out, which is complete or absent.
func run(ctx context.Context, r release, out string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	program, err := r.download(ctx)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(out), ".tofu-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when the rename succeeded
	_, err = f.Write(program)
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Chmod(f.Name(), 0o755); err != nil { //nolint:gosec // a program, for everybody to run
		return err
	}
	return os.Rename(f.Name(), out)
}

func (r release) download(ctx context.Context) ([]byte, error) {
	downloader, err := tofudl.New(
		tofudl.ConfigAPIURL(r.api), tofudl.ConfigDownloadMirrorURLTemplate(r.mirror), tofudl.ConfigGPGKey(r.key),
		tofudl.ConfigHTTPClient(&http.Client{Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			TLSHandshakeTimeout:   5 * time.Second,
			ResponseHeaderTimeout: 10 * time.Second,
		}}))
	if err != nil {
		return nil, err
	}
	probe, cancel := context.WithTimeout(ctx, r.probe)
	defer cancel()
	versions, err := downloader.ListVersions(probe)
	if err != nil {
		return nil, fmt.Errorf("the list of releases cannot be read: %w", err)
	}
	for _, v := range versions {
		if string(v.ID) == r.version {
			return downloader.DownloadVersion(ctx, v, tofudl.PlatformAuto, tofudl.ArchitectureAuto)
		}
	}
	return nil, fmt.Errorf("there is no OpenTofu release %q", r.version)
}
