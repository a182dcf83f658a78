package config

import (
	"encoding/json"

	"github.com/hashicorp/hcl/v2/ext/typeexpr"
)

// Variable is a variable that a root module declares, with the value that it gets somewhere.
type Variable struct {
	Name, Type string
	// Value is JSON; nil where it is sensitive, is the code's own default, or is not known.
	Value     json.RawMessage
	Sensitive bool
	// Where the value is written, for people, and At in which file and line; Default when it
	// is the code's own.
	Where   string
	At      string
	From    []OutputOf
	Default bool
}

// VariablesOf lists the variables of an instance, sorted by name, with the values that they
// get. Errors are those of Inputs.
func (c *Config) VariablesOf(stack, env string, s Scope) ([]Variable, error) {
	_, _, p, err := c.find(stack, env)
	if err != nil || p.module == nil {
		return nil, err
	}
	resolved, err := c.Resolved(stack, env, s)
	if err != nil {
		return nil, err
	}
	var out []Variable
	for _, name := range p.module.names {
		declared := p.module.variables[name]
		v := Variable{Name: name, Type: typeexpr.TypeString(declared.typ), Where: "default in " + p.instance.Path, At: lineOf(inFolder(p.instance.Path, declared.rng)), Default: true, Sensitive: declared.sensitive}
		if r, ok := resolved[name]; ok {
			v.Where, v.At, v.From, v.Default = r.Where, r.At, r.From, false
			v.Sensitive = v.Sensitive || r.Secret || r.Value.ContainsMarked()
			if plain, _ := r.Value.UnmarkDeep(); !v.Sensitive && plain.IsWhollyKnown() {
				if v.Value, err = marshal(plain); err != nil {
					return nil, err
				}
			}
		}
		out = append(out, v)
	}
	return out, nil
}
