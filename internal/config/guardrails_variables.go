package config

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// GuardedValue is the value that the guardrails give a variable.
type GuardedValue struct {
	Value   cty.Value
	Pattern string // of the block
	rng     hcl.Range
	version int64
}

// Where says where it is written, for people.
func (v GuardedValue) Where() string {
	if v.version == 0 {
		return fmt.Sprintf("guardrails (environment %q)", v.Pattern)
	}
	return fmt.Sprintf("guardrails version %d (environment %q)", v.version, v.Pattern)
}

// place is where it is written: the guardrails are in no tree.
func (v GuardedValue) place() hcl.Range {
	rng := v.rng
	if v.version > 0 {
		rng.Filename = fmt.Sprintf("%s of version %d", GuardrailsFile, v.version)
	}
	return rng
}

// GivesVariables reports whether any variable gets its value from here.
func (g *Guardrails) GivesVariables() bool {
	return slices.ContainsFunc(g.Environments, func(e GuardedEnvironment) bool { return len(e.Gives) > 0 })
}

// VariablesOf are the values that variables have in an environment of a project, whatever its
// repository says. The last block that gives one decides.
func (g *Guardrails) VariablesOf(project, environment string) map[string]GuardedValue {
	out := map[string]GuardedValue{}
	for _, e := range g.Environments {
		if !e.Covers(project, environment) {
			continue
		}
		for name, v := range e.Gives {
			v.version = g.Version
			out[name] = v
		}
	}
	return out
}

var (
	variableRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,127}$`)
	// Names that no engine lets a variable have.
	noVariables = []string{"source", "version", "providers", "count", "for_each", "lifecycle", "depends_on", "locals"}
)

// guardedVariables reads the values that a block gives variables. What no stack could ever
// take is refused.
func (l *guardLoad) guardedVariables(pattern string, b body) map[string]GuardedValue {
	v, ok := l.plain(b, "variables", cty.DynamicPseudoType, l.ctx)
	if !ok {
		return nil
	}
	expr := b.expr("variables")
	if problem := notValues(v, expr); problem != nil {
		l.diags = append(l.diags, problem)
		return nil
	}
	places := map[string]hcl.Range{}
	l.items(expr, places)
	out := map[string]GuardedValue{}
	for name, value := range v.AsValueMap() {
		rng, ok := places[name]
		if !ok {
			rng = expr.Range()
		}
		switch {
		case !variableRE.MatchString(name) || slices.Contains(noVariables, name):
			l.error(rng, fmt.Sprintf("%q is not the name of a variable", name), "No stack can declare one of this name.")
			continue
		case value.IsNull():
			l.error(rng, fmt.Sprintf("%q is null", name), "The guardrails give a variable a value, or do not name it.")
			continue
		}
		if _, err := marshal(value); err != nil {
			l.error(rng, fmt.Sprintf("%q has no value that a variable can take", name), "Make it of strings, numbers, booleans, lists and objects.")
			continue
		}
		out[name] = GuardedValue{Value: value, Pattern: pattern, rng: rng}
	}
	return out
}
