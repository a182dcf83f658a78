package plan

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/terrace-cd/terrace/internal/wire"
)

// shown is how much of a long value is shown, in bytes.
const shown = 400

// deepest bounds how far into nested values a difference is followed.
const deepest = 20

// differ compares a change's two sides.
type differ struct {
	change
	secrets map[string]bool
	each    func(path string, before, after any) // is told of each difference; may be nil
}

// attributes lists what differs, attribute by attribute.
func (d differ) attributes() []wire.AttrChange {
	out := []wire.AttrChange{}
	d.walk("", d.Before, d.After, d.AfterUnknown, d.BeforeSensitive, d.AfterSensitive, 0, &out)
	return out
}

func (d differ) walk(path string, before, after, unknown, beforeSensitive, afterSensitive any, depth int, out *[]wire.AttrChange) {
	b, bMap := before.(map[string]any)
	a, aMap := after.(map[string]any)
	bl, bList := before.([]any)
	al, aList := after.([]any)
	whole := beforeSensitive == true || afterSensitive == true || unknown == true || depth >= deepest
	switch {
	case !whole && (bMap || before == nil) && (aMap || after == nil) && (bMap || aMap):
		names := map[string]bool{}
		for _, m := range []any{b, a, unknown} {
			if m, ok := m.(map[string]any); ok {
				for k := range m {
					names[k] = true
				}
			}
		}
		for _, k := range slices.Sorted(maps.Keys(names)) {
			d.walk(join(path, k), b[k], a[k], at(unknown, k), at(beforeSensitive, k), at(afterSensitive, k), depth+1, out)
		}
	case !whole && bList && aList && !reflect.DeepEqual(bl, al):
		for i := range max(len(bl), len(al)) {
			d.walk(fmt.Sprintf("%s[%d]", path, i), item(bl, i), item(al, i), item(unknown, i), item(beforeSensitive, i), item(afterSensitive, i), depth+1, out)
		}
	default:
		if isUnknown(unknown) || !reflect.DeepEqual(before, after) {
			*out = append(*out, d.leaf(path, before, after, unknown, beforeSensitive, afterSensitive))
			if d.each != nil {
				d.each(path, before, after)
			}
		}
		if sensitive(beforeSensitive) {
			texts(before, d.secrets)
		}
		if sensitive(afterSensitive) {
			texts(after, d.secrets)
		}
	}
}

func (d differ) leaf(path string, before, after, unknown, beforeSensitive, afterSensitive any) wire.AttrChange {
	a := wire.AttrChange{Path: path, Unknown: isUnknown(unknown), Forces: d.forces(path)}
	a.Before, a.After = text(before), text(after)
	if sensitive(beforeSensitive) || sensitive(afterSensitive) {
		// Both sides are masked: one that was just marked, or unmarked, is the same value.
		a.Sensitive = true
		texts(before, d.secrets)
		texts(after, d.secrets)
		a.Before, a.After = mask(before), mask(after)
	}
	return a
}

// forces reports whether the attribute, or one that holds it, forces replacement.
func (d differ) forces(path string) bool {
	for _, p := range d.ReplacePaths {
		written := ""
		for _, step := range p {
			switch step := step.(type) {
			case string:
				written = join(written, step)
			case json.Number:
				written += "[" + step.String() + "]"
			}
		}
		if written == path || strings.HasPrefix(path, written+".") || strings.HasPrefix(path, written+"[") {
			return true
		}
	}
	return false
}

func join(path, name string) string {
	if !plain(name) {
		return path + "[" + strconv.Quote(name) + "]"
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func plain(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
}

// at and item descend into the parallel structures of unknown and sensitive marks,
// where true stands for everything below.
func at(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[key]
	case bool:
		return v
	}
	return nil
}

func item(v any, i int) any {
	switch v := v.(type) {
	case []any:
		if i < len(v) {
			return v[i]
		}
	case bool:
		return v
	}
	return nil
}

// isUnknown reports whether any part of a value is known only after apply.
func isUnknown(v any) bool { return marked(v) }

// sensitive reports whether any part of a value is sensitive.
func sensitive(v any) bool { return marked(v) }

func marked(v any) bool {
	switch v := v.(type) {
	case bool:
		return v
	case map[string]any:
		for _, x := range v {
			if marked(x) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, marked)
	}
	return false
}

// collect finds sensitive texts in a value that does not change.
func collect(v, marks any, into map[string]bool) {
	switch m := marks.(type) {
	case bool:
		if m {
			texts(v, into)
		}
	case map[string]any:
		if object, ok := v.(map[string]any); ok {
			for k, mark := range m {
				collect(object[k], mark, into)
			}
		}
	case []any:
		if list, ok := v.([]any); ok {
			for i, mark := range m {
				collect(item(list, i), mark, into)
			}
		}
	}
}

// texts finds the texts and numbers inside of a value.
func texts(v any, into map[string]bool) {
	switch v := v.(type) {
	case string:
		if v != "" {
			into[v] = true
		}
	case json.Number:
		into[v.String()] = true
	case map[string]any:
		for _, x := range v {
			texts(x, into)
		}
	case []any:
		for _, x := range v {
			texts(x, into)
		}
	}
}

func mask(v any) string {
	if v == nil {
		return ""
	}
	return Masked
}

// text shows a value as JSON, shortened at a character's boundary. "" stands for null.
func text(v any) string {
	if v == nil {
		return ""
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return ""
	}
	s := strings.TrimSuffix(b.String(), "\n")
	if len(s) <= shown {
		return s
	}
	cut := shown
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + fmt.Sprintf("… (%d bytes)", len(s))
}
