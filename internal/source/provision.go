package source

import (
	"bufio"
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/terrace-cd/terrace/internal/playbook"
)

// provisioned is what a playbook uses.
type provisioned struct {
	parts        map[string]string
	together     bool
	requirements []string
	warnings     []Warning
	plays        playbook.Plays
	err          error
}

// besides are the folders that Ansible looks into beside a playbook.
var besides = []string{
	"action_plugins", "become_plugins", "cache_plugins", "callback_plugins", "cliconf_plugins", "collections", "connection_plugins", "defaults", "files",
	"filter_plugins", "group_vars", "handlers", "host_vars", "httpapi_plugins", "inventory_plugins", "library", "lookup_plugins", "module_utils",
	"playbooks", "roles", "strategy_plugins", "tasks", "templates", "terminal_plugins", "test_plugins", "vars", "vars_plugins",
}

// maxAnsibleFiles bounds how many files are looked through for the names of others.
const maxAnsibleFiles = 5000

// ansible gathers what one playbook uses: the playbook's whole folder, because roles,
// variables and templates are found there by names put together at run time; or, where
// that folder is also the project's or a stack's, what Ansible looks for in it. Then
// ansible.cfg, the folders it names, and files elsewhere that any of these names.
type ansible struct {
	*graph
	provisioned
	dir    string // of the playbook
	whole  []string
	looked map[string]bool
	queue  []*entry
}

func (g *graph) provision(root, name string) provisioned {
	key := "provision\x00" + root + "\x00" + name
	if p, ok := g.provisions[key]; ok {
		return p
	}
	a := &ansible{graph: g, provisioned: provisioned{parts: map[string]string{}}, dir: path.Dir(path.Clean(name)), looked: map[string]bool{}}
	if a.err = a.gather(root, path.Clean(name)); a.err == nil {
		a.plays = a.concerning(root, path.Clean(name))
	}
	g.provisions[key] = a.provisioned
	return a.provisioned
}

func (a *ansible) gather(root, name string) error {
	e, err := a.add("playbook ", name)
	if err != nil {
		return err
	}
	if e == nil {
		a.parts["playbook "+name] = missing
	}
	if within(root, a.dir) || len(a.tree.folders().configs[a.dir]) > 0 {
		err = a.beside()
	} else {
		_, err = a.add("folder ", a.dir)
	}
	if err != nil {
		return err
	}
	for _, dir := range []string{a.dir, root} {
		if err := a.settings(dir); err != nil {
			return err
		}
	}
	if err := a.require(root); err != nil {
		return err
	}
	for n := 0; len(a.queue) > 0; n++ {
		if n == maxAnsibleFiles {
			a.together = true // the rest may be about other hosts
			break
		}
		e := a.queue[0]
		a.queue = a.queue[1:]
		if err := a.mentioned(e); err != nil {
			return err
		}
	}
	return nil
}

// beside adds what Ansible looks for beside a playbook.
func (a *ansible) beside() error {
	for _, name := range besides {
		if _, err := a.add("folder ", path.Join(a.dir, name)); err != nil {
			return err
		}
	}
	entries := a.tree.under(a.dir)
	for i := range entries {
		p := entries[i].path
		if name := path.Base(p); path.Dir(p) == a.dir && !strings.HasPrefix(name, ".") && (isYAML(name) || strings.HasSuffix(name, ".j2")) {
			if _, err := a.add("file ", p); err != nil {
				return err
			}
		}
	}
	return nil
}

func isYAML(name string) bool {
	return strings.HasSuffix(name, ".yml") || strings.HasSuffix(name, ".yaml")
}

// add makes a file or folder a part, unless it is not there or counts already, and
// returns the entry of a file.
func (a *ansible) add(kind, name string) (*entry, error) {
	real, err := a.tree.resolve(name)
	if err != nil {
		return nil, onlyLeaves(err)
	}
	if slices.ContainsFunc(a.whole, func(dir string) bool { return within(real, dir) }) {
		return a.tree.find(real), nil
	}
	if e := a.tree.find(real); e != nil {
		if kind == "folder " {
			kind = "file "
		}
		if a.parts["playbook "+name] == "" {
			a.parts[kind+name] = a.tree.oid(e)
		}
		a.look(e)
		return e, nil
	}
	entries := a.tree.under(real)
	if len(entries) == 0 || kind == "playbook " || within(a.dir, real) && real != a.dir {
		return nil, nil // nothing, or a folder around the playbook, which would be everything
	}
	if a.parts["folder "+name], err = a.everything(name); err != nil {
		return nil, err
	}
	a.whole = append(a.whole, real)
	for i := range entries {
		a.look(&entries[i])
	}
	return nil, nil
}

// look remembers to look through a file.
func (a *ansible) look(e *entry) {
	if (e.kind == file || e.kind == program) && (isYAML(e.path) || isTemplate(e.path)) && !a.looked[e.path] {
		a.looked[e.path] = true
		a.queue = append(a.queue, e)
	}
}

// mentioned adds what a file names outside of what counts already, and notes whether it is
// about other hosts.
func (a *ansible) mentioned(e *entry) error {
	f := playForm
	if isYAML(e.path) {
		f = yamlForm
	}
	p, err := a.tree.parsed(a.mirror, f, e)
	if err != nil {
		return err
	}
	a.together = a.together || p.others
	for _, r := range p.reads {
		for _, from := range []string{path.Dir(e.path), a.dir} {
			if _, err := a.add("folder ", path.Join(from, r.path)); err != nil {
				return err
			}
		}
	}
	return nil
}

// settings adds ansible.cfg and the folders it names, for example in roles_path.
func (a *ansible) settings(dir string) error {
	e, err := a.add("file ", path.Join(dir, "ansible.cfg"))
	if err != nil || e == nil {
		return err
	}
	_, content, err := a.mirror.read(a.tree.oid(e), maxParse)
	if err != nil {
		return nil // its own content counts, what it names is not known
	}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		_, value, ok := strings.Cut(lines.Text(), "=")
		if !ok || strings.HasPrefix(strings.TrimSpace(lines.Text()), "#") {
			continue
		}
		for name := range strings.SplitSeq(value, ":") {
			if name = strings.TrimSpace(name); name != "" && !path.IsAbs(name) && !strings.HasPrefix(name, "~") {
				if _, err := a.add("folder ", path.Join(dir, name)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
