package engine

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
)

// inputs is what init depends on of the registry: not its address, which is another one in
// every run.
func (r *Registry) inputs() string {
	var b strings.Builder
	b.WriteString(r.Host)
	for _, module := range slices.Sorted(maps.Keys(r.Versions)) {
		b.WriteString("\n" + module + " " + strings.Join(slices.Sorted(slices.Values(r.Versions[module])), " "))
	}
	return b.String()
}

// forgetModules takes away the modules that an earlier run fetched: init keeps a version
// that fits, and this run may be given another one that does.
func (s *Session) forgetModules() error {
	if s.o.Registry == nil {
		return nil
	}
	return os.RemoveAll(filepath.Join(s.o.Dir, dataDir, "modules"))
}

// checkModules refuses what init took instead of what the registry gives to this run.
func (s *Session) checkModules() error {
	r := s.o.Registry
	if r == nil {
		return nil
	}
	m, err := readManifest(s.o.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return core.Errorf(core.Unavailable, "what init noted of the modules of %s cannot be read: %w", s.base, err)
	}
	for _, called := range m.Modules {
		source, _, _ := strings.Cut(called.Source, "//")
		host, module, _ := strings.Cut(source, "/")
		if strings.EqualFold(host, r.Host) && !slices.Contains(r.Versions[module], called.Version) {
			return core.Errorf(core.Invalid, "init took version %s of the module %s for %s, which the release did not get: the code gives its source or its version in a way that Terrace cannot see before the plan. Write both as text",
				called.Version, module, moduleAddress(called.Key))
		}
	}
	return nil
}
