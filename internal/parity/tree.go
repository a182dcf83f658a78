package parity

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	"github.com/terrace-cd/terrace/internal/statefile"
)

// leaf is a part of an attribute in both environments. The paths differ where things in
// no order stand in different places, or where keys carry the environment's name.
type leaf struct {
	pathA, pathB string
	a, b         any // nil where there is none
}

// path is the one that is shown.
func (l leaf) path() string {
	if l.a == nil && l.b != nil {
		return l.pathB
	}
	return l.pathA
}

// top is the name of the attribute that the leaf is in, and the rest of a path.
func top(path string) (name, rest string) {
	for i := range len(path) {
		switch path[i] {
		case '.':
			return path[:i], path[i+1:]
		case '[':
			return path[:i], path[i:]
		}
	}
	return path, ""
}

// walker takes two values apart into leaves.
type walker struct {
	a, b   *normaliser
	leaves []leaf
}

func (w *walker) walk(pathA, pathB string, a, b any) {
	if isEmpty(a) && isEmpty(b) {
		return
	}
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			w.maps(pathA, pathB, x, y)
			return
		}
	case []any:
		if y, ok := b.([]any); ok && !(plainList(x) && plainList(y)) {
			w.lists(pathA, pathB, x, y)
			return
		}
	case string:
		if y, ok := b.(string); ok && x != y {
			if x, ok := document(x); ok {
				if y, ok := document(y); ok {
					w.walk(pathA, pathB, x, y)
					return
				}
			}
		}
	}
	w.leaves = append(w.leaves, leaf{pathA, pathB, a, b})
}

func (w *walker) maps(pathA, pathB string, a, b map[string]any) {
	keysA, keysB := byStanding(a, w.a), byStanding(b, w.b)
	for _, key := range sortedKeys(keysA, keysB) {
		x, inA := keysA[key]
		y, inB := keysB[key]
		if !inA {
			x = y
		}
		if !inB {
			y = x
		}
		w.walk(statefile.Join(pathA, x), statefile.Join(pathB, y), a[x], b[y])
	}
}

// byStanding maps what keys stand for to the keys. Where two stand for the same, they
// stand for themselves.
func byStanding(m map[string]any, n *normaliser) map[string]string {
	out, twice := make(map[string]string, len(m)), map[string]bool{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		standing := n.environment(key)
		if other, ok := out[standing]; ok || twice[standing] {
			if ok {
				delete(out, standing)
				out[other], twice[standing] = other, true
			}
			out[key] = key
			continue
		}
		out[standing] = key
	}
	return out
}

// lists pairs objects: those that are alike first, wherever they stand, then the others in
// their order.
func (w *walker) lists(pathA, pathB string, a, b []any) {
	standing := map[string][]int{}
	for j, y := range b {
		key := text(w.b.value(y, asChosen, place{}))
		standing[key] = append(standing[key], j)
	}
	pairA, pairB := fill(len(a)), fill(len(b))
	for i, x := range a {
		key := text(w.a.value(x, asChosen, place{}))
		if js := standing[key]; len(js) > 0 {
			pairA[i], pairB[js[0]] = js[0], i
			standing[key] = js[1:]
		}
	}
	next := 0
	for i := range a {
		for pairA[i] < 0 && next < len(b) {
			if pairB[next] < 0 {
				pairA[i], pairB[next] = next, i
			}
			next++
		}
	}
	for i, x := range a {
		at := "[" + strconv.Itoa(i) + "]"
		if j := pairA[i]; j >= 0 {
			w.walk(pathA+at, pathB+"["+strconv.Itoa(j)+"]", x, b[j])
		} else {
			w.walk(pathA+at, pathB+at, x, nil)
		}
	}
	for j, y := range b {
		if pairB[j] < 0 {
			at := "[" + strconv.Itoa(j) + "]"
			w.walk(pathA+at, pathB+at, nil, y)
		}
	}
}

func fill(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = -1
	}
	return out
}

// sameOrSet compares two normalised values. Engines keep sets of texts sorted, and lists as
// they are: where both are sorted as they are kept, it is taken for a set, whose order changes
// with what its elements are called.
func sameOrSet(rawA, rawB, a, b any) bool {
	if text(a) == text(b) {
		return true
	}
	x, ok := a.([]any)
	if !ok {
		return false
	}
	y, ok := b.([]any)
	if !ok || len(x) != len(y) || !sorted(rawA) || !sorted(rawB) {
		return false
	}
	return slices.Equal(sortedTexts(x), sortedTexts(y))
}

func sortedTexts(list []any) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = text(v)
	}
	slices.Sort(out)
	return out
}

func sorted(v any) bool {
	list, ok := v.([]any)
	return ok && slices.IsSortedFunc(list, func(a, b any) int {
		x, _ := plainText(a)
		y, _ := plainText(b)
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
}

// text writes a value so that equal ones have equal texts.
func text(v any) string {
	out, err := json.Marshal(v)
	if err != nil {
		return "" // what was read from JSON can be written
	}
	return string(out)
}

func sortedKeys[V any](a, b map[string]V) []string {
	keys := make([]string, 0, len(a)+len(b))
	for k := range a {
		keys = append(keys, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	return keys
}
