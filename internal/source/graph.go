package source

import (
	"path"
	"slices"
	"strings"
)

// graph puts together, folder by folder, what files contribute: who calls whom, and
// who reads what. It belongs to one goroutine.
type graph struct {
	tree   *Tree
	mirror *mirror
	engine string

	summaries map[string]*summary
	folders   map[string]folderSum // digests
	globs     map[string]globbed
	names     map[string]string // parts' names, shared by all stacks

	provisions map[string]provisioned
}

func newGraph(t *Tree, m *mirror, engine string) *graph {
	return &graph{tree: t, mirror: m, engine: engine,
		summaries: map[string]*summary{}, folders: map[string]folderSum{}, globs: map[string]globbed{}, names: map[string]string{}, provisions: map[string]provisioned{}}
}

// summary is what a module contributes wherever it is called: its own files and those
// of the modules it calls. Its templates have folders in place of path.module, and no
// locals; variables are left to the caller, and path.root to the stack.
type summary struct {
	modules  []string // folders, transitively, each once
	registry []RegistryCall
	reads    []readingAt
	warnings []Warning
	defaults map[string][]string
}

type readingAt struct {
	reading
	file string
	// guess: it may be so, and nobody has to be told when it is not.
	guess bool
}

func (r readingAt) certain() bool { return r.how != readHint && !r.guess }

const (
	maxSummary = 5000 // readings of a module, with those of the modules it calls
)

// summarise returns the summary of a folder. A module that calls itself, which engines
// refuse, contributes nothing the second time.
func (g *graph) summarise(dir string) (*summary, error) {
	if s, ok := g.summaries[dir]; ok {
		return s, nil
	}
	s := &summary{}
	g.summaries[dir] = s
	files := g.tree.configFiles(dir, g.engine)
	all := make([]parsed, len(files))
	locals := map[string][]string{}
	for i, e := range files {
		p, err := g.tree.parsed(g.mirror, formOf(e.path), e)
		if err != nil {
			return nil, err
		}
		all[i] = p
		if p.trouble != "" {
			s.warnings = append(s.warnings, Warning{Path: e.path, Line: 1, Message: "this file was not looked through: " + p.trouble + "; name the files and modules it uses" + withReads})
		}
		for _, l := range p.locals {
			locals[l.name] = append(locals[l.name], l.value)
		}
		for _, d := range p.defaults {
			if s.defaults == nil {
				s.defaults = map[string][]string{}
			}
			s.defaults[d.name] = append(s.defaults[d.name], d.value)
		}
	}
	in := &scope{dir: dir, locals: locals, known: map[string][]string{}, called: map[string]bool{}}
	for i, e := range files {
		for _, r := range all[i].reads {
			for _, p := range in.expand(r.path) {
				for _, pattern := range in.expand(r.pattern) {
					at := readingAt{reading: reading{r.how, p, pattern, r.name, r.line}, file: e.path}
					if settled, err := g.settled(s, dir, at); err != nil {
						return nil, err
					} else if !settled {
						s.add(at)
					}
				}
			}
		}
		for _, r := range all[i].registry {
			s.register(in, e.path, r)
		}
		for _, c := range all[i].calls {
			if err := g.call(s, in, e.path, c); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(s.modules)
	s.modules = slices.Compact(s.modules)
	return s, nil
}

// withReads is how people tell what Terrace cannot see.
const withReads = ` with reads = ["…"] in the stack's block, or a change in them starts no run`

func (s *summary) add(r readingAt) {
	if len(s.reads) == maxSummary {
		s.warnings = append(s.warnings, Warning{Path: r.file, Line: r.line, Message: "too many files are read here to look at all of them; name them" + withReads})
	}
	if len(s.reads) <= maxSummary {
		s.reads = append(s.reads, r)
	}
}

// settled reports whether a reading makes no difference whoever calls the module: it
// leads to a file that counts as the module's own, or to nothing. That is nearly all of
// them, and it is found out once instead of once for each stack.
func (g *graph) settled(s *summary, dir string, r readingAt) (bool, error) {
	if r.how == readSet || !strings.HasPrefix(r.path, string(markFolder)) || strings.ContainsAny(r.path, markRoot+string(markVariable)+unknown) {
		return false, nil
	}
	p := locate(r.path, dir)
	if !p.exact || p.outside {
		return false, nil
	}
	real, err := g.tree.resolve(p.path)
	if err != nil || real != p.path {
		return false, nil
	}
	e := g.tree.find(real)
	if e == nil {
		return len(g.tree.under(real)) == 0, nil
	}
	own := path.Dir(real)
	if aside(real) || !within(own, dir) || g.otherModule(dir, strings.TrimPrefix(own[len(dir):], "/")) && own != dir {
		return false, nil
	}
	if r.how == readTemplate && e.kind != submodule {
		inside, err := g.tree.parsed(g.mirror, templateForm, e)
		return err == nil && len(inside.reads) == 0, err
	}
	return true, nil
}

// scope is what templates of a folder's files refer to.
type scope struct {
	dir    string
	locals map[string][]string
	known  map[string][]string // expanded locals; nil while one is being expanded
	called map[string]bool     // folders of modules
}

// expand replaces path.module and locals.
func (in *scope) expand(template string) []string {
	template = strings.ReplaceAll(template, markModule, anchor(in.dir))
	if !strings.ContainsRune(template, markLocal) {
		return []string{template}
	}
	return substitute(template, markLocal, in.local)
}

// local expands a local; one that refers to itself is not known.
func (in *scope) local(name string) []string {
	values, ok := in.known[name]
	if ok {
		return values
	}
	in.known[name] = nil
	for _, v := range in.locals[name] {
		values = append(values, in.expand(v)...)
	}
	if len(values) > maxTemplates {
		values = onlyUnknown
	}
	in.known[name] = values
	return values
}

// call adds what a module call brings to the summary of the caller.
func (g *graph) call(s *summary, in *scope, file string, c moduleCall) error {
	var arguments map[string][]string
	for _, source := range in.expand(c.source) {
		for _, source := range substitute(source, markVariable, func(name string) []string { return s.defaults[name] }) {
			dir, ok := moduleFolder(in.dir, source)
			switch {
			case !ok && strings.ContainsAny(source, allMarks):
				s.warnings = append(s.warnings, Warning{Path: file, Line: c.line, Message: "where this module comes from is not known before the plan; if it is in this repository, name its files" + withReads})
				continue
			case !ok:
				continue // not local
			case dir == ".." || strings.HasPrefix(dir, "../"):
				s.warnings = append(s.warnings, Warning{Path: file, Line: c.line, Message: "this module is outside of the repository; a change in it starts no run"})
				continue
			}
			child, err := g.summarise(dir)
			if err != nil {
				return err
			}
			again := in.called[dir]
			if !again {
				in.called[dir] = true
				s.modules = append(append(s.modules, dir), child.modules...)
				s.warnings = append(s.warnings, child.warnings...)
				s.registry = append(s.registry, child.registry...)
			}
			if arguments == nil && len(child.reads) > 0 {
				arguments = map[string][]string{}
				for _, a := range c.args {
					arguments[a.name] = append(arguments[a.name], in.expand(a.value)...)
				}
			}
			lookup := func(name string) []string {
				if values, ok := arguments[name]; ok {
					return values
				}
				return child.defaults[name]
			}
			for _, r := range child.reads {
				if again && !strings.ContainsRune(r.path+r.pattern, markVariable) {
					continue
				}
				if len(s.reads) > maxSummary {
					break
				}
				for _, p := range substitute(r.path, markVariable, lookup) {
					for _, pattern := range substitute(r.pattern, markVariable, lookup) {
						s.add(readingAt{reading: reading{r.how, p, pattern, r.name, r.line}, file: r.file})
					}
				}
			}
		}
	}
	return nil
}

// moduleFolder returns the folder of a local module, false when source is none.
func moduleFolder(dir, source string) (string, bool) {
	if rest, ok := strings.CutPrefix(source, anchor(dir)); ok {
		source = "./" + rest
	}
	if !isLocal(source) || strings.ContainsAny(source, allMarks) {
		return "", false
	}
	return path.Join(dir, source), true
}
