package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// After evaluates the ansible and verify blocks of an instance with what it has itself.
// Errors are those of Inputs.
func (c *Config) After(name, env string, s Scope, own Own) (after After, err error) {
	err = c.follow(name, env, s, own, "what follows its apply cannot be evaluated", func(ev *evaluation, st *stack, p *place) {
		if st.ansible != nil {
			after.Ansible = ev.ansible(st.ansible, p, own.Resources)
		}
		for _, v := range st.verify {
			after.Verify = append(after.Verify, ev.verify(v))
		}
	})
	if err != nil {
		return After{}, err
	}
	return after, nil
}

// Provision evaluates the ansible block alone, with the outputs that are known while an
// apply is under way. It is nil when the stack has no such block. Errors are those of Inputs;
// Invalid also when the inventory is made of resources, which are in no state then.
func (c *Config) Provision(name, env string, s Scope, own Own) (out *Ansible, err error) {
	err = c.follow(name, env, s, own, "what Ansible is to do in the middle of its apply cannot be evaluated", func(ev *evaluation, st *stack, p *place) {
		if st.ansible == nil {
			return
		}
		for _, b := range st.ansible.blocks {
			ev.problem(b.body.header, "Resources in the middle of an apply", "The inventory is made of resources, which are in no state before the apply ends. Hosts that are provisioned in its middle have to come from outputs: inventory = { web = output.addresses }.")
			return
		}
		out = ev.ansible(st.ansible, p, nil)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Foresee evaluates the ansible block before an apply, with outputs and resources as the plan
// tells them: what is not known yet is in New and UnknownVariables. It is nil when the stack
// has no such block. Errors are those of Inputs.
func (c *Config) Foresee(name, env string, s Scope, planned Own) (out *Ansible, err error) {
	err = c.follow(name, env, s, planned, "what Ansible will do after its apply cannot be evaluated", func(ev *evaluation, st *stack, p *place) {
		if st.ansible != nil {
			out = ev.ansible(st.ansible, p, planned.Resources)
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// follow has f evaluate what belongs to an apply of an instance that has a block.
func (c *Config) follow(name, env string, s Scope, own Own, failed string, f func(*evaluation, *stack, *place)) error {
	st, e, p, err := c.find(name, env)
	if err != nil || st.Discovered {
		return err
	}
	outputs, err := c.upstream(st, e, s, st.uses)
	if err != nil {
		return err
	}
	var ps problems
	mine := withNulls(own.Outputs, p)
	f(&evaluation{problems: &ps, where: instance(st, e), ctx: c.context(st, e, s, outputs, mine)}, st, p)
	seen := append(slices.Collect(maps.Values(outputs)), mine)
	for _, r := range own.Resources {
		seen = append(seen, r.Value)
	}
	return c.failed(&ps, instance(st, e)+": "+failed, seen)
}

// checkAfter evaluates what follows an apply with unknown outputs, for the problems.
func (l *load) checkAfter(st *stack, p *place, ev *evaluation) {
	if st.ansible != nil {
		ev.ansible(st.ansible, p, []Resource{unknownResource})
	}
	for _, v := range st.verify {
		ev.verify(v)
	}
	if st.beforeChange != nil {
		ev.command(st.beforeChange.body)
		l.checkScript(ev, st.beforeChange.body)
	}
	for _, v := range st.verify {
		l.checkScript(ev, v.body)
	}
}

func (ev *evaluation) command(b body) []string {
	v, ok := ev.converted(b, "command", cty.List(cty.String))
	if !ok {
		return nil
	}
	items := itemsOf(v, b.expr("command"))
	for i, e := range v.AsValueSlice() {
		if e.IsNull() {
			ev.problem(items[i].rng, "An argument of the command is null", "An output that is not there is null, also one that this commit adds. Where that may be, write for example coalesce(output.url, \"none\").")
			return nil
		}
	}
	if len(items) == 0 || items[0].text == "" {
		ev.problem(b.rangeOf("command"), "An empty command", "Name a program and its arguments, for example [\"scripts/smoke.sh\", output.url].")
	}
	for _, it := range items {
		if strings.ContainsRune(it.text, 0) {
			ev.problem(it.rng, "A zero byte in a command", "Arguments of programs cannot contain it.")
		}
	}
	return texts(items)
}

// checkScript looks for the program of a command when it is a path of the repository.
func (l *load) checkScript(ev *evaluation, b body) {
	v, ok := ev.value(b, "command")
	if !ok {
		return
	}
	v, _ = v.UnmarkDeep()
	if v.IsNull() || !v.IsKnown() || !v.CanIterateElements() || v.Type().IsObjectType() || v.Type().IsMapType() || v.LengthInt() == 0 {
		return
	}
	first, err := convert.Convert(v.AsValueSlice()[0], cty.String)
	if err != nil || first.IsNull() || !first.IsKnown() {
		return
	}
	if name := first.AsString(); strings.Contains(name, "/") && !strings.HasPrefix(name, "/") {
		l.existing(ev.where, item{name, element(b.expr("command"), 0).Range()}, "command", "program")
	}
}
