package config

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// inventory gathers the hosts of an ansible block, from its argument and its inventory blocks.
type inventory struct {
	*evaluation
	body     body
	optional []string
	hosts    map[string]*host
	groups   map[string][]string // names of hosts, as they were met
	places   map[string]hcl.Range
	// later are groups that may have hosts that are not known yet, open says that any may.
	later   map[string]bool
	open    bool
	fresh   map[string]bool // Ansible.New
	unknown map[string]bool // Ansible.UnknownVariables
}

// host is a host with where it comes from, for problems.
type host struct {
	Host
	vars  map[string]string // where each variable comes from: a group, or the address of a resource
	given bool              // somebody wrote its ID
	keyed string            // where its keys come from
	named string            // where its ID comes from
}

func newInventory(ev *evaluation, a *ansibleBlock) *inventory {
	in := &inventory{evaluation: ev, body: a.body, hosts: map[string]*host{}, groups: map[string][]string{}, places: map[string]hcl.Range{},
		later: map[string]bool{}, fresh: map[string]bool{}, unknown: map[string]bool{}}
	for _, it := range ev.texts(a.body, "optional") {
		if in.isGroup(it.text, it.rng) {
			in.optional = append(in.optional, it.text)
		}
	}
	return in
}

func (in *inventory) isGroup(name string, rng hcl.Range) bool {
	if groupRE.MatchString(name) && !slices.Contains([]string{"all", "ungrouped", "_meta"}, name) {
		return true
	}
	detail := "Use letters, digits and _, not starting with a digit; all, ungrouped and _meta are Ansible's own."
	if strings.Contains(name, "-") {
		detail += " In an expression, replace(…, \"-\", \"_\") does it."
	}
	in.problem(rng, fmt.Sprintf("%q cannot name a group of hosts", name), detail)
	return false
}

// all are the groups with their hosts. A group without any is a problem, unless it may be so
// or something is not known yet.
func (in *inventory) all() map[string][]Host {
	out := map[string][]Host{}
	for _, name := range in.optional {
		out[name] = []Host{}
	}
	for _, name := range sortedKeys(in.groups) {
		out[name] = []Host{}
		for _, h := range in.groups[name] {
			out[name] = append(out[name], in.hosts[h].Host)
		}
		if len(out[name]) == 0 && !in.later[name] && !in.open && !slices.Contains(in.optional, name) {
			in.problem(in.places[name], fmt.Sprintf("Group %q has no hosts", name), fmt.Sprintf("A group that lost its hosts would look like one for which all is well. If it may be empty, write optional = [%q] in the ansible block.", name))
		}
	}
	return out
}

// notYet notes that hosts are not known yet: what names them as well as it can be, group where
// they are, "" when that is not known either.
func (in *inventory) notYet(what, group string) {
	in.fresh[what] = true
	if group == "" {
		in.open = true
	} else {
		in.later[group] = true
	}
}

// argument reads inventory = { … }.
func (in *inventory) argument() {
	expr := in.body.expr("inventory")
	groups, whole := in.object(in.body, "inventory")
	in.open = in.open || !whole
	for _, name := range sortedKeys(groups) {
		at := attribute(expr, name)
		if !in.isGroup(name, at.Range()) {
			continue
		}
		in.groups[name], in.places[name] = nil, at.Range()
		v, _ := groups[name].UnmarkDeep()
		in.group(name, v, at)
	}
}

// group reads one group: an address, a list of addresses or objects, or a map from name to
// address or variables.
func (in *inventory) group(name string, v cty.Value, expr hclsyntax.Expression) {
	switch t := v.Type(); {
	case !v.IsKnown():
		in.notYet(name, name)
	case v.IsNull():
		in.later[name] = true // one problem is enough
		in.problem(expr.Range(), fmt.Sprintf("Group %q is null", name), "Give a list, which may be empty for a group of optional.")
	case t == cty.String:
		in.one(name, "", v, expr.Range())
	case t.IsListType() || t.IsTupleType() || t.IsSetType():
		for i, e := range v.AsValueSlice() {
			in.one(name, "", e, element(expr, i).Range())
		}
	case t.IsObjectType() || t.IsMapType():
		attrs := v.AsValueMap()
		for _, key := range sortedKeys(attrs) {
			in.one(name, key, attrs[key], attribute(expr, key).Range())
		}
	default:
		in.noHost(name, v, expr.Range())
	}
}

// one reads one host. name is the key of a map of hosts, "" in a list.
func (in *inventory) one(group, name string, v cty.Value, rng hcl.Range) {
	t := v.Type()
	f := found{name: name, what: fmt.Sprintf("group %q", group), rng: rng}
	switch {
	case !v.IsKnown():
		if name == "" {
			name = group
		}
		in.notYet(name, group)
	case !v.IsNull() && t == cty.String && name == "":
		f.name = v.AsString()
		in.add([]string{group}, f)
	case !v.IsNull() && t == cty.String:
		f.vars = map[string]cty.Value{"ansible_host": v}
		in.add([]string{group}, f)
	case !v.IsNull() && (t.IsObjectType() || t.IsMapType()):
		attrs := v.AsValueMap()
		if name != "" {
			f.vars = attrs
			attrs = map[string]cty.Value{"name": cty.StringVal(name), "id": attrs["id"], "host_keys": attrs["host_keys"]}
		}
		in.written(group, f, attrs)
	default:
		in.noHost(group, v, rng)
	}
}

func (in *inventory) noHost(group string, v cty.Value, rng hcl.Range) {
	in.later[group] = true // one problem is enough
	in.problem(rng, fmt.Sprintf("Group %q has something that is no host", group), fmt.Sprintf("A host is an address, or an object with name or host, and vars. This is %s.", friendlyType(v.Type())))
}

// written reads { name, host, vars, id, host_keys, ansible_… }: name is what the inventory
// calls the host, host is where it is reached.
func (in *inventory) written(group string, f found, attrs map[string]cty.Value) {
	w := writing{found: f, known: true}
	w.vars = maps.Clone(f.vars)
	if w.vars == nil {
		w.vars = map[string]cty.Value{}
	}
	for _, key := range sortedKeys(attrs) {
		if attrs[key] != cty.NilVal && !in.attribute(&w, group, key, attrs[key]) {
			in.later[group] = true // one problem is enough
			return
		}
	}
	switch {
	case w.name == "":
		w.name = w.address
	case w.address != "":
		w.vars["ansible_host"] = cty.StringVal(w.address)
	}
	if !w.known {
		if w.name == "" {
			w.name = group
		}
		in.notYet(w.name, group)
		return
	}
	in.add([]string{group}, w.found)
}

// writing is a host that is written as an object.
type writing struct {
	found
	address string
	known   bool // all but the values of its variables
}

// attribute reads one attribute of a host; false when it is wrong.
func (in *inventory) attribute(w *writing, group, key string, v cty.Value) bool {
	wrong := func(is string) bool {
		in.problem(w.rng, fmt.Sprintf("%s of a host in group %q is not %s", key, group, is), fmt.Sprintf("This is %s.", friendlyType(v.Type())))
		return false
	}
	switch {
	case strings.HasPrefix(key, "ansible_"):
		w.vars[key] = v
		return true
	case !slices.Contains(hostAttrs, key):
		in.problem(w.rng, fmt.Sprintf("Unknown attribute %q of a host in group %q", key, group), "A host has name, host, vars, id, host_keys and any ansible_… variable; put other variables into vars."+didYouMean(key, hostAttrs))
		return false
	case !v.IsKnown() || key != "vars" && !v.IsWhollyKnown():
		w.known = false
		return true
	case v.IsNull() && (key == "name" || key == "host"):
		return wrong("a string")
	case v.IsNull():
		return true
	case key == "host_keys":
		keys, ok := in.hostKeys(v, w.what, w.rng)
		w.keys = keys
		return ok
	case key == "vars":
		if !v.Type().IsObjectType() && !v.Type().IsMapType() {
			return wrong("an object")
		}
		maps.Copy(w.vars, v.AsValueMap())
		return true
	case key == "id":
		id, err := convert.Convert(v, cty.String) // some clouds count
		if err != nil {
			return wrong("a string")
		}
		w.id, w.given = id.AsString(), true
		return true
	case v.Type() != cty.String:
		return wrong("a string")
	case key == "name":
		w.name = v.AsString()
	default:
		w.address = v.AsString()
	}
	return true
}

var hostAttrs = []string{"name", "host", "vars", "id", "host_keys"}

// found is a host that was met, to be added.
type found struct {
	name  string
	vars  map[string]cty.Value
	id    string
	given bool // id was written, and is not a resource's own
	keys  []string
	from  string
	what  string // where it was met, for problems
	rng   hcl.Range
}

// add adds a host to groups. One that was met before becomes one with it.
func (in *inventory) add(groups []string, f found) {
	if !hostRE.MatchString(f.name) {
		for _, group := range groups {
			in.later[group] = true
		}
		in.problem(f.rng, fmt.Sprintf("%q in %s cannot be a host", f.name, f.what), "A host is a name or an address: letters, digits, dots, colons, - and _.")
		return
	}
	h := in.hosts[f.name]
	if h == nil {
		h = &host{Host: Host{Name: f.name, From: f.from}, vars: map[string]string{}}
		in.hosts[f.name] = h
	}
	for _, group := range groups {
		if !slices.Contains(in.groups[group], f.name) {
			in.groups[group] = append(in.groups[group], f.name)
		}
	}
	for _, name := range sortedKeys(f.vars) {
		in.variable(h, name, f.vars[name], f)
	}
	in.identify(h, f)
	if h.From == "" {
		h.From = f.from
	}
}

// variable adds a variable to a host.
func (in *inventory) variable(h *host, name string, v cty.Value, f found) {
	v, _ = v.UnmarkDeep()
	if !v.IsWhollyKnown() {
		in.unknown[h.Name+": "+name] = true
		h.Unknown = true
		return
	}
	text := jsonOf(v)
	if was, ok := h.Vars[name]; ok && string(was) != string(text) {
		in.contradiction(h, "values of the variable "+name, h.vars[name], f)
		return
	}
	if h.Vars == nil {
		h.Vars = map[string]json.RawMessage{}
	}
	h.Vars[name], h.vars[name] = text, f.what
}

// identify adds what tells a host from others. An ID that somebody wrote wins over that of a
// resource.
func (in *inventory) identify(h *host, f found) {
	switch {
	case f.id == "" || f.id == h.ID && (h.given || !f.given):
	case h.ID == "" || f.given && !h.given:
		h.ID, h.given, h.named = f.id, f.given, f.what
	case f.given == h.given && f.id != h.ID:
		in.contradiction(h, "ids", h.named, f)
	}
	switch {
	case len(f.keys) == 0:
	case len(h.Keys) == 0:
		h.Keys, h.keyed = f.keys, f.what
	case !slices.Equal(h.Keys, f.keys):
		in.contradiction(h, "lists of host keys", h.keyed, f)
	}
}

func (in *inventory) contradiction(h *host, of, first string, f found) {
	detail := "If it is one host, say the same of it in both; if they are two, give each a name of its own."
	if of == "ids" {
		detail = "If they are two hosts, give each a name of its own. If it is one, say what tells it from others with id = … in one of the two."
	}
	in.problem(f.rng, fmt.Sprintf("Host %q has two %s, from %s and from %s", h.Name, of, first, f.what), detail)
}

// isKey reports whether text is a key of that type.
func isKey(kind, text string) bool {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(b) < 4 {
		return false
	}
	n := binary.BigEndian.Uint32(b)
	return int64(n) < int64(len(b)-4) && string(b[4:4+n]) == kind
}
