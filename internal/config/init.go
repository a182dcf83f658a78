package config

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/terrace-cd/terrace/internal/core"
)

// Found is what Init found, for a person to read.
type Found struct {
	Stacks       []string `json:"stacks"`
	Environments []string `json:"environments"`
	// Notes are things that Init saw and that a person has to decide on.
	Notes []string `json:"notes"`
}

// Init looks at a repository and writes a terrace.hcl that fits it: its root modules,
// the environments that folders and var files are named after (dev, staging and
// production when there are none), and var files by environment. What it cannot know,
// like which output goes into which variable, it leaves to comments and notes.
func Init(tree Tree, project string) (text string, found Found, err error) {
	s, err := look(tree)
	if err != nil {
		return "", Found{}, core.Errorf(core.Invalid, "the folder cannot be read: %w", err)
	}
	w := &initWriter{survey: s, project: projectName(project), environments: s.environments, files: map[string]*varFile{}}
	if len(w.environments) == 0 {
		w.environments = []string{"dev", "staging", "production"}
	}
	for pattern := range s.varFiles {
		for _, env := range w.environments {
			name := fill(pattern, env)
			if src, err := tree.ReadFile(name); err == nil {
				w.files[name] = parseVarFile(name, src)
			}
		}
	}
	w.group()
	w.write()
	return string(hclwrite.Format([]byte(w.out.String()))), w.found, nil
}

// projectName makes a valid name of a folder's.
func projectName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < 128 && core.ValidName("a"+string(r)) {
			return r
		}
		return '-'
	}, s)
	s = strings.Trim(s, "-_")
	if len(s) > 63 {
		s = s[:63]
	}
	if !core.ValidName(s) {
		return "infrastructure"
	}
	return s
}

func fill(pattern, env string) string { return strings.ReplaceAll(pattern, environmentHole, env) }

// plannedStack is a stack as it will be written.
type plannedStack struct {
	name         string
	pattern      string // its folder, with a hole when there is one for each environment
	environments []string
	modules      []rootModule
	varFiles     []string // patterns
}

type initWriter struct {
	*survey
	project      string
	environments []string
	files        map[string]*varFile
	stacks       []*plannedStack
	found        Found
	out          strings.Builder
}

func (w *initWriter) note(format string, args ...any) {
	w.found.Notes = append(w.found.Notes, fmt.Sprintf(format, args...))
}

// group makes stacks of root modules: those whose folders differ by an environment's
// name are one stack.
func (w *initWriter) group() {
	byPattern := map[string]*plannedStack{}
	for _, r := range w.roots {
		pattern, env := splitEnvironment(r.dir)
		if env == "" {
			pattern = r.dir
		}
		st := byPattern[pattern]
		if st == nil {
			st = &plannedStack{pattern: pattern}
			byPattern[pattern] = st
			w.stacks = append(w.stacks, st)
		}
		st.modules = append(st.modules, r)
		if env != "" {
			st.environments = append(st.environments, env)
		}
	}
	names := map[string]bool{}
	for _, st := range w.stacks {
		st.name = w.stackName(st.pattern, names)
		names[st.name] = true
		w.found.Stacks = append(w.found.Stacks, st.name)
		w.assignVarFiles(st)
	}
	slices.Sort(w.found.Stacks)
	w.found.Environments = w.environments
}

func (w *initWriter) stackName(pattern string, taken map[string]bool) string {
	if pattern == "." {
		return w.project
	}
	var parts []string
	for p := range strings.SplitSeq(pattern, "/") {
		if p = strings.Trim(strings.ReplaceAll(p, environmentHole, ""), "-_."); p != "" {
			parts = append(parts, p)
		}
	}
	for i := len(parts) - 1; i >= 0; i-- {
		if name := projectName(strings.Join(parts[i:], "-")); !taken[name] {
			return name
		}
	}
	for i := 2; ; i++ {
		if name := fmt.Sprintf("%s-%d", w.project, i); !taken[name] {
			return name
		}
	}
}

// assignVarFiles gives a stack the var files by environment that are in its folder, or
// that set a variable it declares.
func (w *initWriter) assignVarFiles(st *plannedStack) {
	for _, pattern := range sortedKeys(w.varFiles) {
		inside := false
		for _, m := range st.modules {
			inside = inside || path.Dir(fill(pattern, w.varFiles[pattern][0])) == m.dir || strings.HasPrefix(pattern, m.dir+"/") && m.dir != "."
		}
		if !inside && (w.inSomeRoot(pattern) || !w.sets(pattern, st)) {
			continue
		}
		if inside && isAutomatic(path.Base(pattern)) {
			continue // the engine reads it by itself
		}
		if missing := w.missing(pattern, st); len(missing) > 0 {
			w.note("%s exists for some environments only (not for %s), so stack %q does not use it.", fill(pattern, "<environment>"), listed(missing, 5), st.name)
			continue
		}
		st.varFiles = append(st.varFiles, pattern)
	}
}

func (w *initWriter) inSomeRoot(pattern string) bool {
	return slices.ContainsFunc(w.roots, func(r rootModule) bool { return r.dir != "." && strings.HasPrefix(pattern, r.dir+"/") })
}

func (w *initWriter) missing(pattern string, st *plannedStack) []string {
	var out []string
	for _, env := range w.in(st) {
		if !slices.Contains(w.varFiles[pattern], env) {
			out = append(out, env)
		}
	}
	return out
}

func (w *initWriter) in(st *plannedStack) []string {
	if len(st.environments) > 0 {
		return st.environments
	}
	return w.environments
}

// sets reports whether a var file sets a variable that the stack declares.
func (w *initWriter) sets(pattern string, st *plannedStack) bool {
	for _, env := range w.varFiles[pattern] {
		f := w.files[fill(pattern, env)]
		if f == nil {
			continue
		}
		for name := range f.values {
			if slices.ContainsFunc(st.modules, func(m rootModule) bool { return m.module.variables[name] != nil }) {
				return true
			}
		}
	}
	return false
}

func (w *initWriter) line(format string, args ...any) { fmt.Fprintf(&w.out, format+"\n", args...) }

func (w *initWriter) write() {
	w.projectBlock()
	for i := range w.environments {
		w.environmentBlock(i)
	}
	for _, st := range w.stacks {
		w.stackBlock(st)
	}
	for _, r := range w.roots {
		if r.remoteState.Filename != "" {
			w.note("%s reads another stack's state. Terrace can pass the output itself, and then knows the order: declare a variable and set it in inputs of the stack, for example network_id = stack.network.id.", r.remoteStateAt())
		}
	}
}

func (w *initWriter) projectBlock() {
	w.line("# What goes through which environments, in which order. terrace validate checks this file.")
	w.line("project %q {", w.project)
	if w.terraform {
		w.line("engine = \"terraform\" # the lock files name providers of Terraform's registry")
	} else {
		w.line("engine = \"tofu\" # or \"terraform\"")
	}
	var dirs []string
	for _, st := range w.stacks {
		if !strings.Contains(st.pattern, environmentHole) {
			dirs = append(dirs, st.modules[0].dir)
		}
	}
	globs := w.globs(dirs)
	switch {
	case len(w.roots) == 0:
		globs = []string{"stacks/*"}
		w.line("# There is no root module yet. Every folder with .tf files that this matches becomes a stack.")
		w.note("There is no root module here yet. Make one, for example stacks/network/main.tf.")
	case len(globs) == 0:
		w.line("# Every stack has a block below.")
	default:
		w.line("# Every root module that matches becomes a stack named after its folder.")
	}
	quotedGlobs := make([]string, len(globs))
	for i, g := range globs {
		quotedGlobs[i] = fmt.Sprintf("%q", g)
	}
	w.line("stacks = [%s]", strings.Join(quotedGlobs, ", "))
	w.stateArgument()
	w.line("}")
}

func (w *initWriter) stateArgument() {
	kinds := map[string]bool{}
	for _, r := range w.roots {
		if r.backend != "" && r.backend != "local" {
			kinds[r.backend] = true
		}
	}
	if len(kinds) == 0 {
		return
	}
	w.line("# The stacks have backends of their own (%s), where their state stays. To move it into", listed(sortedKeys(kinds), 4))
	w.line("# Terrace's versioned and encrypted backend, import it and set this to \"terrace\".")
	w.line("state = \"stack\"")
	w.note("The stacks keep their state in backends of their own (%s); state = \"stack\" leaves it there.", listed(sortedKeys(kinds), 4))
}

func (w *initWriter) environmentBlock(i int) {
	name := w.environments[i]
	w.line("\nenvironment %q {", name)
	if i > 0 {
		w.line("after = [%q]", w.environments[i-1])
		if i == len(w.environments)-1 {
			w.line("# bake = \"30m\" # keep verifying this long before a release counts as good here")
			w.line("# approval { from = [\"group:platform\"] }")
		}
	}
	if missing := w.unset(name); len(missing) > 0 {
		w.line("# These have no value yet. What another stack gives out belongs in inputs of the stack instead:")
		w.line("# variables = { %s }", strings.Join(missing, ", "))
		if i == 0 {
			w.note("These variables have no value yet: %s. Set them in variables of each environment, or in inputs of a stack.", listed(w.names(missing), 8))
		}
	}
	w.line("}")
}

func (w *initWriter) names(assignments []string) []string {
	out := make([]string, len(assignments))
	for i, a := range assignments {
		out[i], _, _ = strings.Cut(a, " ")
	}
	return out
}

// unset lists the variables that some stack needs in an environment and nobody sets.
func (w *initWriter) unset(env string) []string {
	need := map[string]bool{}
	for _, st := range w.stacks {
		if !slices.Contains(w.in(st), env) {
			continue
		}
		for _, m := range st.modules {
			if _, e := splitEnvironment(m.dir); e != "" && e != env {
				continue
			}
			for _, name := range m.needs() {
				if !w.setByFile(name, env, st, m) {
					need[name] = true
				}
			}
		}
	}
	var out []string
	for _, name := range sortedKeys(need) {
		out = append(out, name+" = null")
	}
	return out
}

func (w *initWriter) setByFile(name, env string, st *plannedStack, m rootModule) bool {
	for _, pattern := range st.varFiles {
		if f := w.files[fill(pattern, env)]; f != nil {
			if _, ok := f.values[name]; ok {
				return true
			}
		}
	}
	// Those that the engine reads by itself.
	return slices.ContainsFunc(w.index.files, func(f string) bool {
		return path.Dir(f) == m.dir && isAutomatic(path.Base(f))
	})
}

func (w *initWriter) stackBlock(st *plannedStack) {
	withHole := strings.Contains(st.pattern, environmentHole)
	rename := !withHole && path.Base(st.pattern) != st.name && st.pattern != "."
	shared := w.sharedBackend(st)
	if !withHole && !rename && len(st.varFiles) == 0 && shared == "" {
		return
	}
	w.line("\nstack %q {", st.name)
	if withHole || rename {
		w.line("path = %q", expression(st.pattern))
	}
	if withHole && len(st.environments) < len(w.environments) {
		names := make([]string, len(st.environments))
		for i, e := range st.environments {
			names[i] = fmt.Sprintf("%q", e)
		}
		w.line("environments = [%s]", strings.Join(names, ", "))
	}
	if len(st.varFiles) > 0 {
		files := make([]string, len(st.varFiles))
		for i, f := range st.varFiles {
			files[i] = `"` + expression(f) + `"`
		}
		w.line("var_files = [%s]", strings.Join(files, ", "))
	}
	if shared != "" {
		w.line("# Where the state of each environment is. Write the places where yours are.")
		w.line("backend = { %s }", apart(shared))
		w.note("The environments of %s need a state each: write where they are into backend of that stack.", st.name)
	}
	w.line("}")
}

// sharedBackend is the type of a backend whose block several environments would use as
// it is, "" when there is none.
func (w *initWriter) sharedBackend(st *plannedStack) string {
	m := st.modules[0]
	if strings.Contains(st.pattern, environmentHole) || len(w.environments) < 2 || m.module.backend == nil || m.module.backend.refers || !w.ownBackends() || m.backend == "cloud" {
		return ""
	}
	return m.backend
}

// ownBackends reports whether some stack has a backend that is worth keeping.
func (w *initWriter) ownBackends() bool {
	return slices.ContainsFunc(w.roots, func(r rootModule) bool { return r.backend != "" && r.backend != "local" })
}

// expression writes a pattern as the content of an HCL string.
func expression(pattern string) string { return fill(pattern, "${environment.name}") }
