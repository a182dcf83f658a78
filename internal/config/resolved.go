package config

import (
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Resolved is the value of a variable of a root module in one environment.
type Resolved struct {
	// Value carries SensitiveMark where it is made of something sensitive.
	Value cty.Value
	// Where it is written, for people: "inputs of stack web", "live/dev.tfvars"; At is the
	// file and the line, "" where that is not known.
	Where, At string
	// From are the outputs of other stacks that it is made of.
	From []OutputOf
	// Secret: the environment has a secret TF_VAR_NAME, and the value is not known here.
	Secret bool
}

// OutputOf names an output of a stack.
type OutputOf struct{ Stack, Output string }

// Resolved tells the variables of an instance that have a value from somewhere else than
// the code's own defaults, as the engine gets them: inputs win over var files, those over
// the environment, and that over what the engine finds by itself. Errors are those of
// Inputs. What the guardrails give wins over all.
func (c *Config) Resolved(stack, env string, s Scope) (map[string]Resolved, error) {
	st, e, p, err := c.find(stack, env)
	if err != nil {
		return nil, err
	}
	out := map[string]Resolved{}
	if p.module == nil {
		return out, nil
	}
	for _, name := range p.module.names {
		if r, ok := e.resolved(name, p); ok {
			out[name] = r
		}
	}
	if !st.Discovered {
		if err := c.resolvedInputs(out, st, e, s); err != nil {
			return nil, err
		}
	}
	for name, g := range e.guarded {
		if p.takes(name) {
			out[name] = Resolved{Value: g.Value, Where: g.Where(), At: lineOf(g.place())}
		}
	}
	return out, nil
}

// resolved is the value of a variable from beside the stack's block.
func (e *environment) resolved(name string, p *place) (Resolved, bool) {
	if v, rng := lastOf(p.varFiles, name); rng != nil {
		return Resolved{Value: v, Where: rng.Filename, At: lineOf(*rng)}, true
	}
	if v, ok := e.values[name]; ok {
		where := "variables of environment " + e.Name
		if layer := e.layers[name]; layer != "" {
			where = "variables of " + layer
		}
		return Resolved{Value: v, Where: where, At: lineOf(e.places[name])}, true
	}
	if v, rng := lastOf(p.auto, name); rng != nil {
		return Resolved{Value: v, Where: rng.Filename, At: lineOf(*rng)}, true
	}
	if secret := "TF_VAR_" + name; slices.Contains(e.Secrets, secret) {
		// Engines read it before everything else that has a value.
		where := "secrets of environment " + e.Name
		if from, elsewhere := e.From[secret]; elsewhere {
			where = from.String()
		}
		return Resolved{Value: cty.DynamicVal, Where: where, Secret: true}, true
	}
	return Resolved{}, false
}

// lineOf is FILE:LINE, "" for no place.
func lineOf(rng hcl.Range) string {
	if rng.Filename == "" {
		return ""
	}
	return fmt.Sprintf("%s:%d", rng.Filename, rng.Start.Line)
}

// resolvedInputs adds the inputs of a stack's block, which win.
func (c *Config) resolvedInputs(out map[string]Resolved, st *stack, e *environment, s Scope) error {
	outputs, err := c.upstream(st, e, s, st.inputUses)
	if err != nil {
		return err
	}
	var ps problems
	ev := &evaluation{problems: &ps, where: instance(st, e), ctx: c.context(st, e, s, outputs, cty.NilVal)}
	own, _ := ev.object(st.body, "inputs")
	if err := c.failed(&ps, instance(st, e)+": its inputs cannot be evaluated", slices.Collect(maps.Values(outputs))); err != nil {
		return err
	}
	for name, v := range own {
		out[name] = Resolved{Value: v, Where: "inputs of stack " + st.Name, At: lineOf(st.inputRange(name)), From: usedIn(attribute(st.body.expr("inputs"), name))}
	}
	return nil
}

// lastOf finds a variable in var files, of which the last one wins, and says where; nil when
// none has it.
func lastOf(files []*varFile, name string) (cty.Value, *hcl.Range) {
	for _, f := range slices.Backward(files) {
		if v, ok := f.values[name]; ok {
			return v, f.places[name].Ptr()
		}
	}
	return cty.NilVal, nil
}

// usedIn lists the outputs of other stacks that an expression refers to.
func usedIn(expr hclsyntax.Expression) (all []OutputOf) {
	for _, t := range expr.Variables() {
		if t.RootName() != "stack" {
			continue
		}
		if u := (OutputOf{nameAt(t, 1), nameAt(t, 2)}); !slices.Contains(all, u) {
			all = append(all, u)
		}
	}
	return all
}
