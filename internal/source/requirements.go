package source

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/terrace-cd/terrace/internal/git"
)

// requirementFiles are where roles and collections to install are named, beside a playbook.
var requirementFiles = []string{
	"collections/requirements.yaml", "collections/requirements.yml", "requirements.yaml", "requirements.yml", "roles/requirements.yaml", "roles/requirements.yml",
}

// require adds the files that name roles and collections to install, with a warning for each
// that is not the same every time.
func (a *ansible) require(root string) error {
	var names []string
	for _, name := range requirementFiles {
		names = append(names, path.Join(a.dir, name))
	}
	names = append(names, path.Join(root, "requirements.yaml"), path.Join(root, "requirements.yml"))
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		e := a.tree.regular(name)
		if e == nil {
			continue
		}
		_, content, err := a.mirror.read(a.tree.oid(e), maxParse)
		if err != nil && !errors.Is(err, git.ErrTooLarge) {
			return err
		}
		all, ok := requirementsIn(content)
		if err == nil && !ok {
			continue // something else of that name
		}
		if _, err := a.add("file ", name); err != nil {
			return err
		}
		a.requirements = append(a.requirements, name)
		for _, r := range all {
			if !r.exact() {
				a.warnings = append(a.warnings, Warning{Path: name, Line: r.line, Message: fmt.Sprintf("the %s %s has no exact version, so another one may be installed with the next change; write for example version: 1.2.3", r.kind, r.name)})
			}
		}
	}
	return nil
}

// requirement is a role or a collection to install.
type requirement struct {
	kind                  string // "role" or "collection"
	name, from, how, with string // with is its version
	line                  int
}

// requirementsIn reads a file of requirements; ok is false for a file that is none.
func requirementsIn(content []byte) (all []requirement, ok bool) {
	var doc yaml.Node
	if yaml.Unmarshal(content, &doc) != nil || len(doc.Content) == 0 {
		return nil, false
	}
	switch top := doc.Content[0]; top.Kind {
	case yaml.SequenceNode: // as it was before there were collections
		return requirementList("role", top), true
	case yaml.MappingNode:
		for i := 0; i+1 < len(top.Content); i += 2 {
			switch list := top.Content[i+1]; top.Content[i].Value {
			case "roles":
				all, ok = append(all, requirementList("role", list)...), true
			case "collections":
				all, ok = append(all, requirementList("collection", list)...), true
			}
		}
	}
	return all, ok
}

func requirementList(kind string, list *yaml.Node) (all []requirement) {
	for _, item := range list.Content {
		r := requirement{kind: kind, line: item.Line}
		switch item.Kind {
		case yaml.ScalarNode:
			r.name, r.with, _ = strings.Cut(item.Value, ",")
		case yaml.MappingNode:
			for i := 0; i+1 < len(item.Content); i += 2 {
				switch value := item.Content[i+1].Value; item.Content[i].Value {
				case "name", "role":
					r.name = value
				case "src", "source":
					r.from = value
				case "type", "scm":
					r.how = value
				case "version":
					r.with = value
				case "include":
					r.how = "file" // its own entries are looked at by Ansible alone
				}
			}
		}
		if r.name == "" {
			r.name = r.from
		}
		if r.name != "" && len(r.name) < 500 {
			all = append(all, r)
		}
	}
	return all
}

// exactRE is a version that stays what it is: a tag like one, or a commit.
var exactRE = regexp.MustCompile(`^(?:(?:==\s*)?v?\d+(?:\.\d+)+(?:[-+.][0-9A-Za-z.+-]*)?|[0-9a-f]{40})$`)

func (r requirement) exact() bool {
	switch {
	case exactRE.MatchString(strings.TrimSpace(r.with)):
		return true
	case r.how == "file" || r.how == "dir" || r.how == "subdirs" || r.how == "url":
		return true // the file says it
	}
	return strings.HasSuffix(r.name, ".tar.gz") || strings.HasSuffix(r.from, ".tar.gz")
}
