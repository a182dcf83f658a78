package source

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"

	"github.com/terrace-cd/terrace/internal/config"
)

const lockFile = ".terraform.lock.hcl"

// missing is the digest of what is not there.
const missing = "missing"

type folderSum struct {
	sum string
	err error
}

// globbed is what a pattern matches.
type globbed struct {
	sum     string
	matches []*entry
}

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)[:20]) }

// aside reports whether a file beside configuration has no part in a plan unless
// something reads it by name: documentation, the engine's own tests, terrace.hcl (whose
// settings count one by one), policies (which judge a plan, and are no reason to make one)
// and the lock file (which counts by itself).
func aside(p string) bool {
	name := path.Base(p)
	switch name {
	case config.FileName, lockFile, ".gitignore", ".gitattributes":
		return true
	}
	for _, suffix := range []string{".md", ".markdown", ".tftest.hcl", ".tftest.json", ".tofutest.hcl", ".tofutest.json", ".rego"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	for _, word := range []string{"README", "CHANGELOG", "LICENSE", "LICENCE", "NOTICE", "CONTRIBUTING"} {
		if strings.HasPrefix(name, word) {
			return true
		}
	}
	return false
}

// module digests the folder of a stack or module: the files in it and below, without
// those set aside and without folders that have configuration files themselves: those
// are other modules or stacks, which count where they are called.
func (g *graph) module(dir string) (string, error) { return g.folder(dir, false) }

// everything digests all files of a folder and below.
func (g *graph) everything(dir string) (string, error) { return g.folder(dir, true) }

func (g *graph) folder(dir string, all bool) (string, error) {
	key := dir
	if all {
		key += "/"
	}
	if s, ok := g.folders[key]; ok {
		return s.sum, s.err
	}
	h := sha256.New()
	err := g.write(h, dir, all, 0)
	s := folderSum{sum: sum(h), err: err}
	g.folders[key] = s
	return s.sum, s.err
}

const maxLinks = 8 // folders that links lead to, one in the other

func (g *graph) write(h hash.Hash, dir string, all bool, depth int) error {
	t := g.tree
	real, err := t.resolve(dir)
	if err != nil {
		return onlyLeaves(err)
	}
	strip := len(real) + 1
	if real == "." {
		strip = 0
	}
	lastFolder, lastOther := "", false
	entries := t.under(real)
	buf := make([]byte, 0, 256)
	for i := range entries {
		e := &entries[i]
		rel := e.path[strip:]
		if hidden(e.path) {
			continue
		}
		if !all {
			if aside(rel) {
				continue
			}
			if slash := strings.LastIndexByte(rel, '/'); slash >= 0 {
				if rel[:slash] != lastFolder {
					lastFolder, lastOther = rel[:slash], g.otherModule(real, rel[:slash])
				}
				if lastOther {
					continue
				}
			}
		}
		buf = append(append(buf[:0], rel...), 0, byte(e.kind))
		buf = append(buf, e.oid[:t.oidLen]...)
		_, _ = h.Write(buf) // a hash takes everything
		if e.kind == link {
			if err := g.writeTarget(h, real, e, all, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

// otherModule reports whether one of the folders between dir and dir/rel, the last one
// included, has configuration files.
func (g *graph) otherModule(dir, rel string) bool {
	configs := g.tree.folders().configs
	for p := path.Join(dir, rel); p != dir && p != "."; p = path.Dir(p) {
		if len(configs[p]) > 0 {
			return true
		}
	}
	return false
}

// writeTarget adds what a symbolic link leads to, when that does not count already.
func (g *graph) writeTarget(h hash.Hash, dir string, e *entry, all bool, depth int) error {
	t := g.tree
	to, err := t.resolve(e.path)
	if err != nil {
		return onlyLeaves(err) // one that leads nowhere, or in circles, is only itself
	}
	if target := t.find(to); target != nil {
		_, _ = h.Write(target.oid[:t.oidLen])
		return nil
	}
	if within(to, dir) || within(dir, to) || depth >= maxLinks || !all && len(t.folders().configs[to]) > 0 {
		return nil
	}
	return g.write(h, to, all, depth+1)
}

// onlyLeaves keeps the one error of resolve that is one for the person: the others
// mean that there is nothing.
func onlyLeaves(err error) error {
	if l := (*leaves)(nil); errors.As(err, &l) {
		return l
	}
	return nil
}

// within reports whether p is dir or below it.
func within(p, dir string) bool { return dir == "." || p == dir || strings.HasPrefix(p, dir+"/") }

// glob returns what a pattern, seen from the root of the repository, matches. A pattern
// that names a folder means everything in it.
func (g *graph) glob(pattern string) globbed {
	if found, ok := g.globs[pattern]; ok {
		return found
	}
	base, rest := doublestar.SplitPattern(pattern)
	if !strings.ContainsAny(rest, `*?[{\`) {
		base, rest = pattern, "**"
	}
	var matches []*entry
	if real, err := g.tree.resolve(base); err == nil {
		if e := g.tree.find(real); e != nil && base == pattern {
			matches = []*entry{e}
		}
		entries := g.tree.under(real)
		for i := range entries {
			rel := entries[i].path
			if real != "." {
				rel = rel[len(real)+1:]
			}
			if ok, err := doublestar.Match(rest, rel); ok && err == nil {
				matches = append(matches, &entries[i])
			}
		}
	}
	return g.remember(pattern, matches)
}

// around returns the files below p.path that the unknown part of a path may mean.
func (g *graph) around(p place) globbed {
	key := "\x00" + p.path + "\x00" + p.prefix + "\x00" + p.suffix
	if found, ok := g.globs[key]; ok {
		return found
	}
	var matches []*entry
	if real, err := g.tree.resolve(p.path); err == nil {
		entries := g.tree.under(real)
		for i := range entries {
			rel := entries[i].path
			if real != "." {
				rel = rel[len(real)+1:]
			}
			if strings.HasPrefix(rel, p.prefix) && strings.HasSuffix(rel, p.suffix) {
				matches = append(matches, &entries[i])
			}
		}
	}
	return g.remember(key, matches)
}

func (g *graph) remember(key string, matches []*entry) globbed {
	found := globbed{sum: missing, matches: slices.Clip(matches)}
	if len(matches) > 0 {
		h := sha256.New()
		for _, e := range matches {
			if e.kind == link {
				if to := g.tree.regular(e.path); to != nil {
					_, _ = h.Write(to.oid[:g.tree.oidLen])
				}
			}
			_, _ = h.Write(append(append([]byte(e.path), 0, byte(e.kind)), e.oid[:g.tree.oidLen]...))
		}
		found.sum = sum(h)
	}
	g.globs[key] = found
	return found
}
