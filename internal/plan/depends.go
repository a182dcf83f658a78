package plan

import (
	"strings"

	"github.com/terrace-cd/terrace/internal/statefile"
)

// What depends on what is told in two places, and both are read.
//
// The state knows, for every object that exists, all resources that it depends on: that
// is what the engine itself orders destructions by. The configuration's references add
// what depends on something since this very commit; they pass through variables and
// outputs of modules, but not through local values, whose expressions are not in the
// engine's JSON.

// configuration is the code as the plan's JSON tells it.
type configuration struct {
	Providers map[string]providerConfig `json:"provider_config"`
	Root      module                    `json:"root_module"`
}

type providerConfig struct {
	Module      string `json:"module_address"`
	Expressions any    `json:"expressions"`
}

type module struct {
	Resources []configResource        `json:"resources"`
	Calls     map[string]moduleCall   `json:"module_calls"`
	Outputs   map[string]moduleOutput `json:"outputs"`
}

type configResource struct {
	Address      string   `json:"address"`
	Provider     string   `json:"provider_config_key"`
	Expressions  any      `json:"expressions"`
	Provisioners any      `json:"provisioners"`
	Count        any      `json:"count_expression"`
	ForEach      any      `json:"for_each_expression"`
	DependsOn    []string `json:"depends_on"`
}

type moduleCall struct {
	Expressions map[string]any `json:"expressions"`
	Count       any            `json:"count_expression"`
	ForEach     any            `json:"for_each_expression"`
	DependsOn   []string       `json:"depends_on"`
	Module      module         `json:"module"`
}

type moduleOutput struct {
	Expression any      `json:"expression"`
	DependsOn  []string `json:"depends_on"`
}

// priorState is the part of the state before that tells dependencies.
type priorState struct {
	Values struct {
		Root stateModule `json:"root_module"`
	} `json:"values"`
}

type stateModule struct {
	Resources []struct {
		Address   string   `json:"address"`
		DependsOn []string `json:"depends_on"`
	} `json:"resources"`
	Children []stateModule `json:"child_modules"`
}

// graph is what refers to what. Its nodes are resources, data sources, variables and
// outputs by their addresses without keys, modules as a whole, what a module's call
// itself needs, and provider configurations.
type graph map[string]map[string]bool

// readGraph reads both.
func readGraph(c configuration, s priorState) graph {
	g := graph{}
	for name, p := range c.Providers {
		scope := statefile.WithoutKeys(p.Module)
		if scope != "" {
			scope += "."
		}
		g.refers(providerNode(name), scope, p.Expressions)
	}
	g.module("", c.Root)
	g.state(s.Values.Root)
	return g
}

func providerNode(name string) string { return "provider " + name }

// module adds a module; scope is "" or its address with a dot after it.
func (g graph) module(scope string, m module) {
	whole, entry := strings.TrimSuffix(scope, "."), scope+"entry"
	for _, r := range m.Resources {
		node := scope + statefile.WithoutKeys(r.Address)
		g.refers(node, scope, r.Expressions, r.Provisioners, r.Count, r.ForEach)
		g.names(node, scope, r.DependsOn)
		g.edge(node, entry)
		if r.Provider != "" {
			g.edge(node, providerNode(r.Provider))
		}
		g.edge(whole, node)
	}
	for name, o := range m.Outputs {
		node := scope + "output." + name
		g.refers(node, scope, o.Expression)
		g.names(node, scope, o.DependsOn)
		g.edge(whole, node)
	}
	for name, call := range m.Calls {
		inner := scope + "module." + name + "."
		for variable, expression := range call.Expressions {
			g.refers(inner+"var."+variable, scope, expression)
			g.edge(inner+"var."+variable, inner+"entry")
		}
		g.refers(inner+"entry", scope, call.Count, call.ForEach)
		g.names(inner+"entry", scope, call.DependsOn)
		g.edge(inner+"entry", entry)
		g.edge(whole, strings.TrimSuffix(inner, "."))
		g.module(inner, call.Module)
	}
}

func (g graph) state(m stateModule) {
	for _, r := range m.Resources {
		for _, on := range r.DependsOn {
			g.edge(statefile.WithoutKeys(r.Address), statefile.WithoutKeys(on))
		}
	}
	for _, child := range m.Children {
		g.state(child)
	}
}

func (g graph) edge(from, to string) {
	if g[from] == nil {
		g[from] = map[string]bool{}
	}
	g[from][to] = true
}

// refers adds what expressions refer to, wherever in them.
func (g graph) refers(from, scope string, expressions ...any) {
	for _, e := range expressions {
		switch e := e.(type) {
		case map[string]any:
			if refs, ok := list(e["references"]); ok {
				g.names(from, scope, refs)
				continue
			}
			for _, inside := range e {
				g.refers(from, scope, inside)
			}
		case []any:
			g.refers(from, scope, e...)
		}
	}
}

// list reads a list of texts.
func list(v any) (out []string, ok bool) {
	all, ok := v.([]any)
	for _, x := range all {
		text, isText := x.(string)
		ok = ok && isText
		out = append(out, text)
	}
	return out, ok
}

// names adds references. After each, the engine lists the things that it is in: module.a.id,
// then module.a. Only one that stands for itself means the module as a whole.
func (g graph) names(from, scope string, refs []string) {
	last := ""
	for _, ref := range refs {
		ref = statefile.WithoutKeys(ref)
		if ref == last || strings.HasPrefix(last, ref+".") {
			continue
		}
		last = ref
		if to := node(ref); to != "" {
			g.edge(from, scope+to)
		}
	}
}

// node is what a reference means inside of its module, "" for what leads nowhere.
func node(ref string) string {
	parts := strings.SplitN(ref, ".", 4)
	if len(parts) < 2 {
		return ""
	}
	switch parts[0] {
	case "var":
		return "var." + parts[1]
	case "module":
		if len(parts) > 2 {
			return "module." + parts[1] + ".output." + parts[2]
		}
		return "module." + parts[1]
	case "data", "ephemeral":
		if len(parts) < 3 {
			return ""
		}
		return strings.Join(parts[:3], ".")
	case "local", "path", "terraform", "tofu", "each", "count", "self":
		return ""
	}
	return parts[0] + "." + parts[1]
}

// reach answers, of every node, which of some resources it depends on, directly or not.
type reach struct {
	some  []string          // by their addresses without keys
	index map[string]int    // in some
	sets  map[string][]bits // by node
}

// bits are 64 members of some.
type bits uint64

// among computes it in one pass from the end of every path to its beginning; and in more
// where the state and the code of this commit together go in circles.
func (g graph) among(some []string) reach {
	r := reach{some, map[string]int{}, make(map[string][]bits, len(g))}
	for i, name := range some {
		r.index[name] = i
	}
	order := g.endsFirst()
	for changed := true; changed; {
		changed = false
		for _, from := range order {
			for to := range g[from] {
				changed = r.add(from, to) || changed
			}
		}
	}
	return r
}

// add has from reach to, and all that to reaches.
func (r reach) add(from, to string) (changed bool) {
	set := r.sets[from]
	if set == nil {
		set = make([]bits, (len(r.some)+63)/64)
		r.sets[from] = set
	}
	or := func(word int, more bits) {
		changed = changed || set[word]|more != set[word]
		set[word] |= more
	}
	if i, ok := r.index[to]; ok {
		or(i/64, 1<<(i%64))
	}
	for word, more := range r.sets[to] {
		or(word, more)
	}
	return changed
}

// mostDependencies bounds what is told of one resource: where everything is replaced, the
// whole would grow with the square of its size.
const mostDependencies = 100

func (r reach) from(address string) []string {
	var out []string
	for word, set := range r.sets[address] {
		for i := range 64 {
			if set&(1<<i) != 0 && r.some[word*64+i] != address && len(out) < mostDependencies {
				out = append(out, r.some[word*64+i])
			}
		}
	}
	return out
}

// endsFirst orders the nodes so that each comes after those it refers to, as far as that
// is possible.
func (g graph) endsFirst() []string {
	var order []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(node string) {
		if seen[node] {
			return
		}
		seen[node] = true
		for to := range g[node] {
			visit(to)
		}
		order = append(order, node)
	}
	for node := range g {
		visit(node)
	}
	return order
}
