package parity

import (
	"cmp"
	"strings"
)

// place is an attribute of a resource of one environment, with the stack, and with names of
// the environment replaced in the address.
type place struct{ stack, address, path string }

func (p place) String() string { return "${" + p.stack + ":" + p.address + "." + p.path + "}" }

// owner is the attribute that a value is the identity of.
type owner struct {
	place
	rank int
}

// references knows whose identity a value is. An attribute that is equal to it refers to
// that resource, whatever the value is.
type references struct {
	values map[string]owner
	max    int // length of the longest value
}

// What a value belongs to where several resources have it: the lower rank, then the first
// address. An attribute that the code writes refers; one that the provider chose owns.
const (
	rankID = iota
	rankIdentity
	rankChosen
	rankWritten
)

// bounds of what can be an identity: shorter values are ordinary words and numbers.
const (
	shortestID     = 4
	shortestInside = 8 // of a longer text
	longestID      = 512
)

// add notes that a value is found at a place.
func (r *references) add(value string, at place, rank int) {
	if len(value) < shortestID || len(value) > longestID || strings.Contains(value, "${") {
		return
	}
	was, ok := r.values[value]
	if ok && cmp.Or(cmp.Compare(was.rank, rank), cmp.Compare(was.stack, at.stack), cmp.Compare(was.address, at.address), cmp.Compare(was.path, at.path)) <= 0 {
		return
	}
	r.values[value] = owner{at, rank}
	r.max = max(r.max, len(value))
}

// replace puts in the place of each identity whose it is.
func (r *references) replace(s string, at place) string {
	if len(r.values) == 0 {
		return s
	}
	if o, ok := r.values[s]; ok {
		if o.place == at {
			return s // it is its own
		}
		return o.String()
	}
	return outside(s, r.inside)
}

// inside looks for identities in a longer text: between characters that are not part of
// a word.
func (r *references) inside(s string) string {
	var out strings.Builder
	for i := 0; i < len(s); {
		if found, o := r.longest(s, i); found > 0 {
			out.WriteString(o.String())
			i += found
			continue
		}
		// On to the next beginning.
		j := i + 1
		for j < len(s) && wordByte(s[j]) && wordByte(s[j-1]) {
			j++
		}
		out.WriteString(s[i:j])
		i = j
	}
	return out.String()
}

// longest finds the longest identity that begins at i and ends where a word does.
func (r *references) longest(s string, i int) (length int, found owner) {
	if !wordByte(s[i]) {
		return 0, found
	}
	for j := i + 1; j <= len(s) && j-i <= r.max; j++ {
		if j < len(s) && wordByte(s[j]) && wordByte(s[j-1]) || j-i < shortestInside {
			continue
		}
		if o, ok := r.values[s[i:j]]; ok {
			length, found = j-i, o
		}
	}
	return length, found
}

func wordByte(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
