package config

import (
	"errors"
	"fmt"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// modules reads the root modules of all instances. Reading goes through one
// goroutine, since trees are often one pipe to git; parsing uses every core.
func (l *load) modules() {
	type job struct {
		key     string
		sources []source
	}
	r := newReader(l.tree, l.cache)
	byDir := map[string]*module{}
	keys := map[string]string{}  // folder → key of a module that is being parsed
	pending := map[string]bool{} // keys
	jobs := make(chan job, 64)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for j := range jobs {
				l.cache.put(j.key, parseModule(j.sources))
			}
		})
	}
	parsed := map[string]*module{}
	l.eachPlace(func(st *stack, e *environment, p *place) {
		dir := p.instance.Path
		if dir == "" || byDir[dir] != nil || keys[dir] != "" {
			return
		}
		m, key, sources, err := r.lookup(dir, l.index.modules[dir])
		switch {
		case err != nil:
			l.error(startOf(dir), "A root module cannot be read", err.Error())
			byDir[dir] = &module{broken: hcl.Diagnostics{}}
		case m != nil:
			byDir[dir] = m
		default:
			keys[dir] = key
			if !pending[key] {
				pending[key] = true
				jobs <- job{key, sources}
			}
		}
	})
	close(jobs)
	wg.Wait()
	for dir, key := range keys {
		if parsed[key] == nil {
			m, ok := l.cache.get(key).(*module)
			if !ok { // dropped by a cache that others use as well
				_, _, sources, err := r.lookup(dir, l.index.modules[dir])
				if err != nil {
					continue
				}
				m = parseModule(sources)
			}
			parsed[key] = m
		}
		byDir[dir] = parsed[key]
	}
	warned := map[string]bool{}
	l.eachPlace(func(st *stack, e *environment, p *place) {
		dir := p.instance.Path
		p.module = byDir[dir]
		if p.module != nil && len(p.module.broken) > 0 && !warned[dir] {
			warned[dir] = true
			d := *p.module.broken[0]
			rng := inFolder(dir, rangeOf(&d))
			l.warning(rng, d.Summary, fmt.Sprintf("%s The variables of stack %q are not checked before the engine sees them.", d.Detail, st.Name))
		}
		l.readVarFiles(r, st, e, p)
	})
}

func (l *load) readVarFiles(r *reader, st *stack, e *environment, p *place) {
	if p.varFiles != nil || p.auto != nil {
		return // a discovered stack is the same everywhere
	}
	for _, name := range p.instance.VarFiles {
		p.varFiles = l.appendVarFile(p.varFiles, r, name, instance(st, e))
	}
	for _, name := range l.index.auto[p.instance.Path] {
		p.auto = l.appendVarFile(p.auto, r, path.Join(p.instance.Path, name), instance(st, e))
	}
}

func (l *load) appendVarFile(files []*varFile, r *reader, name, where string) []*varFile {
	f, err := r.varFile(name)
	if err != nil {
		l.at(where, hcl.DiagError, startOf(name), "A var file cannot be read", err.Error(), "")
		return files
	}
	for _, d := range f.diags {
		l.at(where, d.Severity, rangeOf(d), d.Summary, d.Detail, "")
	}
	return append(files, f)
}

// inFolder gives a range of a shared module the folder it is meant in.
func inFolder(dir string, rng hcl.Range) hcl.Range {
	rng.Filename = path.Join(dir, rng.Filename)
	return rng
}

func (l *load) eachPlace(f func(*stack, *environment, *place)) {
	for _, name := range l.names {
		st := l.stacks[name]
		for _, e := range st.environments {
			if p := st.places[e.index]; p != nil {
				f(st, e, p)
			}
		}
	}
}

// given is a value for a variable, from whichever source wins.
type given struct {
	value cty.Value
	rng   hcl.Range
}

// variables checks that every instance gets all its variables, with the right types.
func (l *load) variables() {
	l.eachPlace(func(st *stack, e *environment, p *place) {
		inputs, allInputs := l.inputValues(st, e)
		if p.module == nil || p.module.broken != nil {
			return
		}
		for _, name := range p.module.names {
			v := p.module.variables[name]
			g, ok := l.given(name, e, p, inputs, st)
			switch {
			case ok:
				checkValue(&l.problems, instance(st, e), p.instance.Path, name, v, g)
			case v.required && allInputs:
				l.at(instance(st, e), hcl.DiagError, inFolder(p.instance.Path, v.rng), fmt.Sprintf("No value for variable %q", name),
					fmt.Sprintf("Stack %q declares it without a default.", st.Name),
					fmt.Sprintf("Set it in variables of the environment, in a var file or in inputs of stack %q; or give it a default.", st.Name)+l.similarValue(name, p))
			}
		}
		for name := range inputs {
			if p.module.variables[name] == nil {
				l.at(instance(st, e), hcl.DiagError, st.inputRange(name), fmt.Sprintf("Stack %q has no variable %q", st.Name, name),
					fmt.Sprintf("%s declares %s.", p.instance.Path, orNone(listed(p.module.names, 12))), strings.TrimSpace(didYouMean(name, p.module.names)))
			}
		}
	})
	l.unusedVariables()
}

func (l *load) similarValue(name string, p *place) string {
	if slices.Contains([]string{"environment", "environment_name", "env"}, name) {
		return fmt.Sprintf(" In inputs, %s = environment.name.", name)
	}
	for _, e := range l.envs {
		for _, n := range sortedKeys(e.values) {
			if p.module.variables[n] == nil && Closest(name, []string{n}) != "" {
				return fmt.Sprintf(" Environment %q has a variable %q: is that meant?", e.Name, n)
			}
		}
	}
	return ""
}

// given finds the value of a variable: inputs win over var files, those over the
// environment, and that over what the engine finds by itself.
func (l *load) given(name string, e *environment, p *place, inputs map[string]cty.Value, st *stack) (given, bool) {
	if _, ok := e.values[name]; ok {
		e.used[name] = true
	}
	if v, ok := inputs[name]; ok {
		return given{v, st.inputRange(name)}, true
	}
	for _, f := range slices.Backward(p.varFiles) {
		if v, ok := f.values[name]; ok {
			return given{v, f.places[name]}, true
		}
	}
	if v, ok := e.values[name]; ok {
		rng, known := e.places[name]
		if !known {
			rng = e.body.rangeOf("variables")
		}
		return given{v, rng}, true
	}
	for _, f := range slices.Backward(p.auto) {
		if v, ok := f.values[name]; ok {
			return given{v, f.places[name]}, true
		}
	}
	return given{}, false
}

func (st *stack) inputRange(name string) hcl.Range {
	if rng, ok := st.inputPlaces[name]; ok {
		return rng
	}
	return st.body.rangeOf("inputs")
}

// checkValue checks a value for a variable of a root module in folder, at an instance.
func checkValue(ps *problems, where, folder, name string, v *variable, g given) {
	declared := fmt.Sprintf("%s:%d", path.Join(folder, v.rng.Filename), v.rng.Start.Line)
	if g.value.IsKnown() && g.value.IsNull() {
		if !v.nullable && v.required {
			ps.at(where, hcl.DiagError, g.rng, fmt.Sprintf("Variable %q cannot be null", name), fmt.Sprintf("%s declares it with nullable = false.", declared), "")
		}
		return
	}
	if v.typ == cty.DynamicPseudoType {
		return
	}
	val := g.value
	if v.defaults != nil && val.IsWhollyKnown() {
		val = v.defaults.Apply(val)
	}
	if _, err := convert.Convert(val, v.typ); err != nil {
		ps.at(where, hcl.DiagError, g.rng, fmt.Sprintf("The wrong type for variable %q", name),
			fmt.Sprintf("%s declares it as %s, and this is %s: %s.", declared, typeexpr.TypeString(v.typ), friendlyType(g.value.Type()), pathError(err)), "")
	}
}

// pathError says where inside a value a conversion failed.
func pathError(err error) string {
	var pe cty.PathError
	if errors.As(err, &pe) && len(pe.Path) > 0 {
		var at strings.Builder
		for _, step := range pe.Path {
			switch s := step.(type) {
			case cty.GetAttrStep:
				at.WriteString("." + s.Name)
			case cty.IndexStep:
				if k := s.Key; k.IsKnown() && !k.IsNull() && k.Type() == cty.String {
					fmt.Fprintf(&at, "[%q]", k.AsString())
				} else if k.IsKnown() && !k.IsNull() && k.Type() == cty.Number {
					fmt.Fprintf(&at, "[%s]", k.AsBigFloat().Text('f', -1))
				}
			}
		}
		return fmt.Sprintf("in %s, %s", strings.TrimPrefix(at.String(), "."), pe.Error())
	}
	return err.Error()
}

// unusedVariables warns of environment variables that reach nobody, which is most
// often a typing mistake.
func (l *load) unusedVariables() {
	declared := map[string]bool{}
	broken := false
	l.eachPlace(func(_ *stack, _ *environment, p *place) {
		if p.module == nil || p.module.broken != nil {
			broken = true // it may be the one that declares it
			return
		}
		for _, n := range p.module.names {
			declared[n] = true
		}
	})
	if broken || len(l.names) == 0 {
		return
	}
	referenced := referencedVariables(l.stacks)
	warned := map[hcl.Range]bool{} // the project's are in every environment
	var names []string
	for n := range declared {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, e := range l.envs {
		for name := range e.values {
			rng, ok := e.places[name]
			if !ok || e.used[name] || declared[name] || referenced[name] || referenced[""] || warned[rng] {
				continue
			}
			warned[rng] = true
			l.warning(rng, fmt.Sprintf("Variable %q reaches no stack", name), fmt.Sprintf("No stack declares a variable of that name, and no expression refers to environment.variables.%s.%s", name, didYouMean(name, names)))
		}
	}
}

// referencedVariables are the names in environment.variables.NAME in any expression;
// "" when one refers to all of them.
func referencedVariables(stacks map[string]*stack) map[string]bool {
	out := map[string]bool{}
	for _, st := range stacks {
		for _, expr := range st.expressions() {
			for _, t := range expr.Variables() {
				if t.RootName() == "environment" && (len(t) < 2 || nameAt(t, 1) == "variables") {
					out[nameAt(t, 2)] = true
				}
			}
		}
	}
	return out
}
