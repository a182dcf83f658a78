package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// After evaluates the ansible and verify blocks of an instance with its own outputs.
// Errors are those of Inputs.
func (c *Config) After(stack, env string, s Scope, own map[string]cty.Value) (After, error) {
	st, e, p, err := c.find(stack, env)
	if err != nil || st.Discovered {
		return After{}, err
	}
	outputs, err := c.upstream(st, e, s, st.uses)
	if err != nil {
		return After{}, err
	}
	var ps problems
	mine := withNulls(own, p)
	ev := &evaluation{problems: &ps, where: instance(st, e), ctx: c.context(e, s, outputs, mine)}
	after := ev.after(st, p)
	seen := append(slices.Collect(maps.Values(outputs)), mine)
	if err := c.failed(&ps, instance(st, e)+": what follows its apply cannot be evaluated", seen); err != nil {
		return After{}, err
	}
	return after, nil
}

// Provision evaluates the ansible block alone, with the outputs that are known while an
// apply is under way. It is nil when the stack has no such block. Errors are those of Inputs.
func (c *Config) Provision(stack, env string, s Scope, own map[string]cty.Value) (*Ansible, error) {
	st, e, p, err := c.find(stack, env)
	if err != nil || st.Discovered || st.ansible == nil {
		return nil, err
	}
	outputs, err := c.upstream(st, e, s, st.uses)
	if err != nil {
		return nil, err
	}
	var ps problems
	mine := withNulls(own, p)
	ev := &evaluation{problems: &ps, where: instance(st, e), ctx: c.context(e, s, outputs, mine)}
	out := ev.ansible(st.ansible, p)
	seen := append(slices.Collect(maps.Values(outputs)), mine)
	if err := c.failed(&ps, instance(st, e)+": what Ansible is to do in the middle of its apply cannot be evaluated", seen); err != nil {
		return nil, err
	}
	return out, nil
}

func (ev *evaluation) after(st *stack, p *place) After {
	var after After
	if st.ansible != nil {
		after.Ansible = ev.ansible(st.ansible, p)
	}
	for _, v := range st.verify {
		after.Verify = append(after.Verify, ev.verify(v))
	}
	return after
}

// checkAfter evaluates what follows an apply with unknown outputs, for the problems.
func (l *load) checkAfter(st *stack, p *place, ev *evaluation) {
	ev.after(st, p)
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

func (ev *evaluation) ansible(a *ansibleBlock, p *place) *Ansible {
	out := &Ansible{Playbook: p.instance.Playbook, Inventory: map[string][]Host{}, Variables: map[string]json.RawMessage{}, Secrets: a.secrets, Check: a.check, Within: a.within}
	inventory := a.body.expr("inventory")
	groups, _ := ev.object(a.body, "inventory")
	for _, name := range sortedKeys(groups) {
		expr := attribute(inventory, name)
		if !groupRE.MatchString(name) || slices.Contains([]string{"all", "ungrouped", "_meta"}, name) {
			ev.problem(expr.Range(), fmt.Sprintf("%q cannot name a group of hosts", name), "Use letters, digits and _, not starting with a digit; all, ungrouped and _meta are Ansible's own.")
			continue
		}
		v, _ := groups[name].UnmarkDeep()
		out.Inventory[name] = ev.hosts(name, v, expr)
	}
	variables, _ := ev.object(a.body, "variables")
	for _, name := range sortedKeys(variables) {
		v, _ := variables[name].UnmarkDeep()
		if !groupRE.MatchString(name) {
			ev.problem(attribute(a.body.expr("variables"), name).Range(), fmt.Sprintf("%q cannot name an Ansible variable", name), "Use letters, digits and _, not starting with a digit.")
			continue
		}
		out.Variables[name] = ev.json(v)
	}
	return out
}

// json is the value as JSON, nil while it is unknown.
func (ev *evaluation) json(v cty.Value) json.RawMessage {
	if !v.IsWhollyKnown() {
		return nil
	}
	b, err := marshal(v)
	if err != nil { // capsules, which no expression can make
		return nil
	}
	return b
}

var (
	groupRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	hostRE  = regexp.MustCompile(`^[A-Za-z0-9_\[:][A-Za-z0-9_.:%\[\]-]*$`)
)

// hosts reads one group: an address, a list of addresses or objects, or a map from
// name to address or variables.
func (ev *evaluation) hosts(group string, v cty.Value, expr hclsyntax.Expression) []Host {
	out := []Host{}
	switch t := v.Type(); {
	case !v.IsKnown():
	case v.IsNull():
		ev.problem(expr.Range(), fmt.Sprintf("Group %q is null", group), "Give an empty list for a group without hosts.")
	case t == cty.String:
		out = ev.host(out, group, "", v, expr.Range())
	case t.IsListType() || t.IsTupleType() || t.IsSetType():
		for i, e := range v.AsValueSlice() {
			out = ev.host(out, group, "", e, element(expr, i).Range())
		}
	case t.IsObjectType() || t.IsMapType():
		attrs := v.AsValueMap()
		for _, name := range sortedKeys(attrs) {
			out = ev.host(out, group, name, attrs[name], attribute(expr, name).Range())
		}
	default:
		ev.noHost(group, v, expr.Range())
	}
	return out
}

// host reads one host. name is the key of a map of hosts, "" in a list.
func (ev *evaluation) host(out []Host, group, name string, v cty.Value, rng hcl.Range) []Host {
	t := v.Type()
	switch {
	case !v.IsKnown():
		return out
	case !v.IsNull() && t == cty.String && name == "":
		return ev.addHost(out, group, v.AsString(), nil, rng)
	case !v.IsNull() && t == cty.String:
		return ev.addHost(out, group, name, map[string]cty.Value{"ansible_host": v}, rng)
	case !v.IsNull() && (t.IsObjectType() || t.IsMapType()) && name == "":
		return ev.hostObject(out, group, v.AsValueMap(), rng)
	case !v.IsNull() && (t.IsObjectType() || t.IsMapType()):
		return ev.addHost(out, group, name, v.AsValueMap(), rng)
	}
	ev.noHost(group, v, rng)
	return out
}

func (ev *evaluation) noHost(group string, v cty.Value, rng hcl.Range) {
	ev.problem(rng, fmt.Sprintf("Group %q has something that is no host", group), fmt.Sprintf("A host is an address, or an object with name or host, and vars. This is %s.", friendlyType(v.Type())))
}

// hostObject reads { name, host, vars, ansible_… }: name is what the inventory calls
// the host, host is where it is reached.
func (ev *evaluation) hostObject(out []Host, group string, attrs map[string]cty.Value, rng hcl.Range) []Host {
	var name, host string
	vars := map[string]cty.Value{}
	for _, key := range sortedKeys(attrs) {
		v := attrs[key]
		switch {
		case !v.IsKnown():
			return out
		case key == "name" || key == "host":
			if v.IsNull() || v.Type() != cty.String {
				ev.problem(rng, fmt.Sprintf("%s of a host in group %q is not a string", key, group), fmt.Sprintf("This is %s.", friendlyType(v.Type())))
				return out
			}
			if key == "name" {
				name = v.AsString()
			} else {
				host = v.AsString()
			}
		case key == "vars":
			if v.IsNull() {
				continue
			}
			if !v.Type().IsObjectType() && !v.Type().IsMapType() {
				ev.problem(rng, fmt.Sprintf("vars of a host in group %q is not an object", group), fmt.Sprintf("This is %s.", friendlyType(v.Type())))
				return out
			}
			for k, e := range v.AsValueMap() {
				vars[k] = e
			}
		case strings.HasPrefix(key, "ansible_"):
			vars[key] = v
		default:
			ev.problem(rng, fmt.Sprintf("Unknown attribute %q of a host in group %q", key, group), "A host has name, host, vars and any ansible_… variable; put other variables into vars."+didYouMean(key, []string{"name", "host", "vars"}))
			return out
		}
	}
	switch {
	case name == "":
		name = host
	case host != "":
		vars["ansible_host"] = cty.StringVal(host)
	}
	return ev.addHost(out, group, name, vars, rng)
}

func (ev *evaluation) addHost(out []Host, group, name string, vars map[string]cty.Value, rng hcl.Range) []Host {
	if !hostRE.MatchString(name) {
		ev.problem(rng, fmt.Sprintf("%q in group %q cannot be a host", name, group), "A host is a name or an address: letters, digits, dots, colons, - and _.")
		return out
	}
	h := Host{Name: name}
	for key, v := range vars {
		if h.Vars == nil {
			h.Vars = map[string]json.RawMessage{}
		}
		h.Vars[key] = ev.json(v)
	}
	return append(out, h)
}
