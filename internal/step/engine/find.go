package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/go-version"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
)

// Names of the engines.
const (
	Tofu      = "tofu"
	Terraform = "terraform"
)

// FindOptions say where engines are looked for.
type FindOptions struct {
	// Path is a list of directories, as in PATH.
	Path string
	// Cache holds installed engines as NAME/VERSION/NAME, and remembers versions.
	Cache string
	// TofuURL and TerraformURL are where releases are listed and downloaded; empty: the
	// official ones. Key is the armored public key that signs them, if not the official one.
	TofuURL, TerraformURL, Key string
}

// Find returns an engine that satisfies a version constraint ("~> 1.12", "" for any):
// from Path, from Cache, or downloaded, verified and kept in Cache. Errors: Invalid for a
// name or constraint that cannot be, Unavailable when there is none.
func Find(ctx context.Context, name, constraint string, o FindOptions) (Engine, error) {
	if name != Tofu && name != Terraform {
		return Engine{}, core.Errorf(core.Invalid, "there is no engine %q; engines are %q and %q", name, Tofu, Terraform)
	}
	var wanted version.Constraints
	if constraint != "" {
		var err error
		if wanted, err = version.NewConstraint(constraint); err != nil {
			return Engine{}, core.Errorf(core.Invalid, "engine_version %q is not a version constraint such as \"~> 1.12\"", constraint)
		}
	}
	var seen []string
	memory := remembered(o.Cache)
	for _, dir := range filepath.SplitList(o.Path) {
		file := filepath.Join(dir, name)
		if !filepath.IsAbs(dir) || !executable(file) {
			continue
		}
		v, err := memory.version(ctx, file)
		if err != nil {
			seen = append(seen, fmt.Sprintf("%s (%v)", file, err))
			continue
		}
		if fits(wanted, v) {
			return Engine{Name: name, Path: file, Version: v}, nil
		}
		seen = append(seen, fmt.Sprintf("%s (%s)", file, v))
	}
	if e, ok := installed(name, wanted, o.Cache); ok {
		return e, nil
	}
	e, err := install(ctx, name, wanted, o)
	if err != nil {
		what := name
		if constraint != "" {
			what += " " + constraint
		}
		found := "there is none on PATH"
		if len(seen) > 0 {
			found = "on PATH there is " + strings.Join(seen, ", ")
		}
		return Engine{}, core.Errorf(core.Unavailable, "%s is not installed on the machine of the runner (%s), and could not be downloaded: %w. Install it there, or let the machine reach its releases", what, found, err)
	}
	return e, nil
}

// fits reports whether a version satisfies a constraint. A build that calls itself
// 1.12.6-dev counts as 1.12.6.
func fits(wanted version.Constraints, v string) bool {
	parsed, err := version.NewVersion(v)
	if err != nil {
		return false
	}
	if parsed.Prerelease() == "dev" {
		parsed = parsed.Core()
	}
	return wanted == nil || wanted.Check(parsed)
}

// installed returns the newest engine in the cache that fits.
func installed(name string, wanted version.Constraints, cache string) (Engine, bool) {
	entries, err := os.ReadDir(filepath.Join(cache, name))
	if err != nil {
		return Engine{}, false // nothing was ever installed
	}
	var all []*version.Version
	for _, e := range entries {
		v, err := version.NewVersion(e.Name())
		if err == nil && fits(wanted, e.Name()) && (wanted != nil || v.Prerelease() == "") && executable(filepath.Join(cache, name, e.Name(), name)) {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return Engine{}, false
	}
	newest := slices.MaxFunc(all, (*version.Version).Compare)
	return Engine{Name: name, Path: filepath.Join(cache, name, newest.Original(), name), Version: newest.Original()}, true
}

func executable(file string) bool {
	info, err := os.Stat(file)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// memory remembers the versions of binaries, which are slow to ask, by what the file
// system says of them.
type memory struct {
	file string
	seen map[string]binary
}

type binary struct {
	Size    int64     `json:"size"`
	Time    time.Time `json:"time"`
	Version string    `json:"version"`
}

func remembered(cache string) *memory {
	m := &memory{file: filepath.Join(cache, "versions.json"), seen: map[string]binary{}}
	data, err := os.ReadFile(m.file)
	if err == nil {
		err = json.Unmarshal(data, &m.seen)
	}
	if err != nil {
		m.seen = map[string]binary{} // it is only a memory
	}
	return m
}

func (m *memory) version(ctx context.Context, file string) (string, error) {
	file, err := filepath.EvalSymlinks(file)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", err
	}
	if b, ok := m.seen[file]; ok && b.Size == info.Size() && b.Time.Equal(info.ModTime()) {
		return b.Version, nil
	}
	v, err := askVersion(ctx, file)
	if err == nil {
		m.seen[file] = binary{info.Size(), info.ModTime(), v}
		m.save()
	}
	return v, err
}

// save may fail: then the version is asked again the next time.
func (m *memory) save() {
	data, err := json.Marshal(m.seen)
	if err != nil {
		return
	}
	if err := os.MkdirAll(filepath.Dir(m.file), 0o755); err == nil {
		_ = writeAtomically(m.file, data, 0o644)
	}
}

func askVersion(ctx context.Context, file string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	dir, err := os.MkdirTemp("", "terrace-version-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is empty
	var out bytes.Buffer
	err = process.Run(ctx, process.Command{Args: []string{file, "version", "-json"}, Dir: dir, Stdout: &out, Grace: -1,
		Env: []string{"HOME=" + dir, "TMPDIR=" + dir, "CHECKPOINT_DISABLE=1"}})
	var said struct {
		Version string `json:"terraform_version"`
	}
	if err == nil {
		err = json.Unmarshal(out.Bytes(), &said)
	}
	if err == nil && said.Version == "" {
		err = errors.New("it does not tell its version")
	}
	return said.Version, err
}

// writeAtomically replaces a file as a whole.
func writeAtomically(file string, data []byte, mode fs.FileMode) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(mode), f.Close()); err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

// OnPath returns the path of an engine that is installed. Errors: Invalid, NotFound.
func OnPath(name string) (string, error) {
	if name != Tofu && name != Terraform {
		return "", core.Errorf(core.Invalid, "there is no engine %q; engines are %q and %q", name, Tofu, Terraform)
	}
	path, err := process.Lookup(os.Environ(), name)
	if err != nil {
		return "", core.Errorf(core.NotFound, "%s is not installed on this machine, or not on PATH", name)
	}
	return path, nil
}
