package engine

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/core"
	"github.com/terrace-cd/terrace/internal/wire"
)

// Uses is what the run's plan is going to use: the engine, every provider that init
// installed, and every module that it fetched. Nothing of it has been executed yet. It is
// for after Init.
func (s *Session) Uses() (wire.Uses, error) {
	uses := wire.Uses{Engine: s.o.Engine.Name, Version: s.o.Engine.Version}
	lock, err := s.lockData()
	if err != nil {
		return uses, core.Errorf(core.Unavailable, "the lock file of %s cannot be read: %w", s.base, err)
	}
	// Read anew: with the modules from elsewhere, of which the session's own does not have
	// to know.
	c, err := readConfiguration(s.o.Engine.Name, s.o.Dir)
	if err == nil {
		err = c.whole()
	}
	if err != nil {
		return uses, core.Errorf(core.Unavailable, "the modules of %s cannot be read: %w", s.base, err)
	}
	called, err := c.called()
	if err != nil {
		return uses, core.Errorf(core.Unavailable, "what init noted of the modules of %s cannot be read: %w", s.base, err)
	}
	at := map[string][]string{}
	for _, m := range called {
		at[m.Dir] = append(at[m.Dir], moduleAddress(m.Key))
		if m.Key != "" && !(call{source: m.Source}).local() {
			used := wire.UsedModule{Where: moduleAddress(m.Key), Source: m.Source, Version: m.Version}
			if m.written != m.Source {
				used.Written = m.written
			}
			uses.Modules = append(uses.Modules, used)
		}
	}
	slices.SortFunc(uses.Modules, func(a, b wire.UsedModule) int { return strings.Compare(a.Where, b.Where) })
	uses.Providers = c.used(at, readLock(lock))
	return uses, nil
}

// called are the root module and those that it leads to. What init notes tells where each
// is from and where it lies; it goes on noting modules that nobody calls any more.
func (c *configuration) called() ([]noted, error) {
	all := []noted{{Dir: "."}}
	if len(c.root().calls) == 0 {
		return all, nil
	}
	m, err := readManifest(c.dir)
	if err != nil {
		return nil, err
	}
	byKey := map[string]noted{}
	for _, n := range m.Modules {
		n.Dir = filepath.Clean(n.Dir)
		byKey[n.Key] = n
	}
	for i := 0; i < len(all); i++ {
		caller := c.modules[all[i].Dir]
		if caller == nil {
			continue
		}
		for _, called := range caller.calls {
			key := strings.TrimPrefix(all[i].Key+"."+called.name, ".")
			n, ok := byKey[key]
			if !ok { // in a file that the engine passes over
				n = noted{Key: key, Source: called.source}
			}
			n.written = called.source
			all = append(all, n)
		}
	}
	return all, nil
}

// used are the providers of the lock file and of the code, with the modules that name
// each. Those that are a part of the engine are left out.
func (c *configuration) used(at map[string][]string, locks map[address]locked) []wire.UsedProvider {
	where := map[address][]string{}
	for a := range locks {
		where[a] = nil
	}
	for dir, addresses := range at {
		m := c.modules[dir]
		if m == nil {
			continue
		}
		for _, name := range slices.Concat(slices.Collect(maps.Keys(m.required)), slices.Collect(maps.Keys(m.uses))) {
			if a, ok := m.address(c.engine, name); ok {
				where[a] = append(where[a], addresses...)
			}
		}
	}
	var out []wire.UsedProvider
	for _, a := range slices.Sorted(maps.Keys(where)) {
		if a.builtin() {
			continue
		}
		modules := slices.Compact(slices.Sorted(slices.Values(where[a])))
		out = append(out, wire.UsedProvider{Address: string(a), Version: locks[a].version, Where: modules})
	}
	return out
}

// moduleAddress makes an address of a key of the manifest: "web.net" is
// module.web.module.net.
func moduleAddress(key string) string {
	if key == "" {
		return ""
	}
	return "module." + strings.ReplaceAll(key, ".", ".module.")
}
