package runner

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/terrace-cd/terrace/internal/process"
	"github.com/terrace-cd/terrace/internal/wire"
)

// progress watches an apply go by, so that a partial one can say what it did and what
// it left (rule 18).
type progress struct {
	to    io.Writer
	lines *process.LineWriter

	mu   sync.Mutex
	done map[string][]string // by address: what was completed, in order
}

// completed is how both engines say that an operation has ended well.
var completed = regexp.MustCompile(`^(.+?)(?: \(deposed object [0-9a-f]+\))?: (Creation|Modifications|Destruction) complete after `)

func newProgress(to io.Writer) *progress {
	p := &progress{to: to, done: map[string][]string{}}
	p.lines = process.Lines(0, p.line)
	return p
}

func (p *progress) Write(b []byte) (int, error) {
	p.mu.Lock()
	_, _ = p.lines.Write(b) // it never fails
	p.mu.Unlock()
	return p.to.Write(b)
}

func (p *progress) line(text string) {
	if m := completed.FindStringSubmatch(text); m != nil {
		p.done[m[1]] = append(p.done[m[1]], m[2])
	}
}

// partial tells a person how far an apply of the plan came.
func (p *progress) partial(plan wire.Plan) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	did := map[string][]string{}
	var left []string
	for _, r := range plan.Resources {
		done := p.done[r.Address]
		switch r.Action {
		case "create", "update", "delete", "replace", "import":
		default:
			continue
		}
		switch {
		case r.Action == "replace" && slices.Contains(done, "Creation") && slices.Contains(done, "Destruction"):
			did["replaced"] = append(did["replaced"], r.Address)
		case r.Action == "replace" && slices.Contains(done, "Creation"):
			left = append(left, r.Address+" (created anew; the old one is still there)")
		case r.Action == "replace" && slices.Contains(done, "Destruction"):
			left = append(left, r.Address+" (deleted, not yet created anew)")
		case len(done) == 0:
			left = append(left, r.Address+" ("+r.Action+")")
		default:
			word := map[string]string{"create": "created", "update": "updated", "delete": "deleted", "import": "imported"}[r.Action]
			did[word] = append(did[word], r.Address)
		}
	}
	var parts []string
	for _, word := range []string{"created", "updated", "replaced", "deleted", "imported"} {
		if len(did[word]) > 0 {
			parts = append(parts, word+" "+some(did[word]))
		}
	}
	text := "nothing was changed"
	if len(parts) > 0 {
		text = strings.Join(parts, "; ")
	}
	if len(left) > 0 {
		text += "; left: " + some(left)
	}
	return text
}

// anew lists what an apply of the plan has replaced so far: a new one is there, whether
// or not the old one is gone.
func (p *progress) anew(plan wire.Plan) (addresses []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range plan.Resources {
		if (r.Action == "replace" || r.Action == "create") && slices.Contains(p.done[r.Address], "Creation") {
			addresses = append(addresses, r.Address)
		}
	}
	return addresses
}

// some lists the first few of many.
func some(names []string) string {
	const most = 20
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
