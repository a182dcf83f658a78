package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/core"
)

// The layers of variables, the lowest first: the project, the environment, a sandbox, var
// files, inputs, the guardrails. The first three are one set of values of an environment.

// projectVariables checks the variables of the project block as far as that goes without an
// environment.
func (l *load) projectVariables(b body) {
	expr := b.expr("variables")
	if expr == nil || l.selfReference(expr, "a project") {
		return
	}
	before := len(l.diags)
	l.references(expr, "variables", seesEnvironment)
	if len(l.diags) > before {
		return
	}
	l.sharedPlaces = map[string]hcl.Range{}
	l.items(expr, l.sharedPlaces)
	l.shared = expr
}

func (l *load) selfReference(expr hclsyntax.Expression, of string) bool {
	for _, t := range expr.Variables() {
		if t.RootName() == "environment" && nameAt(t, 1) == "variables" {
			l.error(t.SourceRange(), "A variable cannot refer to variables", fmt.Sprintf("The variables of %s see environment.name only.", of))
			return true
		}
	}
	return false
}

// environmentVariables evaluates the variables of an environment, over those of the project.
func (l *load) environmentVariables(e *environment) {
	e.values = map[string]cty.Value{}
	if l.top == guardrailsSchema {
		return // values of another kind: see guardedVariables
	}
	if l.shared != nil {
		values, diags := namedValues(l.ctx, l.shared, e.Name)
		for _, d := range diags {
			l.at("environment "+e.Name, hcl.DiagError, rangeOf(d), d.Summary, d.Detail, "")
		}
		maps.Copy(e.values, values)
		for name := range values {
			e.layers[name], e.places[name] = "project "+l.cfg.Project.Name, l.sharedPlaces[name]
		}
	}
	l.ownVariables(e)
	if len(e.values) > 0 {
		e.Variables = cty.ObjectVal(e.values)
	}
}

func (l *load) ownVariables(e *environment) {
	expr := e.body.expr("variables")
	if expr == nil || l.selfReference(expr, "an environment") {
		return
	}
	before := len(l.diags)
	l.references(expr, "variables", seesEnvironment)
	if len(l.diags) > before {
		return
	}
	values, diags := namedValues(l.ctx, expr, e.Name)
	if diags.HasErrors() {
		l.diags = append(l.diags, diags...)
		return
	}
	maps.Copy(e.values, values)
	own := map[string]hcl.Range{}
	l.items(expr, own)
	for name := range values {
		delete(e.layers, name)
		delete(e.places, name)
	}
	maps.Copy(e.places, own)
}

// namedValues evaluates variables under the name of an environment.
func namedValues(parent *hcl.EvalContext, expr hclsyntax.Expression, name string) (map[string]cty.Value, hcl.Diagnostics) {
	ctx := parent.NewChild()
	ctx.Variables = map[string]cty.Value{"environment": cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(name), "variables": cty.EmptyObjectVal})}
	v, diags := evaluate(expr, ctx)
	if diags.HasErrors() {
		return nil, explain(diags, expr, ctx)
	}
	if problem := notValues(v, expr); problem != nil {
		return nil, hcl.Diagnostics{problem}
	}
	return v.AsValueMap(), nil
}

// notValues says that something is no object of variables, nil when it is one.
func notValues(v cty.Value, expr hclsyntax.Expression) *hcl.Diagnostic {
	if t := v.Type(); v.IsNull() || !v.IsKnown() || !(t.IsObjectType() || t.IsMapType()) {
		return diagnostic(hcl.DiagError, expr.Range(), `"variables" has the wrong type`, fmt.Sprintf("An object is needed, for example { servers = 2 }. This is %s.", friendlyType(t)))
	}
	return nil
}

// rename evaluates the variables of an environment again, under its other name.
func (c *Config) rename(e *environment) error {
	values := map[string]cty.Value{}
	for _, expr := range []hclsyntax.Expression{c.shared, e.body.expr("variables")} {
		if expr == nil {
			continue
		}
		named, diags := namedValues(c.ctx, expr, e.Name)
		if diags.HasErrors() {
			return core.Errorf(core.Invalid, "the variables of the base cannot be evaluated with the name of the sandbox, %s: %w", e.Name, diags)
		}
		maps.Copy(values, named)
	}
	e.values = values
	return nil
}

// give sets the values that a sandbox has of its own. They are texts: JSON, unless every
// stack that declares the variable wants a string.
func (c *Config) give(e, base *environment, s core.Sandbox) {
	e.layers, e.places = maps.Clone(e.layers), maps.Clone(e.places)
	declared := c.declaredIn(base, s)
	for name, text := range s.Variables {
		e.values[name] = valueOf(text, declared[name], e.values[name])
		e.layers[name] = "sandbox " + s.Name
		delete(e.places, name)
	}
}

// CheckSandboxVariables refuses values of a sandbox's own that would reach nobody. Later
// commits may drop the variable.
func (c *Config) CheckSandboxVariables(s core.Sandbox) error {
	base := c.envs[s.Base]
	if base == nil {
		return nil // InSandbox says so
	}
	declared, referenced := c.declaredIn(base, s), referencedVariables(c.stacks)
	for _, name := range sortedKeys(s.Variables) {
		if len(declared[name]) == 0 && !referenced[name] && !referenced[""] {
			return core.Errorf(core.Invalid, "no stack of the sandbox %s declares a variable %q, and no expression refers to environment.variables.%[2]s.%s", s.Name, name, didYouMean(name, sortedKeys(declared)))
		}
	}
	return nil
}

// valueOf reads a text as JSON, or as it is where only strings are wanted, or nothing else
// fits.
func valueOf(text string, types []cty.Type, before cty.Value) cty.Value {
	onlyStrings := len(types) > 0 || before != cty.NilVal && before.Type() == cty.String
	for _, t := range types {
		onlyStrings = onlyStrings && t == cty.String
	}
	if !onlyStrings {
		if v, err := unmarshal([]byte(text)); err == nil && !v.IsNull() {
			return v
		}
	}
	return cty.StringVal(text)
}

// declaredIn names the variables that the stacks of a sandbox declare.
func (c *Config) declaredIn(base *environment, s core.Sandbox) map[string][]cty.Type {
	out := map[string][]cty.Type{}
	for name, st := range c.stacks {
		p := st.place(base)
		if p == nil || p.module == nil || !s.Has(name) {
			continue
		}
		for variable, v := range p.module.variables {
			out[variable] = append(out[variable], v.typ)
		}
	}
	return out
}

// Under returns the configuration with the values that guardrails give its variables. They
// win over all others, wherever a stack declares a variable of that name. A sandbox has those
// of its base.
func (c *Config) Under(g *Guardrails, project string) *Config {
	if !g.GivesVariables() {
		return c
	}
	out := *c
	out.envs = make(map[string]*environment, len(c.envs))
	for name, e := range c.envs {
		of, in := project, name
		if c.sandbox != nil {
			of, in = c.sandbox.Of, c.sandbox.Base
		}
		under := *e
		under.guarded = g.VariablesOf(of, in)
		out.envs[name] = &under
	}
	return &out
}

// GuardedVariables are those of an instance that get their value from the guardrails, as JSON.
func (c *Config) GuardedVariables(stack, env string) map[string]json.RawMessage {
	_, e, p, err := c.find(stack, env)
	if err != nil {
		return nil
	}
	out := map[string]json.RawMessage{}
	for name, g := range e.guarded {
		if !p.guarded(name) {
			continue
		}
		if out[name], err = marshal(g.Value); err != nil {
			return nil // LoadGuardrails took no such value
		}
	}
	return out
}

// GuardProblems says, for all environments, which values of the guardrails variables cannot
// take. Invalid with the rendered problems; nil when there are none.
func (c *Config) GuardProblems() error {
	return c.misfits("what the guardrails give does not fit", checkGuarded)
}

// SandboxProblems says likewise which values of its own a sandbox's variables cannot take.
func (c *Config) SandboxProblems() error {
	return c.misfits("what the sandbox is to have does not fit", func(ps *problems, st *stack, e *environment, p *place) {
		for _, name := range sortedKeys(c.sandbox.Variables) {
			if p.takes(name) && p.module.broken == nil {
				rng := hcl.Range{Filename: "--var " + name, Start: hcl.InitialPos, End: hcl.InitialPos}
				checkValue(ps, instance(st, e), p.instance.Path, name, p.module.variables[name], given{e.values[name], rng})
			}
		}
	})
}

// misfits checks every instance. Invalid with the rendered problems.
func (c *Config) misfits(what string, check func(*problems, *stack, *environment, *place)) error {
	var ps problems
	for _, name := range c.order {
		st := c.stacks[name]
		for _, env := range c.Environments {
			e := c.envs[env.Name]
			if p := st.place(e); p != nil && (c.sandbox == nil || c.sandbox.Has(name)) {
				check(&ps, st, e, p)
			}
		}
	}
	return misfit(&ps, what)
}

func misfit(ps *problems, what string) error {
	diags := ps.all("")
	if !diags.HasErrors() {
		return nil
	}
	return core.Errorf(core.Invalid, "%s:\n\n%s", what, strings.TrimSpace(Render(diags, nothing{}, false)))
}

// checkGuarded checks the values that the guardrails give one instance.
func checkGuarded(ps *problems, st *stack, e *environment, p *place) {
	if p.module == nil || p.module.broken != nil {
		return
	}
	for _, name := range sortedKeys(e.guarded) {
		if v := p.module.variables[name]; v != nil {
			checkValue(ps, instance(st, e), p.instance.Path, name, v, given{e.guarded[name].Value, e.guarded[name].place()})
		}
	}
}

// nothing is a tree without files: the guardrails are none of the repository's, so there is
// nothing to take excerpts of.
type nothing struct{}

func (nothing) ReadFile(name string) ([]byte, error) {
	return nil, core.Errorf(core.NotFound, "there is no %s", name)
}

func (nothing) Files() ([]string, error) { return nil, nil }
