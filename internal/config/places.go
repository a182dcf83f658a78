package config

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// places finds the files of every instance: its root module, var files, playbook and
// what else it reads.
func (l *load) places() {
	taken := make([]map[string]string, len(l.envs))
	for i := range taken {
		taken[i] = map[string]string{}
	}
	for _, name := range l.names {
		st := l.stacks[name]
		st.places = make([]*place, len(l.envs))
		if st.Discovered {
			// Nothing about it depends on the environment.
			p := &place{instance: Instance{Stack: st.Name, Path: st.found}}
			for _, e := range st.environments {
				st.places[e.index] = p
				l.take(taken, st, e, st.found, l.rng(st))
			}
			continue
		}
		if !st.body.has("path") && st.found == "" {
			l.error(st.body.header, fmt.Sprintf("Stack %q has no root module", st.Name),
				fmt.Sprintf("No folder of that name is among %s, and there is no path = … here.%s", quoted(l.cfg.Project.Stacks, 4), l.similarModule(st.Name)))
		}
		l.checkFileReferences(st)
		for _, e := range st.environments {
			p := l.place(st, e)
			st.places[e.index] = p
			if p.instance.Path != "" {
				l.take(taken, st, e, p.instance.Path, st.body.rangeOf("path"))
			}
		}
	}
}

func (l *load) similarModule(name string) string {
	bases := make([]string, len(l.index.dirs))
	for i, dir := range l.index.dirs {
		bases[i] = path.Base(dir)
	}
	if base := Closest(name, bases); base != "" {
		return fmt.Sprintf(" Did you mean %s?", l.relative(l.index.dirs[slices.Index(bases, base)]))
	}
	return ""
}

func (l *load) take(taken []map[string]string, st *stack, e *environment, dir string, rng hcl.Range) {
	if first, ok := taken[e.index][dir]; ok {
		l.at(instance(st, e), hcl.DiagError, rng, fmt.Sprintf("Two stacks on %s", dir),
			fmt.Sprintf("%q and %q would both be this root module, each with a state of its own, for the same resources.", first, st.Name), "Give one of them another path, or environments that the other one is not in.")
		return
	}
	taken[e.index][dir] = st.Name
}

func (l *load) checkFileReferences(st *stack) {
	for _, name := range []string{"var_files", "reads"} {
		if e := st.body.expr(name); e != nil {
			l.references(e, name, seesEnvironment)
		}
	}
	if st.ansible != nil {
		if e := st.ansible.body.expr("playbook"); e != nil {
			l.references(e, "playbook", seesEnvironment)
		}
	}
}

// place evaluates the paths of a stack that has a block. Its path is "" when the root
// module is not there.
func (l *load) place(st *stack, e *environment) *place {
	ev := &evaluation{problems: &l.problems, where: instance(st, e), ctx: l.context(e)}
	p := &place{instance: Instance{Stack: st.Name, Path: st.found, DependsOn: st.dependsOn, Images: st.images, HasVerify: len(st.verify) > 0, HasAnsible: st.ansible != nil, Selects: st.ansible.selects()}}
	p.instance.ChecksHosts = st.ansible != nil && st.ansible.check
	if st.body.has("path") {
		p.instance.Path = l.modulePath(ev, st)
	}
	for _, f := range ev.texts(st.body, "var_files") {
		if name, ok := l.existing(ev.where, f, "var_files", "var file"); ok {
			p.instance.VarFiles = append(p.instance.VarFiles, name)
		}
	}
	for _, g := range ev.texts(st.body, "reads") {
		pattern, summary, detail := glob(l.root, g.text, "reads")
		if summary != "" {
			l.at(ev.where, hcl.DiagError, g.rng, summary, detail, "")
			continue
		}
		p.instance.Reads = append(p.instance.Reads, pattern)
	}
	if st.ansible != nil {
		if playbook, ok := ev.text(st.ansible.body, "playbook"); ok {
			p.instance.Playbook, _ = l.existing(ev.where, playbook, "playbook", "playbook")
		}
	}
	return p
}

func (l *load) modulePath(ev *evaluation, st *stack) string {
	it, ok := ev.text(st.body, "path")
	if !ok {
		return ""
	}
	dir, ok := l.inside(ev.where, it, "path")
	if ok && l.index.modules[dir] == nil {
		l.noModule(ev.where, it.rng, dir)
		return ""
	}
	return dir
}

// inside is join with a problem that names the instance.
func (l *load) inside(where string, it item, attr string) (string, bool) {
	name, ok := join(l.root, it.text)
	if !ok {
		summary, detail := escape(it.text, attr)
		l.at(where, hcl.DiagError, it.rng, summary, detail, "")
	}
	return name, ok
}

func (l *load) existing(where string, it item, attr, what string) (string, bool) {
	name, ok := l.inside(where, it, attr)
	if !ok {
		return "", false
	}
	if !l.index.hasFile(name) {
		hint := near(name, l.index.files)
		if l.index.hasDir(name) {
			hint = " It is a folder."
		}
		l.at(where, hcl.DiagError, it.rng, fmt.Sprintf("There is no %s %s", what, name), fmt.Sprintf("%s names a file that is not in the repository; is it committed?%s", attr, hint), "")
		return "", false
	}
	return name, true
}

func (l *load) noModule(where string, rng hcl.Range, dir string) {
	detail := "There is no such folder in the repository." + near(dir, l.index.dirs)
	if l.index.hasDir(dir) {
		detail = fmt.Sprintf("The folder has no .tf%s files.", map[bool]string{true: " or .tofu"}[l.cfg.Project.Engine == "tofu"])
		var inner []string
		for _, d := range l.index.dirs {
			if strings.HasPrefix(d, dir+"/") {
				inner = append(inner, l.relative(d))
			}
		}
		if len(inner) > 0 {
			detail += fmt.Sprintf(" There are root modules inside: %s.", listed(inner, 4))
		}
	}
	l.at(where, hcl.DiagError, rng, fmt.Sprintf("There is no root module in %s", dir), detail, "")
}
