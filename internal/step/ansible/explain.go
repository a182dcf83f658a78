package ansible

import (
	"fmt"
	"strings"

	"github.com/terrace-cd/terrace/internal/wire"
)

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
func (r *results) explain(code int, complaint string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var sentences []string
	for _, name := range sortedKeys(r.hosts) {
		if sentence := r.sentence(name); sentence != "" {
			sentences = append(sentences, sentence)
		}
	}
	const most = 5
	switch {
	case len(sentences) > most:
		return fmt.Sprintf("%s; and %d more hosts", strings.Join(sentences[:most], "; "), len(sentences)-most)
	case len(sentences) > 0:
		return strings.Join(sentences, "; ")
	case complaint != "":
		return fmt.Sprintf("the playbook %s cannot be run: %s", r.o.Provision.Playbook, complaint)
	}
	return fmt.Sprintf("the playbook %s failed (ansible-playbook ended with exit %d); the log says more", r.o.Provision.Playbook, code)
}

// sentence is what became of a host; "" when nothing bad did.
func (r *results) sentence(name string) string {
	h := r.hosts[name]
	if h.silent != nil {
		return r.silence(*h.silent)
	}
	if h.trouble == nil || !h.failed && !h.unreachable {
		return ""
	}
	e := *h.trouble
	where := place(r.o.Tree, e.Path)
	if where != "" {
		where = " (" + where + ")"
	}
	if e.Event == "unreachable" {
		if strings.Contains(e.said(), "Host key verification failed") {
			return r.o.otherKey(name, "")
		}
		return fmt.Sprintf("host %s was unreachable at task %q%s: %s", name, e.Task, where, e.said())
	}
	why := e.said()
	if items := r.items[name+"\x00"+e.Task]; len(items) > 0 {
		why = strings.Join(items[:min(3, len(items))], "; ")
	}
	return fmt.Sprintf("task %q%s failed on host %s: %s", e.Task, where, name, why)
}

// silence says why a host did not let us in.
func (r *results) silence(e event) string {
	if e.Event == "other_key" {
		return r.o.otherKey(e.Host, e.Shown)
	}
	return fmt.Sprintf("%s did not let Ansible in within %s: %s", called(e.Host), r.o.within(), e.said())
}

// why says for one host why it is not done.
func (r *results) why(name, status string) string {
	if h := r.hosts[name]; h != nil {
		if sentence := r.sentence(name); sentence != "" {
			return sentence
		}
	}
	if status == statusLeft {
		return "the playbook did not come to its end here"
	}
	return "the log says more"
}

// called is how people are told of a host, or of the bastion.
func called(host string) string {
	if address, ok := strings.CutPrefix(host, wire.BastionName); ok {
		return "the bastion " + address
	}
	return "host " + host
}
