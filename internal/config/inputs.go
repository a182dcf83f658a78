package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/terrace-cd/terrace/internal/core"
)

type mark string

// SensitiveMark marks values that must not be shown. It spreads to every value that is
// made from a marked one.
const SensitiveMark = mark("sensitive")

// Inputs evaluates what goes into the engine for an instance. Errors: Invalid with the
// rendered problem when an expression fails, for example because an upstream has no
// such output; Conflict when an upstream was never applied; NotFound when there is no
// such instance.
func (c *Config) Inputs(stack, env string, s Scope) (Inputs, error) {
	st, e, p, err := c.find(stack, env)
	if err != nil {
		return Inputs{}, err
	}
	in := Inputs{Path: p.instance.Path, Variables: map[string]json.RawMessage{}, VarFiles: p.instance.VarFiles, Upstream: map[string][]string{}, Backend: c.backend(st, e)}
	values := map[string]cty.Value{}
	for name, v := range e.values {
		if p.takes(name) && !p.setsInFile(name) {
			values[name] = v
		}
	}
	if !st.Discovered {
		outputs, err := c.upstream(st, e, s, st.inputUses)
		if err != nil {
			return Inputs{}, err
		}
		for _, u := range st.inputUses {
			in.Upstream[u.stack] = union(in.Upstream[u.stack], u.output, outputs[u.stack])
			if u.unknown(outputs[u.stack]) {
				in.Waits = u.stack
				return in, nil
			}
		}
		var ps problems
		ev := &evaluation{problems: &ps, where: instance(st, e), ctx: c.context(st, e, s, outputs, cty.NilVal)}
		own, _ := ev.object(st.body, "inputs")
		if err := c.failed(&ps, instance(st, e)+": its inputs cannot be evaluated", slices.Collect(maps.Values(outputs))); err != nil {
			return Inputs{}, err
		}
		maps.Copy(values, own)
	}
	var ps problems
	checkGuarded(&ps, st, e, p)
	if err := misfit(&ps, "what the guardrails give "+instance(st, e)+" does not fit"); err != nil {
		return Inputs{}, err
	}
	for name, g := range e.guarded {
		if p.guarded(name) {
			values[name] = g.Value
		}
	}
	for name, v := range values {
		plain, paths := v.UnmarkDeepWithPaths()
		if len(paths) > 0 {
			in.Sensitive = append(in.Sensitive, name)
		}
		if in.Variables[name], err = marshal(plain); err != nil {
			return Inputs{}, core.Errorf(core.Invalid, "%s: the variable %q cannot be passed on: %w; make it of known strings, numbers, booleans, lists and objects", instance(st, e), name, err)
		}
	}
	slices.Sort(in.Sensitive)
	return in, nil
}

// takes reports whether the root module declares a variable. One that could not be
// understood gets none of the environment's, so that the engine's own message about it
// is what people see.
func (p *place) takes(name string) bool {
	return p.module != nil && p.module.variables[name] != nil
}

// guarded reports whether a value of the guardrails goes to the root module: also to one that
// could not be understood, or that would be the way around them. Engines warn of what is not
// declared.
func (p *place) guarded(name string) bool {
	return p.takes(name) || p.module == nil || p.module.broken != nil
}

func (p *place) setsInFile(name string) bool {
	return slices.ContainsFunc(p.varFiles, func(f *varFile) bool { _, ok := f.values[name]; return ok })
}

// union adds an output to a sorted list; all of them when it is "".
func union(list []string, output string, outputs cty.Value) []string {
	add := []string{output}
	if output == "" {
		add = nil
		for name := range outputs.Type().AttributeTypes() {
			add = append(add, name)
		}
	}
	list = append(list, add...)
	slices.Sort(list)
	return slices.Compact(list)
}

func unmarshal(text []byte) (cty.Value, error) {
	t, err := ctyjson.ImpliedType(text)
	if err != nil {
		return cty.NilVal, err
	}
	return ctyjson.Unmarshal(text, t)
}

func marshal(v cty.Value) (json.RawMessage, error) {
	if !v.IsWhollyKnown() {
		return nil, fmt.Errorf("its value is not known")
	}
	return ctyjson.Marshal(v, v.Type())
}

// upstream reads the outputs of the stacks that uses name. Nothing of a stack is evaluated
// before its images are built.
func (c *Config) upstream(st *stack, e *environment, s Scope, uses []use) (map[string]cty.Value, error) {
	if err := st.built(e, s); err != nil {
		return nil, err
	}
	out := map[string]cty.Value{}
	for _, u := range uses {
		if _, ok := out[u.stack]; ok {
			continue
		}
		var values map[string]cty.Value
		ok := false
		if s.Outputs != nil {
			values, ok = s.Outputs(u.stack)
		}
		if !ok {
			return nil, core.Errorf(core.Conflict, "%s needs outputs of %s, which has none yet; it goes on when %s is applied",
				instance(st, e), core.InstanceName(u.stack, e.Name), core.InstanceName(u.stack, e.Name))
		}
		out[u.stack] = withNulls(values, c.stacks[u.stack].place(e))
	}
	return out, nil
}

// withNulls makes an object of outputs. Engines do not store an output that is null,
// so one that the root module declares and the state lacks is null.
func withNulls(values map[string]cty.Value, p *place) cty.Value {
	values = maps.Clone(values)
	if values == nil {
		values = map[string]cty.Value{}
	}
	if p != nil && p.module != nil && p.module.broken == nil {
		for _, name := range p.module.outputs {
			if _, ok := values[name]; !ok {
				values[name] = cty.NullVal(cty.DynamicPseudoType)
			}
		}
	}
	return cty.ObjectVal(values)
}

// context is what expressions see once a release is known.
func (c *Config) context(st *stack, e *environment, s Scope, outputs map[string]cty.Value, own cty.Value) *hcl.EvalContext {
	release := cty.ObjectVal(map[string]cty.Value{"commit": cty.StringVal(s.Commit), "number": cty.NumberIntVal(s.Number)})
	sandbox := noSandbox
	if s.Sandbox != nil {
		sandbox = cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(s.Sandbox.Name), "owner": cty.StringVal(s.Sandbox.Owner)})
	}
	images := st.imageValues(func(name string) cty.Value {
		id, _ := s.Image(name) // see built
		return cty.StringVal(id)
	})
	return scoped(c.ctx, e, release, sandbox, outputs, images, own)
}

// failed makes an Invalid error of problems, nil when there are none. Sensitive texts
// in the outputs that were seen do not appear in it.
func (c *Config) failed(ps *problems, what string, seen []cty.Value) error {
	diags := ps.all("")
	if !diags.HasErrors() {
		return nil
	}
	var hide []string
	for _, v := range seen {
		hide = appendSensitive(hide, v)
	}
	for _, d := range diags {
		for _, s := range hide {
			d.Summary, d.Detail = redact(d.Summary, s), redact(d.Detail, s)
		}
	}
	return core.Errorf(core.Invalid, "%s:\n\n%s", what, strings.TrimSpace(Render(diags, c.tree, false)))
}

func redact(message, secret string) string {
	message = strings.ReplaceAll(message, strconv.Quote(secret), `"(sensitive)"`)
	return strings.ReplaceAll(message, secret, "(sensitive)")
}

// appendSensitive collects the texts inside sensitive parts of a value.
func appendSensitive(list []string, v cty.Value) []string {
	_ = cty.Walk(v, func(_ cty.Path, v cty.Value) (bool, error) {
		if !v.IsMarked() {
			return true, nil
		}
		plain, _ := v.UnmarkDeep()
		return false, cty.Walk(plain, func(_ cty.Path, v cty.Value) (bool, error) {
			if v.Type() == cty.String && v.IsKnown() && !v.IsNull() && v.AsString() != "" {
				list = append(list, v.AsString())
			}
			return true, nil
		})
	})
	return list
}

// unknown reports whether what is used of a stack is known only when it is applied.
func (u use) unknown(outputs cty.Value) bool {
	if u.output != "" && outputs.Type().HasAttribute(u.output) {
		outputs = outputs.GetAttr(u.output)
	}
	return !outputs.IsWhollyKnown()
}

// OutputsFromPlan reads outputs as a plan has them under planned_values: one that only the
// apply tells has no value there, and is an unknown one here. Sensitive ones carry
// SensitiveMark. Invalid when it is not that.
func OutputsFromPlan(plannedJSON []byte) (map[string]cty.Value, error) {
	var planned map[string]struct {
		Value     json.RawMessage `json:"value"`
		Type      json.RawMessage `json:"type"`
		Sensitive bool            `json:"sensitive"`
	}
	if err := json.Unmarshal(plannedJSON, &planned); err != nil {
		return nil, core.Errorf(core.Invalid, "the outputs of the plan are not JSON: %w", err)
	}
	out := make(map[string]cty.Value, len(planned))
	for name, o := range planned {
		v := cty.DynamicVal
		if len(o.Value) > 0 {
			t, err := ctyjson.ImpliedType(o.Value)
			if len(o.Type) > 0 {
				t, err = ctyjson.UnmarshalType(o.Type)
			}
			if err == nil {
				v, err = ctyjson.Unmarshal(o.Value, t)
			}
			if err != nil {
				return nil, core.Errorf(core.Invalid, "output %q of the plan cannot be read: %w", name, err)
			}
		}
		if o.Sensitive {
			v = v.Mark(SensitiveMark)
		}
		out[name] = v
	}
	return out, nil
}

// OutputsFromState reads the outputs in a state file of version 4. Sensitive ones
// carry SensitiveMark. Invalid when it is no such file.
func OutputsFromState(stateJSON []byte) (map[string]cty.Value, error) {
	var state struct {
		Version int `json:"version"`
		Outputs map[string]struct {
			Value     json.RawMessage `json:"value"`
			Type      json.RawMessage `json:"type"`
			Sensitive bool            `json:"sensitive"`
		} `json:"outputs"`
	}
	if err := json.Unmarshal(stateJSON, &state); err != nil {
		return nil, core.Errorf(core.Invalid, "the state is not JSON: %w", err)
	}
	if state.Version != 4 {
		return nil, core.Errorf(core.Invalid, "the state has version %d; version 4 is understood, which engines write since Terraform 0.12", state.Version)
	}
	out := make(map[string]cty.Value, len(state.Outputs))
	for name, o := range state.Outputs {
		t, err := ctyjson.UnmarshalType(o.Type)
		if err != nil {
			return nil, core.Errorf(core.Invalid, "the type of output %q in the state cannot be read: %w", name, err)
		}
		v, err := ctyjson.Unmarshal(o.Value, t)
		if err != nil {
			return nil, core.Errorf(core.Invalid, "output %q in the state cannot be read: %w", name, err)
		}
		if o.Sensitive {
			v = v.Mark(SensitiveMark)
		}
		out[name] = v
	}
	return out, nil
}
