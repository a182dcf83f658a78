package ansible

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/wire"
)

// maxEvent bounds one line of the events file.
const maxEvent = 1 << 20

// events is what the callback told.
type events struct {
	recap  []wire.Recap
	failed map[string]event // by host: its last failure, or why it was silent
	items  map[string][]string
}

type event struct {
	Event   string `json:"event"`
	Host    string `json:"host"`
	Task    string `json:"task"`
	Path    string `json:"path"`
	Message string `json:"message"`
	Stderr  string `json:"stderr"`
	wire.Recap
}

func readEvents(file string) (*events, error) {
	log := &events{failed: map[string]event{}, items: map[string][]string{}}
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return log, nil
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue // the last line of a callback that was killed
		}
		switch e.Event {
		case "recap":
			e.Recap.Host = e.Host
			log.recap = append(log.recap, e.Recap)
		case "item_failed":
			log.items[e.Host+"\x00"+e.Task] = append(log.items[e.Host+"\x00"+e.Task], e.said())
		case "failed", "unreachable", "silent":
			log.failed[e.Host] = e
		}
	}
	return log, lines.Err()
}

// said is the most telling text of a failure.
func (e event) said() string {
	message, stderr := strings.TrimSpace(e.Message), strings.TrimSpace(e.Stderr)
	if stderr != "" && (message == "" || message == "non-zero return code" || strings.HasPrefix(message, "MODULE FAILURE")) {
		lines := strings.Split(stderr, "\n")
		return strings.TrimPrefix(message+": "+lines[len(lines)-1], ": ")
	}
	return message
}

// explain says why the playbook did not succeed: which task, on which host, what it
// said.
func (l *events) explain(o Options, code int, complaint string) string {
	counted := map[string]bool{}
	for _, r := range l.recap {
		if r.Failed > 0 || r.Unreachable > 0 {
			counted[r.Host] = true
		}
	}
	var bad []event
	for _, e := range l.failed {
		// A failure that the playbook rescued is not counted in the recap.
		if len(l.recap) == 0 || counted[e.Host] {
			bad = append(bad, e)
		}
	}
	if len(bad) == 0 {
		if complaint != "" {
			return fmt.Sprintf("the playbook %s cannot be run: %s", o.Provision.Playbook, complaint)
		}
		return fmt.Sprintf("the playbook %s failed (ansible-playbook ended with exit %d); the log says more", o.Provision.Playbook, code)
	}
	slices.SortFunc(bad, func(a, b event) int { return cmp.Compare(a.Host, b.Host) })
	var b strings.Builder
	for i, e := range bad {
		const most = 5
		if i == most {
			fmt.Fprintf(&b, "; and %d more hosts", len(bad)-most)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(l.sentence(o, e))
	}
	return b.String()
}

func (l *events) sentence(o Options, e event) string {
	why := e.said()
	switch e.Event {
	case "silent":
		return fmt.Sprintf("host %s did not let Ansible in within %s: %s", e.Host, cmp.Or(o.Provision.Within, defaultWithin.String()), why)
	case "unreachable":
		return fmt.Sprintf("host %s was unreachable at task %q%s: %s", e.Host, e.Task, place(o.Tree, e.Path), why)
	}
	if items := l.items[e.Host+"\x00"+e.Task]; len(items) > 0 {
		why = strings.Join(items[:min(3, len(items))], "; ")
	}
	return fmt.Sprintf("task %q%s failed on host %s: %s", e.Task, place(o.Tree, e.Path), e.Host, why)
}

// place is the file and line of a task inside of the repository.
func place(tree, path string) string {
	rel, err := filepath.Rel(tree, path)
	if path == "" || err != nil || !filepath.IsLocal(rel) {
		return ""
	}
	return " (" + filepath.ToSlash(rel) + ")"
}
