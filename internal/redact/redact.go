// Package redact masks secrets in text: every occurrence of a value that must not be
// shown becomes "***", also when the value is cut into pieces by the writes that carry
// it, encoded in base64 (wherever in the encoded text it begins), hexadecimal or a URL,
// or escaped as in JSON. The lines of a value that has several are secrets each.
//
// What is shorter than MinLength is not masked: it would be in every second word, and
// tells little.
package redact

import (
	"io"
	"strings"
	"sync"
	"sync/atomic"
)

// MinLength is the length in bytes of the shortest value that is masked.
const MinLength = 4

// Mask is what is written in place of a secret. Secrets that touch are one mask.
const Mask = "***"

// Redactor knows the secrets. It may be used by several goroutines at a time.
type Redactor struct {
	mu      sync.Mutex
	values  map[string]bool // as they were given
	needles map[string]bool // in all their forms
	machine atomic.Pointer[machine]
}

// New returns a Redactor for secrets.
func New(secrets []string) *Redactor {
	r := &Redactor{values: map[string]bool{}, needles: map[string]bool{}}
	r.machine.Store(build(nil))
	r.Add(secrets...)
	return r
}

// Add adds secrets. What writers hold back is looked through again.
func (r *Redactor) Add(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	grown := false
	for _, s := range secrets {
		if r.values[s] {
			continue
		}
		r.values[s] = true
		for _, n := range forms(s) {
			grown = grown || !r.needles[n]
			r.needles[n] = true
		}
	}
	if grown {
		r.machine.Store(build(r.needles))
	}
}

// String masks s.
func (r *Redactor) String(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	f := filter{machine: r.machine.Load()}
	out := f.feed(nil, []byte(s))
	b.Write(f.flush(out))
	return b.String()
}

// Writer returns a writer that masks what is written to it and passes it on to w. It
// holds back the end of what may become a secret: Flush or Close pass that on. It is
// for one goroutine at a time.
func (r *Redactor) Writer(w io.Writer) *Writer {
	return &Writer{r: r, w: w, filter: filter{machine: r.machine.Load()}}
}

// Writer is made by Redactor.Writer.
type Writer struct {
	r      *Redactor
	w      io.Writer
	filter filter
	out    []byte
}

// Write passes on all of p that cannot be a part of a secret, or its mask.
func (w *Writer) Write(p []byte) (int, error) {
	w.out = w.out[:0]
	if m := w.r.machine.Load(); m != w.filter.machine {
		w.out = w.filter.renew(w.out, m)
	}
	w.out = w.filter.feed(w.out, p)
	if err := w.pass(); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush passes on what was held back; what follows is looked at by itself. Flushing
// between the pieces of a secret would show it: flush at the ends of lines and texts.
func (w *Writer) Flush() error {
	w.out = w.out[:0]
	if m := w.r.machine.Load(); m != w.filter.machine {
		w.out = w.filter.renew(w.out, m)
	}
	w.out = w.filter.flush(w.out)
	return w.pass()
}

// Close flushes. It does not close what it writes to.
func (w *Writer) Close() error { return w.Flush() }

func (w *Writer) pass() error {
	if len(w.out) == 0 {
		return nil
	}
	_, err := w.w.Write(w.out)
	return err
}
