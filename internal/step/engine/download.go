package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"github.com/hashicorp/go-version"
	"github.com/hashicorp/hc-install/product"
	"github.com/hashicorp/hc-install/releases"
	"github.com/opentofu/tofudl"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
)

// install downloads the newest release that fits, checks its signature and checksum, and
// keeps it in the cache. Of several runs that need it, one downloads.
func install(ctx context.Context, name string, wanted version.Constraints, o FindOptions) (Engine, error) {
	if o.Cache == "" {
		return Engine{}, errors.New("there is no folder to keep it in")
	}
	dir := filepath.Join(o.Cache, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Engine{}, err
	}
	unlock, _, err := process.Lock(ctx, filepath.Join(dir, ".lock"))
	if err != nil {
		return Engine{}, err
	}
	defer unlock()
	if e, ok := installed(name, wanted, o.Cache); ok {
		return e, nil // somebody was faster
	}
	temp, err := os.MkdirTemp(dir, ".new-")
	if err != nil {
		return Engine{}, err
	}
	defer func() { _ = os.RemoveAll(temp) }() // gone when all went well
	// Readable for all, as anything else that is installed.
	if err := os.Chmod(temp, 0o755); err != nil {
		return Engine{}, err
	}
	fetch := fetchTofu
	if name == Terraform {
		fetch = fetchTerraform
	}
	v, err := fetch(ctx, wanted, temp, o)
	if err != nil {
		return Engine{}, err
	}
	if err := os.Chmod(filepath.Join(temp, name), 0o755); err != nil {
		return Engine{}, err
	}
	final := filepath.Join(dir, v)
	if err := os.RemoveAll(final); err != nil { // what was there does not run
		return Engine{}, err
	}
	if err := os.Rename(temp, final); err != nil {
		return Engine{}, err
	}
	return Engine{Name: name, Path: filepath.Join(final, name), Version: v}, nil
}

// newest picks the newest version that fits; prereleases only when the constraint names one.
func newest(all []*version.Version, wanted version.Constraints) (*version.Version, error) {
	var best *version.Version
	for _, v := range all {
		if wanted == nil && v.Prerelease() != "" || wanted != nil && !wanted.Check(v) {
			continue
		}
		if best == nil || v.GreaterThan(best) {
			best = v
		}
	}
	if best == nil {
		return nil, core.Errorf(core.Invalid, "no release of it fits")
	}
	return best, nil
}

func fetchTofu(ctx context.Context, wanted version.Constraints, dir string, o FindOptions) (string, error) {
	// Its default client would change http.DefaultTransport for all of the program.
	opts := []tofudl.ConfigOpt{tofudl.ConfigHTTPClient(&http.Client{})}
	if o.TofuURL != "" {
		opts = append(opts, tofudl.ConfigAPIURL(o.TofuURL+"/api.json"),
			tofudl.ConfigDownloadMirrorURLTemplate(o.TofuURL+"/v{{ .Version }}/{{ .Artifact }}"))
	}
	if o.Key != "" {
		opts = append(opts, tofudl.ConfigGPGKey(o.Key))
	}
	downloader, err := tofudl.New(opts...)
	if err != nil {
		return "", err
	}
	listed, err := downloader.ListVersions(ctx)
	if err != nil {
		return "", fmt.Errorf("listing the releases of OpenTofu: %w", err)
	}
	byVersion := map[*version.Version]tofudl.VersionWithArtifacts{}
	var all []*version.Version
	for _, l := range listed {
		if v, err := version.NewVersion(string(l.ID)); err == nil {
			byVersion[v], all = l, append(all, v)
		}
	}
	v, err := newest(all, wanted)
	if err != nil {
		return "", err
	}
	binary, err := downloader.DownloadVersion(ctx, byVersion[v], tofudl.PlatformAuto, tofudl.ArchitectureAuto)
	if err != nil {
		return "", fmt.Errorf("OpenTofu %s: %w", v, err)
	}
	return v.String(), os.WriteFile(filepath.Join(dir, Tofu), binary, 0o755)
}

func fetchTerraform(ctx context.Context, wanted version.Constraints, dir string, o FindOptions) (string, error) {
	list := releases.Versions{Product: product.Terraform, Constraints: wanted, ApiBaseURL: o.TerraformURL,
		Install: releases.InstallationOptions{Dir: dir, ArmoredPublicKey: o.Key}}
	sources, err := list.List(ctx)
	if err != nil {
		return "", fmt.Errorf("listing the releases of Terraform: %w", err)
	}
	byVersion := map[*version.Version]*releases.ExactVersion{}
	var all []*version.Version
	for _, s := range sources {
		if exact, ok := s.(*releases.ExactVersion); ok {
			byVersion[exact.Version], all = exact, append(all, exact.Version)
		}
	}
	v, err := newest(all, wanted)
	if err != nil {
		return "", err
	}
	if _, err := byVersion[v].Install(ctx); err != nil {
		return "", fmt.Errorf("Terraform %s: %w", v, err)
	}
	return v.String(), nil
}
