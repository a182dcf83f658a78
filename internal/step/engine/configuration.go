package engine

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// configuration is a root module with the modules that it calls.
type configuration struct {
	engine  string
	dir     string             // of the root module
	modules map[string]*module // by directory, relative to dir
	remote  bool               // a called module is not beside its caller
}

// readConfiguration reads the root module and the local modules that it leads to.
func readConfiguration(engine, dir string) (*configuration, error) {
	c := &configuration{engine: engine, dir: dir, modules: map[string]*module{}}
	if err := c.add("."); err != nil {
		return nil, err
	}
	for queue := []string{"."}; len(queue) > 0; queue = queue[1:] {
		for _, call := range c.modules[queue[0]].calls {
			if !call.local() {
				c.remote = true
				continue
			}
			at := filepath.Join(queue[0], filepath.FromSlash(call.source))
			if c.modules[at] != nil {
				continue
			}
			if err := c.add(at); err != nil {
				c.modules[at] = &module{dynamic: true, unclear: true} // the engine says what is wrong
			}
			queue = append(queue, at)
		}
	}
	return c, nil
}

func (c *configuration) add(at string) error {
	m, err := readModule(filepath.Join(c.dir, at))
	if err == nil {
		c.modules[at] = m
	}
	return err
}

func (c *configuration) root() *module { return c.modules["."] }

// inputs is a digest of everything in the code that init depends on. ok is false when
// that cannot be said.
func (c *configuration) inputs() (sum string, ok bool) {
	var b strings.Builder
	for _, at := range slices.Sorted(maps.Keys(c.modules)) {
		m := c.modules[at]
		if m.dynamic {
			return "", false
		}
		b.WriteString("\n\x00directory " + at)
		for _, input := range slices.Sorted(slices.Values(m.inputs)) {
			b.WriteString("\n\x00" + input)
		}
	}
	return digest([]byte(b.String())), true
}

// providers are the providers that the code names, with the constraints on their
// versions. Those of modules from elsewhere are not among them.
func (c *configuration) providers() map[address][]string {
	out := map[address][]string{}
	for _, m := range c.modules {
		for name, r := range m.required {
			if a, ok := addressOf(c.engine, name, r.source); ok && !a.builtin() {
				out[a] = append(out[a], nonEmpty(r.constraint)...)
			}
		}
		for name := range m.uses {
			if a, ok := m.address(c.engine, name); ok && !a.builtin() && out[a] == nil {
				out[a] = []string{}
			}
		}
	}
	return out
}

func nonEmpty(s string) []string {
	if s == "" {
		return []string{}
	}
	return []string{s}
}

// address is the full name of a provider that the module calls name.
func (m *module) address(engine, name string) (address, bool) {
	return addressOf(engine, name, m.required[name].source)
}

// manifest is what init writes about modules.
type manifest struct {
	Modules []noted
}

type noted struct {
	Key, Source, Version, Dir string

	written string // the source as it is in the code
}

func readManifest(dir string) (manifest, error) {
	var m manifest
	data, err := os.ReadFile(filepath.Join(dir, dataDir, "modules", "modules.json"))
	if err == nil {
		err = json.Unmarshal(data, &m)
	}
	return m, err
}

// whole adds the modules that init fetched.
func (c *configuration) whole() error {
	if len(c.root().calls) == 0 {
		return nil
	}
	m, err := readManifest(c.dir)
	if err != nil {
		return err
	}
	for _, called := range m.Modules {
		at := filepath.Clean(called.Dir)
		if c.modules[at] == nil {
			if err := c.add(at); err != nil {
				return err
			}
		}
	}
	return nil
}

// single returns the providers that have exactly one configuration in all of the
// configuration: the root module's, or none at all, which is the empty one. whole has to
// be called before.
func (c *configuration) single() map[address]bool {
	seen, blocks, out := map[address]bool{}, map[address]int{}, map[address]bool{}
	for at, m := range c.modules {
		if m.unclear {
			return nil
		}
		names := map[address]string{}
		for _, name := range slices.Concat(slices.Collect(maps.Keys(m.required)), slices.Collect(maps.Keys(m.uses))) {
			a, ok := m.address(c.engine, name)
			if !ok {
				return nil
			}
			seen[a] = true
			if other, two := names[a]; two && other != name || m.required[name].aliases {
				blocks[a] = 2 // two names for one provider, or aliases that come from outside
			}
			names[a] = name
		}
		for _, b := range m.blocks {
			a, ok := m.address(c.engine, b.name)
			if !ok {
				return nil
			}
			blocks[a]++
			if b.alias || at != "." {
				blocks[a] = 2
			}
		}
	}
	for a := range seen {
		if blocks[a] <= 1 && !a.builtin() {
			out[a] = true
		}
	}
	return out
}
