package source

import (
	"context"
	"encoding/hex"
	"errors"
	"path"
	"runtime"
	"strings"
	"sync"

	"github.com/terrace-cd/terrace/internal/git"
)

// index is where configuration files are in a tree.
type index struct {
	// configs lists, by folder, the entries that an engine reads as configuration.
	configs map[string][]int32
	// tofu: some of them are for OpenTofu alone.
	tofu bool
}

var configSuffixes = []string{".tf", ".tofu", ".tf.json", ".tofu.json"}

// isConfig reports whether an engine reads a file of that name as configuration.
func isConfig(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasPrefix(name, "#") || strings.HasSuffix(name, "~") {
		return false
	}
	for _, suffix := range configSuffixes {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// folders returns the index, making it at the first call.
func (t *Tree) folders() *index {
	t.indexed.Do(func() {
		t.index = &index{configs: map[string][]int32{}}
		for i := range t.entries {
			e := &t.entries[i]
			dir, name := path.Split(e.path)
			if e.kind != submodule && isConfig(name) && !hidden(e.path) {
				dir = folderName(dir)
				t.index.configs[dir] = append(t.index.configs[dir], int32(i))
				t.index.tofu = t.index.tofu || forTofu(name)
			}
		}
	})
	return t.index
}

// folderName turns the first result of path.Split into a folder's name.
func folderName(dir string) string {
	if dir == "" {
		return "."
	}
	return strings.TrimSuffix(dir, "/")
}

// configFiles returns the configuration files of a folder that the engine uses. For
// OpenTofu a .tofu file stands in for the .tf file of the same name; Terraform does
// not read .tofu files.
func (t *Tree) configFiles(dir, engine string) []*entry {
	real, err := t.resolve(dir)
	if err != nil {
		return nil
	}
	index := t.folders()
	all := index.configs[real]
	out := make([]*entry, 0, len(all))
	for _, i := range all {
		e := &t.entries[i]
		if index.tofu {
			tofu := forTofu(e.path)
			if engine == "terraform" && tofu || engine != "terraform" && !tofu && t.shadowed(e.path) {
				continue
			}
		}
		if e.kind == link {
			if e = t.regular(e.path); e == nil {
				continue
			}
		}
		out = append(out, e)
	}
	return out
}

func forTofu(p string) bool {
	return strings.HasSuffix(p, ".tofu") || strings.HasSuffix(p, ".tofu.json")
}

func (t *Tree) shadowed(p string) bool {
	if stem, ok := strings.CutSuffix(p, ".tf"); ok {
		return t.find(stem+".tofu") != nil
	}
	stem, ok := strings.CutSuffix(p, ".tf.json")
	return ok && t.find(stem+".tofu.json") != nil
}

func formOf(p string) form {
	if strings.HasSuffix(p, ".json") {
		return jsonForm
	}
	return nativeForm
}

func (t *Tree) key(f form, e *entry) parseKey { return keyOf(f, e.oid[:min(t.oidLen, 20)]) }

// parsed returns what a file contributes.
func (t *Tree) parsed(m *mirror, f form, e *entry) (parsed, error) {
	key := t.key(f, e)
	record, ok := t.source.parses.get(key)
	if ok {
		if p, ok := decode(record); ok {
			return p, nil
		}
	}
	_, content, err := m.read(t.oid(e), maxParse)
	p, err := extracted(f, content, err)
	if err != nil {
		return p, err
	}
	t.source.parses.put(key, p.encode())
	return p, nil
}

func extracted(f form, content []byte, err error) (parsed, error) {
	switch {
	case errors.Is(err, git.ErrTooLarge):
		return tooLarge, nil
	case err != nil:
		return parsed{}, err
	}
	return extract(f, content), nil
}

// prefetch looks through the configuration files of folders that are not remembered,
// and of the modules they call, with all processors: one conversation with git for all.
func (t *Tree) prefetch(ctx context.Context, m *mirror, engine string, dirs []string) error {
	seen := map[string]bool{}
	for len(dirs) > 0 {
		var wanted []wantedParse
		asked := map[parseKey]bool{}
		for _, dir := range dirs {
			seen[dir] = true
			for _, e := range t.configFiles(dir, engine) {
				w := wantedParse{key: t.key(formOf(e.path), e), form: formOf(e.path), entry: e, dir: dir}
				if !asked[w.key] && !t.source.parses.has(w.key) {
					asked[w.key] = true
					wanted = append(wanted, w)
				}
			}
		}
		if err := t.parseAll(ctx, m, wanted); err != nil {
			return err
		}
		// Modules that what is new calls are likely to be new too. Those that are not
		// found like this are looked through when their turn comes.
		var next []string
		for _, w := range wanted {
			record, _ := t.source.parses.get(w.key)
			p, _ := decode(record)
			for _, c := range p.calls {
				if d := path.Join(w.dir, c.source); isLocal(c.source) && !seen[d] && !strings.ContainsAny(d, allMarks) {
					seen[d] = true
					next = append(next, d)
				}
			}
		}
		dirs = next
	}
	return nil
}

type wantedParse struct {
	key   parseKey
	form  form
	entry *entry
	dir   string
}

func (t *Tree) parseAll(ctx context.Context, m *mirror, wanted []wantedParse) error {
	if len(wanted) == 0 {
		return ctx.Err()
	}
	oids := make([]string, len(wanted))
	for i, w := range wanted {
		oids[i] = hex.EncodeToString(w.entry.oid[:t.oidLen])
	}
	type loaded struct {
		wantedParse
		content []byte
		err     error
	}
	files := make(chan loaded, 64)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for f := range files {
				if p, err := extracted(f.form, f.content, f.err); err == nil {
					t.source.parses.put(f.key, p.encode())
				}
			}
		})
	}
	err := m.readMany(oids, maxParse, func(i int, _ string, content []byte, err error) error {
		if err != nil && !errors.Is(err, git.ErrTooLarge) {
			return err
		}
		files <- loaded{wanted[i], content, err}
		return ctx.Err()
	})
	close(files)
	workers.Wait()
	return err
}
