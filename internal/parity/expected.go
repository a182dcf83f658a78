package parity

import (
	"crypto/md5" // as some providers store texts
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"github.com/terrace-cd/terrace/internal/statefile"
)

// verdict says how what is there relates to what the code gives.
type verdict uint8

const (
	// unwritten: the code says nothing of it; the provider chose.
	unwritten verdict = iota
	// extra: the code gives a whole map, and this is not in it. It may be a part of an object
	// that the provider fills in, too: states do not tell them apart.
	extra
	// unknown: it is written, and cannot be evaluated here.
	unknown
	// holds: it is what the code gives.
	holds
	// departs: it is not.
	departs
)

// judged is a verdict with what the code gives.
type judged struct {
	verdict
	expected any
}

// verdicts are those of the parts of an attribute, by path below it.
type verdicts map[string]judged

// of finds the verdict of a part, or of what it is in.
func (v verdicts) of(path string) judged {
	for {
		if j, ok := v[path]; ok {
			return j
		}
		if path == "" {
			return judged{}
		}
		path = above(path)
	}
}

// above cuts the last step off a path.
func above(path string) string {
	i := strings.LastIndexAny(path, ".[")
	if i < 0 {
		return ""
	}
	return path[:i]
}

// judge compares an attribute with what the code gives for it.
func judge(e Expression, actual any) verdicts {
	v := verdicts{}
	v.compare("", e.Value, actual, e.Blocks)
	return v
}

func (v verdicts) compare(path string, expected, actual any, blocks bool) {
	switch e := expected.(type) {
	case Unknown:
		v[path] = judged{unknown, nil}
		return
	case nil:
		if isEmpty(actual) {
			v[path] = judged{holds, nil}
		} else {
			v[path] = judged{unwritten, nil} // null is as not written
		}
		return
	case map[string]any:
		if a, ok := asMap(actual); ok {
			v.maps(path, e, a, blocks)
			return
		}
	case []any:
		if a, ok := actual.([]any); ok && !plainList(e) && !plainList(a) {
			v.lists(path, e, a, blocks)
			return
		}
		if a, ok := asMap(actual); ok && len(e) == 1 { // a block that may be there once
			v.compare(path, e[0], a, blocks)
			return
		}
	case string:
		if inner, ok := document(e); ok {
			if a, ok := actual.(string); ok {
				if a, ok := document(a); ok {
					v.compare(path, inner, a, false)
					return
				}
			}
		}
	}
	switch {
	case hasUnknown(expected):
		v[path] = judged{unknown, nil}
	case sameMeaning(expected, actual):
		v[path] = judged{holds, expected}
	default:
		v[path] = judged{departs, expected}
	}
}

// maps compares by key.
func (v verdicts) maps(path string, expected, actual map[string]any, blocks bool) {
	if len(expected) == 0 && len(actual) == 0 {
		v[path] = judged{holds, expected}
		return
	}
	v[path] = judged{extra, nil}
	if blocks {
		v[path] = judged{unwritten, nil}
	}
	for key, e := range expected {
		v.compare(statefile.Join(path, key), e, actual[key], blocks)
	}
}

// lists compares objects with those written that they fit best: sets have no order.
func (v verdicts) lists(path string, expected, actual []any, blocks bool) {
	used := make([]bool, len(expected))
	fits := make([]int, len(actual))
	for i, a := range actual {
		fits[i] = -1
		order := make([]int, 0, len(expected))
		if i < len(expected) {
			order = append(order, i)
		}
		for j := range expected {
			if j != i {
				order = append(order, j)
			}
		}
		for _, j := range order {
			if !used[j] && subset(expected[j], a, blocks) {
				fits[i], used[j] = j, true
				break
			}
		}
	}
	next := 0
	for i, a := range actual {
		at := path + "[" + strconv.Itoa(i) + "]"
		for fits[i] < 0 && next < len(expected) {
			if !used[next] {
				fits[i], used[next] = next, true
			}
			next++
		}
		if fits[i] < 0 {
			v[at] = judged{departs, nil} // one more than is written
			continue
		}
		v.compare(at, expected[fits[i]], a, blocks)
	}
	if slices.Contains(used, false) || len(expected) == 0 && len(actual) == 0 {
		verdict := departs // one less
		if len(expected) == 0 {
			verdict = holds
		}
		v[path] = judged{verdict, nil}
	}
}

// subset reports whether a thing has everything that is written of it.
func subset(expected, actual any, blocks bool) bool {
	v := verdicts{}
	v.compare("", expected, actual, blocks)
	for _, j := range v {
		if j.verdict == departs {
			return false
		}
	}
	return true
}

// hasUnknown reports whether any part of a value is.
func hasUnknown(v any) bool {
	switch v := v.(type) {
	case Unknown:
		return true
	case []any:
		return slices.ContainsFunc(v, hasUnknown)
	case map[string]any:
		for _, e := range v {
			if hasUnknown(e) {
				return true
			}
		}
	}
	return false
}

// isEmpty: engines and providers do not agree on whether there is nothing or an empty one.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	}
	return false
}

// plainList reports whether a list has no objects and lists in it.
func plainList(list []any) bool {
	return !slices.ContainsFunc(list, func(v any) bool {
		switch v.(type) {
		case []any, map[string]any:
			return true
		}
		return false
	})
}

// asMap is v as an object, also when it is a list of one.
func asMap(v any) (map[string]any, bool) {
	m, ok := v.(map[string]any)
	return m, ok
}

// document reads a text that is JSON itself, such as a policy.
func document(s string) (any, bool) {
	t := strings.TrimSpace(s)
	if len(t) < 2 || len(t) > maxText || t[0] != '{' && t[0] != '[' {
		return nil, false
	}
	decoder := json.NewDecoder(strings.NewReader(t))
	decoder.UseNumber()
	var v any
	if decoder.Decode(&v) != nil || decoder.More() {
		return nil, false
	}
	return v, true
}

// sameMeaning compares what is written with what a provider keeps of it.
func sameMeaning(expected, actual any) bool {
	if isEmpty(expected) && isEmpty(actual) {
		return true
	}
	switch e := expected.(type) {
	case []any:
		a, ok := actual.([]any)
		return ok && sameList(e, a)
	case map[string]any:
		a, ok := actual.(map[string]any)
		if !ok || len(e) != len(a) {
			return false
		}
		for k := range e {
			if !sameMeaning(e[k], a[k]) {
				return false
			}
		}
		return true
	}
	e, ok := plainText(expected)
	if !ok {
		return false
	}
	a, ok := plainText(actual)
	return ok && sameText(e, a)
}

// sameList compares in order, and else without: a set is kept in an order of its own.
func sameList(expected, actual []any) bool {
	if len(expected) != len(actual) {
		return false
	}
	left := slices.Clone(actual)
	for _, e := range expected {
		i := slices.IndexFunc(left, func(a any) bool { return sameMeaning(e, a) })
		if i < 0 {
			return false
		}
		left = slices.Delete(left, i, i+1)
	}
	return true
}

// plainText writes a string, a number or a truth value: which of them an attribute is, its
// provider decides.
func plainText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case json.Number:
		return v.String(), true
	}
	return "", false
}

func sameText(e, a string) bool {
	return e == a || strings.EqualFold(trimmed(e), trimmed(a)) || sameNumber(e, a) || ranges(e) == ranges(a) || digestOf(e, a)
}

// trimmed: providers drop the last dot of a domain's name, and line ends.
func trimmed(s string) string { return strings.TrimSuffix(strings.TrimSpace(s), ".") }

func sameNumber(a, b string) bool {
	const longest = 60 // an exponent of a million would be a large number
	if len(a) > longest || len(b) > longest || strings.ContainsAny(a+b, "eEpPxX/") {
		return false
	}
	x, ok := new(big.Rat).SetString(a)
	if !ok {
		return false
	}
	y, ok := new(big.Rat).SetString(b)
	return ok && x.Cmp(y) == 0
}

// digestOf reports whether a provider keeps a digest, or base64, of a text instead of it.
func digestOf(text, kept string) bool {
	switch len(kept) {
	case 2 * md5.Size:
		sum := md5.Sum([]byte(text))
		return strings.EqualFold(kept, hex.EncodeToString(sum[:]))
	case 2 * sha1.Size:
		sum := sha1.Sum([]byte(text))
		if strings.EqualFold(kept, hex.EncodeToString(sum[:])) {
			return true
		}
	case 2 * sha256.Size:
		sum := sha256.Sum256([]byte(text))
		if strings.EqualFold(kept, hex.EncodeToString(sum[:])) {
			return true
		}
	}
	return len(kept) == base64.StdEncoding.EncodedLen(len(text)) && kept == base64.StdEncoding.EncodeToString([]byte(text))
}

// rewritten reports whether both environments keep what is written in the same other form:
// a name as an ARN with that name in it.
func rewritten(a, b judged, isA, isB any) bool {
	x, ok := around(a.expected, isA)
	if !ok {
		return false
	}
	y, ok := around(b.expected, isB)
	return ok && x == y
}

// around is what is around the expected text in a longer one.
func around(expected, actual any) (string, bool) {
	const shortest = 3
	e, ok := expected.(string)
	a, is := actual.(string)
	if !ok || !is || len(e) < shortest {
		return "", false
	}
	e, a = strings.ToLower(e), strings.ToLower(a)
	if !strings.Contains(a, e) {
		return "", false
	}
	return strings.ReplaceAll(a, e, "\x00"), true
}
