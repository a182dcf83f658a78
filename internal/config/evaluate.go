package config

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/terrace-cd/terrace/internal/core"
)

// evaluation evaluates the expressions of one instance. At load, what is known only
// later is unknown, and an unknown result is no problem.
type evaluation struct {
	problems *problems
	where    string // the instance
	ctx      *hcl.EvalContext
}

func (ev *evaluation) problem(rng hcl.Range, summary, detail string) {
	ev.problems.at(ev.where, hcl.DiagError, rng, summary, detail, "")
}

// value evaluates an argument. ok is false when it is not written or wrong.
func (ev *evaluation) value(b body, name string) (v cty.Value, ok bool) {
	expr := b.expr(name)
	if expr == nil || ev.problems.bad[expr] {
		return cty.NilVal, false
	}
	v, diags := evaluate(expr, ev.ctx)
	if diags.HasErrors() {
		for _, d := range explain(diags, expr, ev.ctx) {
			if ev.isSensitive(expr) && (d.Summary == "Error in function call" || d.Summary == "Invalid function argument") {
				d.Detail = "The function refuses its arguments. What it says is left out, since it may show a sensitive value."
			}
			ev.problem(rangeOf(d), d.Summary, d.Detail)
		}
		return cty.NilVal, false
	}
	return v, true
}

// isSensitive reports whether an expression refers to something sensitive.
func (ev *evaluation) isSensitive(expr hclsyntax.Expression) bool {
	return slices.ContainsFunc(expr.Variables(), func(t hcl.Traversal) bool {
		v, diags := t.TraverseAbs(ev.ctx)
		return !diags.HasErrors() && v.ContainsMarked()
	})
}

// converted is value with a type. An unknown value is not ok, and no problem.
func (ev *evaluation) converted(b body, name string, want cty.Type) (cty.Value, bool) {
	v, ok := ev.value(b, name)
	if !ok {
		return cty.NilVal, false
	}
	v, _ = v.UnmarkDeep()
	got, err := convert.Convert(v, want)
	if err != nil {
		ev.problem(b.rangeOf(name), fmt.Sprintf("%q has the wrong type", name), fmt.Sprintf("%s is needed. This is %s.", b.schema.attr(name).kind(), friendlyType(v.Type())))
		return cty.NilVal, false
	}
	if !got.IsWhollyKnown() {
		return cty.NilVal, false
	}
	if got.IsNull() {
		ev.problem(b.rangeOf(name), fmt.Sprintf("%q is null", name), fmt.Sprintf("%s is needed.", b.schema.attr(name).kind()))
		return cty.NilVal, false
	}
	return got, true
}

func (ev *evaluation) text(b body, name string) (item, bool) {
	v, ok := ev.converted(b, name, cty.String)
	if !ok {
		return item{}, false
	}
	return item{v.AsString(), b.rangeOf(name)}, true
}

func (ev *evaluation) texts(b body, name string) []item {
	v, ok := ev.converted(b, name, cty.List(cty.String))
	if !ok {
		return nil
	}
	return itemsOf(v, b.expr(name))
}

// object evaluates an argument that has to be an object or a map. whole is false when
// it is not known which attributes it has.
func (ev *evaluation) object(b body, name string) (attrs map[string]cty.Value, whole bool) {
	if !b.has(name) {
		return nil, true
	}
	v, ok := ev.value(b, name)
	if !ok {
		return nil, false
	}
	// A mark on the object itself concerns everything in it.
	v, marks := v.Unmark()
	t := v.Type()
	switch {
	case t == cty.DynamicPseudoType && !v.IsKnown():
		return nil, false
	case v.IsNull() || !(t.IsObjectType() || t.IsMapType()):
		ev.problem(b.rangeOf(name), fmt.Sprintf("%q has the wrong type", name), fmt.Sprintf("An object is needed, for example { name = \"web\" }. This is %s.", friendlyType(t)))
		return nil, false
	case !v.IsKnown():
		return nil, false
	}
	attrs = make(map[string]cty.Value, v.LengthInt())
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		attrs[k.AsString()] = e.WithMarks(marks)
	}
	return attrs, true
}

// scoped returns what the expressions of a stack see. stacks and own are objects of
// outputs, images the ids of images.
func scoped(parent *hcl.EvalContext, e *environment, release, sandbox cty.Value, stacks map[string]cty.Value, images, own cty.Value) *hcl.EvalContext {
	ctx := parent.NewChild()
	ctx.Variables = map[string]cty.Value{
		"environment": environmentValue(&e.Environment),
		"release":     release,
		"sandbox":     sandbox,
		"stack":       cty.ObjectVal(stacks),
		"image":       images,
	}
	if own != cty.NilVal {
		ctx.Variables["output"] = own
	}
	return ctx
}

var (
	unknownRelease = cty.ObjectVal(map[string]cty.Value{"commit": cty.UnknownVal(cty.String), "number": cty.UnknownVal(cty.Number)})
	noSandbox      = cty.ObjectVal(map[string]cty.Value{"name": cty.NullVal(cty.String), "owner": cty.NullVal(cty.String)})
)

// atLoad is the evaluation of an instance before anything is applied. Outputs that
// are used but not declared are there as well: checkOutput reports them.
func (l *load) atLoad(st *stack, e *environment, own cty.Value) *evaluation {
	used := map[string][]string{}
	for _, u := range st.uses {
		used[u.stack] = append(used[u.stack], u.output)
	}
	stacks := map[string]cty.Value{}
	for name, outputs := range used {
		stacks[name] = declaredOutputs(l.stacks[name].place(e), outputs)
	}
	return &evaluation{problems: &l.problems, where: instance(st, e),
		ctx: scoped(l.ctx, e, unknownRelease, noSandbox, stacks, st.imageValues(unknownImage), own)}
}

func (st *stack) place(e *environment) *place {
	if e.index >= len(st.places) {
		return nil
	}
	return st.places[e.index]
}

// declaredOutputs is an object with the outputs of a root module and those in used,
// all unknown.
func declaredOutputs(p *place, used []string) cty.Value {
	if p == nil || p.module == nil || p.module.broken != nil {
		return cty.DynamicVal
	}
	attrs := make(map[string]cty.Value, len(p.module.outputs)+len(used))
	for _, name := range slices.Concat(p.module.outputs, used) {
		attrs[name] = cty.DynamicVal
	}
	return cty.ObjectVal(attrs)
}

// inputValues evaluates the inputs of an instance as far as they are known.
func (l *load) inputValues(st *stack, e *environment) (values map[string]cty.Value, whole bool) {
	if st.Discovered {
		return nil, true
	}
	return l.atLoad(st, e, cty.NilVal).object(st.body, "inputs")
}

// expressions checks that outputs exist, and everything that is evaluated after an
// apply as far as it is known before.
func (l *load) expressions() {
	l.eachPlace(func(st *stack, e *environment, p *place) {
		if st.Discovered {
			return
		}
		for _, u := range st.uses {
			if u.output != "" {
				l.checkOutput(instance(st, e), fmt.Sprintf("Stack %q", u.stack), u.output, u.rng, l.stacks[u.stack].place(e))
			}
		}
		var used []string
		for _, a := range st.after() {
			for _, it := range outputNames(a.expr) {
				used = append(used, it.text)
				l.checkOutput(instance(st, e), fmt.Sprintf("Stack %q", st.Name), it.text, it.rng, p)
			}
		}
		l.checkAfter(st, p, l.atLoad(st, e, declaredOutputs(p, used)))
		l.checkSecrets(st, e)
	})
}

func (l *load) checkOutput(where, what, name string, rng hcl.Range, p *place) {
	if p == nil || p.module == nil || p.module.broken != nil || p.module.hasOutput(name) {
		return
	}
	l.at(where, hcl.DiagError, rng, fmt.Sprintf("%s has no output %q", what, name),
		fmt.Sprintf("%s has %s.", p.instance.Path, outputList(p.module.outputs)), didYouMeanOutput(name, p.module.outputs))
}

func outputList(names []string) string {
	if len(names) == 0 {
		return "no outputs; add an output block to it"
	}
	return listed(names, 12)
}

func didYouMeanOutput(name string, names []string) string {
	if s := Closest(name, names); s != "" {
		return fmt.Sprintf("Did you mean %q?", s)
	}
	return ""
}

// find returns a stack and its place in an environment. NotFound when it is not there.
func (c *Config) find(stackName, env string) (*stack, *environment, *place, error) {
	e, st := c.envs[env], c.stacks[stackName]
	if e == nil {
		return nil, nil, nil, core.Errorf(core.NotFound, "project %s has no environment %q; it has %s", c.Project.Name, env, listed(c.environmentNames(), 12))
	}
	if st == nil {
		return nil, nil, nil, core.Errorf(core.NotFound, "project %s has no stack %q", c.Project.Name, stackName)
	}
	p := st.place(e)
	if p == nil {
		return nil, nil, nil, core.Errorf(core.NotFound, "stack %q is not deployed to %s; it is in %s", stackName, env, orNone(listed(st.Environments, 12)))
	}
	return st, e, p, nil
}

func (c *Config) environmentNames() []string {
	names := make([]string, len(c.Environments))
	for i, e := range c.Environments {
		names[i] = e.Name
	}
	return names
}

// Instances lists the stacks of an environment, each after those it depends on, others
// by name. It is empty for an environment that does not exist.
func (c *Config) Instances(env string) []Instance {
	e := c.envs[env]
	if e == nil {
		return nil
	}
	var out []Instance
	for _, name := range c.order {
		p := c.stacks[name].place(e)
		if p == nil || c.sandbox != nil && !c.sandbox.Has(name) {
			continue
		}
		in := p.instance
		if c.sandbox != nil { // the base's outputs are there
			in.DependsOn = slices.DeleteFunc(slices.Clone(in.DependsOn), func(up string) bool { return !c.sandbox.Has(up) })
		}
		out = append(out, in)
	}
	return out
}
