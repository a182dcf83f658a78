package source

import (
	"encoding/binary"
)

// parsed is what one file contributes, from its content alone: templates, and where
// they are. See template.go.
type parsed struct {
	calls    []moduleCall
	registry []registered
	locals   []named // a name more than once: any of the values
	defaults []named // of variables
	reads    []reading
	// others: it is one of Ansible's files, and about other hosts than the one it is run for.
	others bool
	// trouble says why the file could not be looked through; what it reads is not known.
	trouble string
}

// moduleCall is a module call with a source that is, or may be, local.
type moduleCall struct {
	source string
	line   int
	args   []named
}

// registered is a module call whose source is an address in a registry.
type registered struct {
	source  string
	version string // a template; "" for any
	line    int
}

type named struct{ name, value string }

// reading is something that a file reads, or may read.
type reading struct {
	how     how
	path    string
	pattern string // of fileset
	name    string // of the function
	line    int
}

type how byte

const (
	readFunction how = iota // by a function: a path that cannot be known is worth a warning
	readSet                 // by fileset: pattern is looked for in path
	readTemplate            // by templatefile: the file read may read others
	readHint                // perhaps: a text that looks like a path
)

// encode writes p compactly: most files contribute nothing, and that is "".
func (p *parsed) encode() string {
	if len(p.calls)+len(p.registry)+len(p.locals)+len(p.defaults)+len(p.reads)+len(p.trouble) == 0 && !p.others {
		return ""
	}
	var b []byte
	number := func(n int) { b = binary.AppendUvarint(b, uint64(n)) }
	text := func(s string) {
		number(len(s))
		b = append(b, s...)
	}
	list := func(l []named) {
		number(len(l))
		for _, n := range l {
			text(n.name)
			text(n.value)
		}
	}
	text(p.trouble)
	if p.others {
		number(1)
	} else {
		number(0)
	}
	number(len(p.calls))
	for _, c := range p.calls {
		text(c.source)
		number(c.line)
		list(c.args)
	}
	number(len(p.registry))
	for _, r := range p.registry {
		text(r.source)
		text(r.version)
		number(r.line)
	}
	list(p.locals)
	list(p.defaults)
	number(len(p.reads))
	for _, r := range p.reads {
		number(int(r.how))
		text(r.path)
		text(r.pattern)
		text(r.name)
		number(r.line)
	}
	return string(b)
}

// decode reads what encode wrote; ok is false for anything else. The result shares the
// memory of s.
func decode(s string) (p parsed, ok bool) {
	if s == "" {
		return p, true
	}
	ok = true
	number := func() int {
		n, shift := uint64(0), 0
		for i := 0; ok && i < len(s) && shift < 63; i, shift = i+1, shift+7 {
			n |= uint64(s[i]&0x7f) << shift
			if s[i] < 0x80 {
				s = s[i+1:]
				if n > 1<<31 {
					ok = false
					return 0
				}
				return int(n)
			}
		}
		ok = false
		return 0
	}
	text := func() string {
		n := number()
		if !ok || n > len(s) {
			ok = false
			return ""
		}
		t := s[:n]
		s = s[n:]
		return t
	}
	count := func() int {
		n := number()
		if n > len(s) { // every item takes a byte at least
			ok = false
		}
		if !ok {
			return 0
		}
		return n
	}
	list := func() []named {
		n := count()
		if n == 0 {
			return nil
		}
		l := make([]named, n)
		for i := range l {
			l[i] = named{text(), text()}
		}
		return l
	}
	p.trouble, p.others = text(), number() == 1
	for range count() {
		p.calls = append(p.calls, moduleCall{source: text(), line: number(), args: list()})
	}
	for range count() {
		p.registry = append(p.registry, registered{source: text(), version: text(), line: number()})
	}
	p.locals, p.defaults = list(), list()
	if n := count(); n > 0 {
		p.reads = make([]reading, n)
		for i := range p.reads {
			p.reads[i] = reading{how: how(number()), path: text(), pattern: text(), name: text(), line: number()}
		}
	}
	if !ok || s != "" {
		return parsed{}, false
	}
	return p, true
}
