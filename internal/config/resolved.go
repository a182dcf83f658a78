package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// Resolved is the value of a variable of a root module in one environment.
type Resolved struct {
	// Value carries SensitiveMark where it is made of something sensitive.
	Value cty.Value
	// Where it is written, for people: "inputs of stack web", "live/dev.tfvars".
	Where string
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
// Inputs.
func (c *Config) Resolved(stack, env string, s Scope) (map[string]Resolved, error) {
	st, e, p, err := c.find(stack, env)
	if err != nil {
		return nil, err
	}
	out := map[string]Resolved{}
	if p.module == nil {
		return out, nil
	}
	secrets := e.variableSecrets()
	for _, name := range p.module.names {
		switch v, where := lastOf(p.varFiles, name); {
		case where != "":
			out[name] = Resolved{Value: v, Where: where}
		case hasValue(e.values, name):
			out[name] = Resolved{Value: e.values[name], Where: "variables of environment " + e.Name}
		default:
			if v, where := lastOf(p.auto, name); where != "" {
				out[name] = Resolved{Value: v, Where: where}
			} else if slices.Contains(secrets, name) {
				out[name] = Resolved{Value: cty.DynamicVal, Where: "secrets of environment " + e.Name, Secret: true}
			}
		}
	}
	if st.Discovered {
		return out, nil
	}
	outputs, err := c.upstream(st, e, s, st.inputUses)
	if err != nil {
		return nil, err
	}
	var ps problems
	ev := &evaluation{problems: &ps, where: instance(st, e), ctx: c.context(e, s, outputs, cty.NilVal)}
	own, _ := ev.object(st.body, "inputs")
	if err := c.failed(&ps, instance(st, e)+": its inputs cannot be evaluated", slices.Collect(maps.Values(outputs))); err != nil {
		return nil, err
	}
	for name, v := range own {
		out[name] = Resolved{Value: v, Where: "inputs of stack " + st.Name, From: usedIn(attribute(st.body.expr("inputs"), name))}
	}
	return out, nil
}

// variableSecrets are the variables that secrets of the environment set: engines read
// TF_VAR_NAME, before everything else that has a value.
func (e *environment) variableSecrets() (names []string) {
	for _, s := range e.Secrets {
		if name, ok := strings.CutPrefix(s, "TF_VAR_"); ok {
			names = append(names, name)
		}
	}
	return names
}

func hasValue(values map[string]cty.Value, name string) bool {
	_, ok := values[name]
	return ok
}

// lastOf finds a variable in var files, of which the last one wins, and says in which.
func lastOf(files []*varFile, name string) (cty.Value, string) {
	for _, f := range slices.Backward(files) {
		if v, ok := f.values[name]; ok {
			return v, f.places[name].Filename
		}
	}
	return cty.NilVal, ""
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
