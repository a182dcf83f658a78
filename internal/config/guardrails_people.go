package config

import (
	"fmt"
	"net/mail"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/terrace-cd/terrace/internal/core"
)

// people reads who there is: users, groups of them, and roles.
func (l *guardLoad) people(top body) {
	seen := map[string]*hclsyntax.Block{}
	for _, block := range top.blocks["user"] {
		b := l.read(block.Body, userSchema, block.DefRange())
		if l.unique("user", "users", block, seen) {
			l.emailsOf("user:"+block.Labels[0], b)
		}
	}
	seen = map[string]*hclsyntax.Block{}
	for _, block := range top.blocks["group"] {
		b := l.read(block.Body, groupSchema, block.DefRange())
		members := l.list(b, "members", l.ctx)
		for _, it := range members {
			if !personRE.MatchString(it.text) || !strings.HasPrefix(it.text, "user:") {
				l.error(it.rng, fmt.Sprintf("%q is no user", it.text), "The members of a group are users: write user:NAME, for example \"user:ana\".")
			}
		}
		if l.unique("group", "groups", block, seen) {
			l.g.groups[block.Labels[0]] = texts(members)
		}
	}
	for _, block := range top.blocks["role"] {
		b := l.read(block.Body, roleSchema, block.DefRange())
		members := l.list(b, "members", l.ctx)
		for _, it := range members {
			if personRE.MatchString(it.text) {
				l.group(it)
				continue
			}
			l.error(it.rng, fmt.Sprintf("%q is nobody", it.text), "Write user:NAME or group:NAME, for example \"group:platform\".")
		}
		l.g.roles = append(l.g.roles, roleBlock{Grant: core.Grant{Role: core.Role(block.Labels[0]), Reach: l.reach(b)}, members: texts(members)})
	}
}

// group reports "group:NAME" for which there is no block.
func (l *guardLoad) group(it item) {
	name, ok := strings.CutPrefix(it.text, "group:")
	if _, there := l.g.groups[name]; !ok || there {
		return
	}
	hint := didYouMean(name, sortedKeys(l.g.groups))
	if hint == "" {
		hint = fmt.Sprintf(" Write one: group %q { members = [\"user:ana\"] }", name)
	}
	l.error(it.rng, fmt.Sprintf("Unknown group %q", name), "There is no group of that name in this file."+hint)
}

func (l *guardLoad) emailsOf(user string, b body) {
	for _, it := range l.some(b, "emails", "nothing, so remove the block") {
		parsed, err := mail.ParseAddress(it.text)
		if err != nil || parsed.Address != it.text {
			l.error(it.rng, fmt.Sprintf("%q is not an address", it.text), "Write the address alone, for example \"ana@example.com\".")
			continue
		}
		lower := strings.ToLower(it.text)
		if other := l.g.emails[lower]; other != "" {
			l.error(it.rng, fmt.Sprintf("%s is %s already", it.text, other), "An address belongs to one user, or nobody knows whose commit it is.")
			continue
		}
		l.g.emails[lower] = user
	}
}
