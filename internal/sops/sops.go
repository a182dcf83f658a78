// Package sops reads files that are encrypted with SOPS for age keys. Names and recipients are
// readable in such a file, so that much is known without a key; values open with an age key
// that the caller has, and with nothing else: no service is asked, no file or program of the
// machine is used, whatever a file names.
package sops

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/terrace-cd/terrace/internal/core"
)

// MaxSize bounds a file, in bytes.
const MaxSize = 1 << 20

// mostLeaves bounds the values in a file.
const mostLeaves = 10_000

// File is an encrypted file. It is safe for concurrent use.
type File struct {
	name string
	tree branch
	meta metadata
}

// branch is an object, in the order of the file, which decides its code of authenticity.
type branch []item

type item struct {
	key   string
	value any // branch, []any, string, int, float64, bool, time.Time or nil
}

// Parse reads a file whose name says its format: .yaml, .yml, .json or .env. Invalid when it
// is not encrypted with SOPS, or in a way that is not understood.
func Parse(name string, content []byte) (*File, error) {
	if len(content) > MaxSize {
		return nil, core.Errorf(core.Invalid, "%s has %d bytes; %d are read", name, len(content), MaxSize)
	}
	var tree branch
	var meta map[string]any
	var err error
	switch path.Ext(name) {
	case ".yaml", ".yml":
		tree, meta, err = parseYAML(content)
	case ".json":
		tree, meta, err = parseJSON(content)
	case ".env":
		tree, meta, err = parseDotenv(content)
	default:
		return nil, core.Errorf(core.Invalid, "the name of %s does not say its format: .yaml, .json and .env are read", name)
	}
	if err != nil {
		return nil, core.Errorf(core.Invalid, "%s cannot be read: %w", name, err)
	}
	if meta == nil {
		return nil, core.Errorf(core.Invalid, "%s is not encrypted: it has no metadata of SOPS; encrypt it before it is committed (sops encrypt --in-place %[1]s), and replace what was in it", name)
	}
	f := &File{name: name, tree: tree}
	if f.meta, err = readMetadata(meta); err != nil {
		return nil, core.Errorf(core.Invalid, "%s: the metadata of SOPS in it cannot be used: %w", name, err)
	}
	leaves := 0
	if err := walk(tree, nil, func([]string, any) error {
		if leaves++; leaves > mostLeaves {
			return fmt.Errorf("it has more than %d values", mostLeaves)
		}
		return nil
	}); err != nil {
		return nil, core.Errorf(core.Invalid, "%s cannot be read: %w", name, err)
	}
	return f, nil
}

// Keys lists the places of values, sorted: names of nested objects are joined by dots. Lists
// have no place of their own.
func (f *File) Keys() []string {
	times := map[string]int{}
	_ = walk(f.tree, nil, func(at []string, _ any) error {
		times[strings.Join(at, ".")]++
		return nil
	})
	maps.DeleteFunc(times, func(_ string, n int) bool { return n > 1 })
	return slices.Sorted(maps.Keys(times))
}

// Recipients says for whom it is encrypted: age recipients, and keys of other kinds, which are
// not used, by the name of the kind.
func (f *File) Recipients() []string {
	out := slices.Clone(f.meta.others)
	for _, a := range f.meta.age {
		out = append(out, a.recipient)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// walk visits the values, in order. A list's have the list's place.
func walk(value any, at []string, visit func(at []string, leaf any) error) error {
	switch v := value.(type) {
	case branch:
		for _, it := range v {
			if err := walk(it.value, append(slices.Clip(at), it.key), visit); err != nil {
				return err
			}
		}
	case []any:
		for _, e := range v {
			if err := walk(e, at, visit); err != nil {
				return err
			}
		}
	case nil: // never encrypted
	case string, int, float64, bool, time.Time:
		return visit(at, v)
	default:
		return fmt.Errorf("%s has a value of a kind that SOPS does not encrypt", strings.Join(at, "."))
	}
	return nil
}
