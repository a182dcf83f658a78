package config

import (
	"fmt"
	"slices"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// unknownResource stands for any resource when a configuration is loaded.
var unknownResource = Resource{Type: "*", Key: cty.DynamicVal, Value: cty.DynamicVal}

func (r Resource) seen() cty.Value {
	text := func(s string) cty.Value {
		if r.Type == unknownResource.Type {
			return cty.UnknownVal(cty.String)
		}
		return cty.StringVal(s)
	}
	return cty.ObjectVal(map[string]cty.Value{"address": text(r.Address), "type": text(r.Type), "name": text(r.Name), "key": r.Key, "module": text(r.Module)})
}

// maxProblems bounds how many problems the resources of one block are told.
const maxProblems = 20

// block makes hosts of the resources that an inventory block selects.
func (in *inventory) block(b inventoryBlock, resources []Resource) {
	there, selected, before := 0, 0, len(in.problems.order)
	for _, r := range resources {
		if r.Type != b.selects && r.Type != unknownResource.Type {
			continue
		}
		there++
		if in.resource(b, r) {
			selected++
		}
		if len(in.problems.order)-before > maxProblems {
			return
		}
	}
	if optional := in.flag(b.body, "optional"); selected > 0 || optional {
		return
	}
	detail := "There is no resource of this type."
	switch {
	case there > 0 && resources[0].Type == unknownResource.Type:
		detail = "where is false here, whatever the resources are."
	case there > 0:
		detail = fmt.Sprintf("Of %s of this type, where is true for none.", plural(there, "resource"))
	}
	in.problem(b.body.header, fmt.Sprintf("inventory %q selects no host", b.selects), detail+" If that may be, write optional = true in the block.")
}

// resource makes a host of a resource. selected is false when where says that it is none.
func (in *inventory) resource(b inventoryBlock, r Resource) (selected bool) {
	outside := in.evaluation
	defer func() { in.evaluation = outside }()
	in.evaluation = &evaluation{problems: outside.problems, where: outside.where, ctx: outside.ctx.NewChild()}
	in.ctx.Variables = map[string]cty.Value{"self": r.Value, "resource": r.seen()}
	if r.Address != "" {
		in.where = r.Address + " in " + outside.where
	}
	if b.body.has("where") {
		v, ok := in.maybe(b.body, "where", cty.Bool)
		switch {
		case !ok:
			return true
		case !v.IsKnown():
			in.notYet(r.Address, "")
			return true
		case v.IsNull():
			in.problem(b.body.rangeOf("where"), "\"where\" is null", "True or false is needed, for example try(self.tags.role, \"\") == \"web\".")
			return true
		case v.False():
			return false
		}
	}
	if f, groups, ok := in.host(b, r); ok {
		in.add(groups, f)
	} else {
		in.open = true // there is a problem already, or something is not known yet
	}
	return true
}

// host evaluates what a resource is as a host. ok is false when something is wrong, or when
// it is not known yet who it is.
func (in *inventory) host(b inventoryBlock, r Resource) (f found, groups []string, ok bool) {
	f = found{from: r.Address, what: r.Address, rng: b.body.header}
	host, known, ok := in.attr(b, "host")
	f.name = host
	if b.body.has("name") {
		name, k, o := in.attr(b, "name")
		f.name, known, ok = name, known && k, ok && o
	}
	groups, k, o := in.groupsOf(b)
	known, ok = known && k, ok && o
	k, o = in.identityOf(b, r, &f)
	known, ok = known && k, ok && o
	vars, whole := in.object(b.body, "vars")
	if !ok {
		return f, nil, false
	}
	if !known {
		what := f.name
		if what == "" {
			what = r.Address
		}
		in.fresh[what] = true
		return f, nil, false
	}
	f.vars = vars
	if !whole {
		f.vars = map[string]cty.Value{"vars": cty.DynamicVal}
	}
	if f.name != host {
		if f.vars == nil {
			f.vars = map[string]cty.Value{}
		}
		f.vars["ansible_host"] = cty.StringVal(host)
	}
	return f, groups, true
}

// attr evaluates a string that has to be there.
func (in *inventory) attr(b inventoryBlock, name string) (text string, known, ok bool) {
	v, ok := in.maybe(b.body, name, cty.String)
	switch {
	case !ok:
		return "", true, false
	case !v.IsKnown():
		return "", false, true
	case v.IsNull() || v.AsString() == "":
		in.problem(b.body.rangeOf(name), fmt.Sprintf("%q is null or empty", name), "A host has one. If a resource without it is no host, say so with where.")
		return "", true, false
	}
	return v.AsString(), true, true
}

func (in *inventory) groupsOf(b inventoryBlock) (groups []string, known, ok bool) {
	v, ok := in.maybe(b.body, "groups", cty.List(cty.String))
	switch {
	case !ok:
		return nil, true, false
	case !v.IsWhollyKnown():
		return nil, false, true
	case v.IsNull() || v.LengthInt() == 0:
		in.problem(b.body.rangeOf("groups"), "A host without a group", "A playbook finds hosts by their groups. If this is no host, say so with where.")
		return nil, true, false
	}
	for _, it := range itemsOf(v, b.body.expr("groups")) {
		if !in.isGroup(it.text, it.rng) {
			return nil, true, false
		}
		if !slices.Contains(groups, it.text) {
			groups = append(groups, it.text)
		}
	}
	return groups, true, true
}

// identityOf finds the ID of a host, that of the resource unless another one is written, and
// its keys.
func (in *inventory) identityOf(b inventoryBlock, r Resource, f *found) (known, ok bool) {
	id, keys := cty.NullVal(cty.String), cty.NullVal(cty.DynamicPseudoType)
	switch own, _ := r.Value.UnmarkDeep(); {
	case b.body.has("id"):
		if id, ok = in.maybe(b.body, "id", cty.String); !ok {
			return true, false
		}
		f.given = true
	case !own.IsKnown():
		id = cty.UnknownVal(cty.String)
	case own.Type().HasAttribute("id"):
		id = own.GetAttr("id")
	}
	if b.body.has("host_keys") {
		if keys, ok = in.value(b.body, "host_keys"); !ok {
			return true, false
		}
		keys, _ = keys.UnmarkDeep()
	}
	if !id.IsKnown() || !keys.IsWhollyKnown() {
		return false, true
	}
	if text, err := convert.Convert(id, cty.String); err == nil && !text.IsNull() {
		f.id = text.AsString()
	}
	if !keys.IsNull() {
		f.keys, ok = in.hostKeys(keys, f.what, b.body.rangeOf("host_keys"))
		return true, ok
	}
	return true, true
}

// Selects are the types of resources that the inventory of an instance is made of, sorted.
func (c *Config) Selects(stack, env string) []string {
	st, _, _, err := c.find(stack, env)
	if err != nil {
		return nil
	}
	return st.ansible.selects()
}
