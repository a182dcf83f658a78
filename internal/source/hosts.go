package source

import (
	"path"
	"regexp"
	"strings"
)

// othersRE finds where a playbook, role or template is about other hosts than the one that it
// is run for. A comment counts as well: it is rather found too often than not.
var othersRE = regexp.MustCompile(`hostvars|play_hosts|ansible_play_batch|inventory_hostnames|run_once` +
	// The variable groups, and not an attribute or an argument of that name.
	`|(?:^|[^\w.'"-])groups\s*(?:\[|\.[A-Za-z_]|\|)|\bin\s+groups\b` +
	`|delegate_to['"]?[ \t]*:[ \t]*(.*)`)

// otherHosts reports whether a file is about other hosts. Delegating to the machine that
// Ansible runs on is about none.
func otherHosts(src []byte) bool {
	for _, found := range othersRE.FindAllSubmatchIndex(src, -1) {
		if found[2] < 0 {
			return true
		}
		to, _, _ := strings.Cut(string(src[found[2]:found[3]]), " #")
		switch strings.Trim(to, " \t\r'\"{},") {
		case "localhost", "127.0.0.1", "inventory_hostname":
		default:
			return true
		}
	}
	return false
}

// isTemplate reports whether Ansible would take a file for a template.
func isTemplate(name string) bool {
	switch path.Ext(name) {
	case ".j2", ".jinja", ".jinja2":
		return true
	}
	return strings.Contains("/"+name, "/templates/")
}
