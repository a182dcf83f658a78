package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/process"
)

// The store of a machine has two folders: packages, in the layout of a filesystem mirror,
// and sums, with the hash of each package under a name made of its path. A package
// is complete when it appears, and never changes after that.
func (s *Session) packages() string { return filepath.Join(s.o.Store, "packages") }

func (s *Session) sumFile(a address, version string) string {
	return filepath.Join(s.o.Store, "sums", strings.ReplaceAll(a.path(version), string(filepath.Separator), "+"))
}

// sources says where each provider of the run comes from.
type sources struct {
	stored  []address // the store has what the lock or the code asks for
	mirror  []address // a mirror has it
	missing []string  // to be fetched, with versions
}

// sources decides where providers come from: the store when it has exactly what the
// lock file allows, then the mirrors, then the registries.
func (s *Session) sources(lock []byte) sources {
	wanted := map[address]locked{}
	for a := range s.config.providers() {
		wanted[a] = locked{}
	}
	maps.Copy(wanted, readLock(lock))
	constraints := s.config.providers()
	var out sources
	for _, a := range slices.Sorted(maps.Keys(wanted)) {
		l := wanted[a]
		asked := constraints[a]
		if l.version != "" {
			asked = []string{"= " + l.version}
		}
		switch {
		case s.mirrored(a, asked):
			out.mirror = append(out.mirror, a)
		case s.stored(a, l, asked):
			out.stored = append(out.stored, a)
		default:
			out.missing = append(out.missing, fmt.Sprint(a, " ", cmp.Or(l.version, strings.Join(asked, ", ")), " ", l.hashes))
		}
	}
	return out
}

func (s *Session) mirrored(a address, asked []string) bool {
	return slices.ContainsFunc(s.o.Mirrors, func(m string) bool { return offered(m, a, asked) != "" })
}

func (s *Session) stored(a address, l locked, asked []string) bool {
	if s.o.Store == "" {
		return false
	}
	v := offered(s.packages(), a, asked)
	if v == "" || l.version == "" {
		return v != ""
	}
	sum, err := os.ReadFile(s.sumFile(a, v))
	if err != nil {
		return false
	}
	// The engine checks the package itself; this is to not send it to one that it refuses.
	allowed, _ := l.has(string(sum))
	return allowed
}

// writeConfig writes the engine's own configuration. Registries are asked only for what
// is neither in a mirror nor in the store.
func (s *Session) writeConfig(from sources) error {
	var b strings.Builder
	b.WriteString("disable_checkpoint = true\nprovider_installation {\n")
	for _, m := range s.o.Mirrors {
		fmt.Fprintf(&b, "  filesystem_mirror {\n    path = %s\n  }\n", quote(m))
	}
	if len(from.stored) > 0 {
		fmt.Fprintf(&b, "  filesystem_mirror {\n    path = %s\n    include = %s\n  }\n", quote(s.packages()), list(from.stored))
	}
	fmt.Fprintf(&b, "  direct {\n    exclude = %s\n  }\n}\n", list(slices.Concat(from.stored, from.mirror)))
	if r := s.o.Registry; r != nil {
		fmt.Fprintf(&b, "host %s {\n  services = {\n    \"modules.v1\" = %s\n  }\n}\n", quote(r.Host), quote(r.URL))
	}
	return os.WriteFile(s.cliFile, []byte(b.String()), 0o600)
}

func quote(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(strconv.Quote(s))
}

func list(as []address) string {
	var quoted []string
	for _, a := range as {
		quoted = append(quoted, quote(string(a)))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// lockStore keeps other runs from fetching the same.
func (s *Session) lockStore(ctx context.Context, missing []string) (unlock func(), waited bool, err error) {
	dir := filepath.Join(s.o.Store, "locks")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, false, core.Errorf(core.Unavailable, "the provider store cannot be written: %w", err)
	}
	unlock, waited, err = process.Lock(ctx, filepath.Join(dir, digest([]byte(strings.Join(missing, "\n")))[:16]))
	if err != nil && ctx.Err() == nil {
		err = core.Errorf(core.Unavailable, "the provider store cannot be locked: %w", err)
	}
	return unlock, waited, err
}

// fill moves packages that init fetched, or unpacked, into the store, and leaves links to
// them. Packages that are links already come from a mirror or from the store.
func (s *Session) fill(lock []byte) error {
	for a, l := range readLock(lock) {
		dir := filepath.Join(s.o.Dir, dataDir, "providers", a.path(l.version))
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			continue // a link, or not used on this platform
		}
		if err := s.adopt(a, l, dir); err != nil {
			return core.Errorf(core.Unavailable, "the provider %s %s could not be put into the store: %w", a, l.version, err)
		}
	}
	return nil
}

func (s *Session) adopt(a address, l locked, dir string) error {
	sum, err := hashPackage(dir)
	if err != nil {
		return err
	}
	if allowed, known := l.has(sum); known && !allowed {
		return nil // the engine will say so
	}
	final, sumFile := filepath.Join(s.packages(), a.path(l.version)), s.sumFile(a, l.version)
	for _, parent := range []string{filepath.Dir(final), filepath.Dir(sumFile)} {
		if err := os.MkdirAll(parent, 0o755); err != nil {
			return err
		}
	}
	// The sum comes first: a package without one would not be used, a sum without its
	// package does no harm.
	if there, err := os.ReadFile(sumFile); err == nil && string(there) != sum {
		if _, err := os.Stat(final); err == nil {
			return nil // another package under the same name; this one stays in the tree
		}
	}
	if err := writeAtomically(sumFile, []byte(sum), 0o644); err != nil {
		return err
	}
	err = os.Rename(dir, final)
	switch {
	case errors.Is(err, fs.ErrExist) || isNotEmpty(err):
		err = os.RemoveAll(dir) // it is there already, and the same
	case isOtherDevice(err):
		if err = s.copyPackage(dir, final); err == nil {
			err = os.RemoveAll(dir)
		}
	}
	if err != nil {
		return err
	}
	return os.Symlink(final, dir)
}

// copyPackage is for a store on another file system.
func (s *Session) copyPackage(from, to string) error {
	temp, err := os.MkdirTemp(s.o.Store, ".new-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }() // gone when all went well
	inner := filepath.Join(temp, "package")
	if err := os.CopyFS(inner, os.DirFS(from)); err != nil {
		return err
	}
	if err := os.Rename(inner, to); err != nil && !errors.Is(err, fs.ErrExist) && !isNotEmpty(err) {
		return err
	}
	return nil
}
