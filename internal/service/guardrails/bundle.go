package guardrails

import (
	"io/fs"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/terrace-cd/terrace/internal/core"
)

// bundle is a config.Tree of files in memory.
type bundle map[string]string

// ReadFile implements config.Tree.
func (b bundle) ReadFile(name string) ([]byte, error) {
	text, ok := b[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}

// Files implements config.Tree.
func (b bundle) Files() ([]string, error) { return slices.Sorted(maps.Keys(b)), nil }

// Bounds of a bundle.
const (
	maxFiles = 500
	maxSize  = 4 << 20 // bytes
)

// check refuses what cannot be a bundle, whatever it says.
func (b bundle) check() error {
	size := 0
	for name, text := range b {
		if !fs.ValidPath(name) || len(name) > 500 || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == '\\' }) {
			return core.Errorf(core.Invalid, "%.80q cannot name a file of the guardrails: write a path below their folder, of printable characters", name)
		}
		size += len(text)
	}
	if len(b) > maxFiles || size > maxSize {
		return core.Errorf(core.Invalid, "the guardrails have %d files with %d bytes; at most %d files with %d bytes are kept. Let files = [...] name policies alone", len(b), size, maxFiles, maxSize)
	}
	return nil
}
