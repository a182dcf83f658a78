package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

const (
	providerModule  = "github.com/hashicorp/terraform-provider-time"
	providerVersion = "0.14.2"
)

// world is what all measurements share: a folder, the program, an engine, and a mirror
// with an ordinary provider, so that neither side downloads anything.
type world struct {
	dir     string
	binary  string
	engine  string // the tofu program
	version string
	mirror  string
	rc      string // configuration of engines on the raw side
	log     io.Writer
	kept    *server // of (a), looked at again by (e)
}

func newWorld(ctx context.Context, binary string, log io.Writer) (*world, error) {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("there is no program to measure: run make build (%w)", err)
	}
	engine, err := findEngine()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "terrace-bench-")
	if err != nil {
		return nil, err
	}
	w := &world{dir: dir, binary: binary, engine: engine, log: log}
	if w.mirror, err = providerMirror(ctx, log); err != nil {
		return nil, errors.Join(err, w.close())
	}
	w.rc = filepath.Join(dir, "tofurc")
	rc := fmt.Sprintf("provider_installation {\n  filesystem_mirror {\n    path = %q\n  }\n}\n", w.mirror)
	if err := os.WriteFile(w.rc, []byte(rc), 0o600); err != nil {
		return nil, errors.Join(err, w.close())
	}
	cmd := exec.CommandContext(ctx, engine, "version")
	cmd.Env = w.environment("")
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s version: %w", engine, err), w.close())
	}
	first, _, _ := strings.Cut(string(out), "\n")
	w.version = strings.TrimPrefix(first, "OpenTofu v")
	return w, nil
}

func (w *world) close() error {
	if w.kept != nil {
		w.kept.stop()
	}
	return os.RemoveAll(w.dir)
}

func (w *world) sayf(format string, args ...any) { _, _ = fmt.Fprintf(w.log, format+"\n", args...) }

// environment of raw commands and servers: path first, nothing of the machine's
// settings for engines.
func (w *world) environment(path string, extra ...string) []string {
	all := os.Getenv("PATH")
	if path != "" {
		all = path + string(os.PathListSeparator) + all
	}
	return append([]string{"PATH=" + all, "HOME=" + w.dir, "LC_ALL=C", "CHECKPOINT_DISABLE=1"}, extra...)
}

func findEngine() (string, error) {
	if path, err := exec.LookPath("tofu"); err == nil {
		return path, nil
	}
	if cache, err := os.UserCacheDir(); err == nil {
		found, err := filepath.Glob(filepath.Join(cache, "terrace", "tofu", "*", "tofu"))
		if err == nil && len(found) > 0 {
			return slices.Max(found), nil
		}
	}
	return "", errors.New("OpenTofu is not installed; run: scripts/deps")
}

// providerMirror builds the provider once and keeps it, in a filesystem mirror, in the
// user's cache folder.
func providerMirror(ctx context.Context, log io.Writer) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	mirror := filepath.Join(cache, "terrace", "bench", "time-"+providerVersion)
	dir := filepath.Join(mirror, "registry.opentofu.org", "hashicorp", "time", providerVersion, runtime.GOOS+"_"+runtime.GOARCH)
	program := filepath.Join(dir, "terraform-provider-time_v"+providerVersion)
	if _, err := os.Stat(program); err == nil {
		return mirror, nil
	}
	_, _ = fmt.Fprintln(log, "building the provider hashicorp/time (a minute; only this once)")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	bin, err := os.MkdirTemp(mirror, ".build-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(bin) }()
	cmd := exec.CommandContext(ctx, "go", "install", "-ldflags=-s -w", providerModule+"@v"+providerVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+bin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", providerModule, err, out)
	}
	return mirror, os.Rename(filepath.Join(bin, "terraform-provider-time"), program)
}

// stack is the root module that both sides apply. Another value of v changes it.
const stack = `terraform {
  required_providers {
    time = {
      source  = "hashicorp/time"
      version = "` + providerVersion + `"
    }
  }
}

variable "v" {
  type = string
}

resource "time_static" "this" {
  triggers = { v = var.v }
}

output "v" {
  value = time_static.this.triggers.v
}
`

// command runs a program to its end in dir.
func command(ctx context.Context, dir string, env []string, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return nil
}

// write writes files below dir.
func write(dir string, files map[string]string) error {
	for name, content := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}
