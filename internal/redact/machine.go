package redact

// machine finds all needles in a text in one pass (Aho and Corasick): a state is the
// longest end of what was read that is the beginning of a needle.
type machine struct {
	root [256]int32
	next map[edge]int32
	fail []int32
	// depth is the length of the state's text.
	depth []int32
	// match is the length of the longest needle that the state's text ends with, or 0.
	match []int32
}

type edge struct {
	from int32
	b    byte
}

func build(needles map[string]bool) *machine {
	m := &machine{next: map[edge]int32{}, fail: []int32{0}, depth: []int32{0}, match: []int32{0}}
	for n := range needles {
		at := int32(0)
		for i := range len(n) {
			to := m.child(at, n[i])
			if to == 0 {
				to = int32(len(m.depth))
				m.fail, m.depth, m.match = append(m.fail, 0), append(m.depth, m.depth[at]+1), append(m.match, 0)
				if at == 0 {
					m.root[n[i]] = to
				} else {
					m.next[edge{at, n[i]}] = to
				}
			}
			at = to
		}
		m.match[at] = m.depth[at]
	}
	m.link()
	return m
}

// child is the state after b, 0 when no needle goes on like this.
func (m *machine) child(at int32, b byte) int32 {
	if at == 0 {
		return m.root[b]
	}
	return m.next[edge{at, b}]
}

// link sets, level by level, where a state falls back to.
func (m *machine) link() {
	levels := make([][]edge, 1)
	to := map[edge]int32{}
	for b, state := range m.root {
		if state != 0 {
			e := edge{0, byte(b)}
			levels[0], to[e] = append(levels[0], e), state
		}
	}
	for e, state := range m.next {
		for len(levels) < int(m.depth[state]) {
			levels = append(levels, nil)
		}
		levels[m.depth[state]-1] = append(levels[m.depth[state]-1], e)
		to[e] = state
	}
	for _, level := range levels {
		for _, e := range level {
			state := to[e]
			if e.from != 0 {
				m.fail[state] = m.step(m.fail[e.from], e.b)
			}
			m.match[state] = max(m.match[state], m.match[m.fail[state]])
		}
	}
}

// step is the state after reading b.
func (m *machine) step(at int32, b byte) int32 {
	for at != 0 {
		if to := m.next[edge{at, b}]; to != 0 {
			return to
		}
		at = m.fail[at]
	}
	return m.root[b]
}

// filter masks a text that comes in pieces. It holds back the state's text: whatever
// is found later begins there or after.
type filter struct {
	machine *machine
	state   int32
	held    []byte
	secret  []bool // of each byte held
	masked  bool   // the last byte passed on was masked
}

// feed reads p and appends to out what is decided.
func (f *filter) feed(out, p []byte) []byte {
	for len(p) > 0 {
		if f.state == 0 && len(f.held) == 0 {
			// Most text is like this: nothing that a secret begins with.
			i := 0
			for i < len(p) && f.machine.root[p[i]] == 0 {
				i++
			}
			if i > 0 {
				out, f.masked = append(out, p[:i]...), false
				p = p[i:]
				continue
			}
		}
		f.held, f.secret = append(f.held, p[0]), append(f.secret, false)
		f.state = f.machine.step(f.state, p[0])
		f.mark()
		p = p[1:]
		out = f.pass(out, len(f.held)-int(f.machine.depth[f.state]))
	}
	return out
}

func (f *filter) mark() {
	for i := len(f.held) - int(f.machine.match[f.state]); i < len(f.held); i++ {
		f.secret[i] = true
	}
}

// pass appends the first n bytes held, or their mask.
func (f *filter) pass(out []byte, n int) []byte {
	for i := range n {
		switch {
		case !f.secret[i]:
			out = append(out, f.held[i])
		case !f.masked:
			out = append(out, Mask...)
		}
		f.masked = f.secret[i]
	}
	f.held = append(f.held[:0], f.held[n:]...)
	f.secret = append(f.secret[:0], f.secret[n:]...)
	return out
}

// flush appends all that is held and starts afresh.
func (f *filter) flush(out []byte) []byte {
	out = f.pass(out, len(f.held))
	f.state, f.masked = 0, false
	return out
}

// renew goes on with another machine, which looks at what is held as well.
func (f *filter) renew(out []byte, m *machine) []byte {
	f.machine, f.state = m, 0
	held := len(f.held)
	text := append([]byte(nil), f.held...)
	f.held = f.held[:0]
	secret := append([]bool(nil), f.secret...)
	f.secret = f.secret[:0]
	for i := range held {
		f.held, f.secret = append(f.held, text[i]), append(f.secret, secret[i])
		f.state = m.step(f.state, text[i])
		f.mark()
	}
	return f.pass(out, len(f.held)-int(m.depth[f.state]))
}
