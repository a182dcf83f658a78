package code

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/parity"
	"github.com/terrace-cd/terrace/internal/statefile"
)

// trail collects where a value comes from: the ends of all references, and every text on
// the way there.
type trail struct {
	roots map[parity.Root]bool
	texts map[string]bool
	seen  map[string]bool
	steps int
}

// maxTrail bounds how many references are followed for one value.
const maxTrail = 5000

func newTrail() *trail {
	return &trail{roots: map[parity.Root]bool{}, texts: map[string]bool{}, seen: map[string]bool{}}
}

// list is the roots in an order.
func (t *trail) list() []parity.Root {
	out := make([]parity.Root, 0, len(t.roots))
	for r := range t.roots {
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b parity.Root) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		if a.Name != b.Name {
			return strings.Compare(a.Name, b.Name)
		}
		return strings.Compare(a.Path, b.Path)
	})
	return out
}

// text is a digest of all that is written.
func (t *trail) text() string {
	h := sha256.New()
	for _, s := range sortedNames(t.texts) {
		_, _ = h.Write([]byte(strconv.Itoa(len(s)) + ":" + s))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (t *trail) opaque(name string) { t.roots[parity.Root{Kind: parity.RootOpaque, Name: name}] = true }

// follow goes from a part of a value, or from all of it, back to what it is made of.
func (sc *scope) follow(t *trail, e each, a *attribute, path string) {
	t.texts[a.text] = true
	sc.followExpr(t, e, a.expr, path)
}

func (sc *scope) followExpr(t *trail, e each, expr hcl.Expression, path string) {
	if t.steps++; t.steps > maxTrail {
		t.opaque("more than can be followed")
		return
	}
	if inner, rest, ok := partOf(expr, path); ok {
		sc.followExpr(t, e, inner, rest)
		return
	}
	refs := references(expr)
	if !isReference(expr) {
		path = ""
	}
	for _, r := range refs {
		if r != nil {
			sc.followRef(t, e, r, path)
		}
	}
}

// partOf finds the expression of a part where a value is written as an object or a list.
func partOf(expr hcl.Expression, path string) (inner hcl.Expression, rest string, ok bool) {
	if path == "" {
		return nil, "", false
	}
	switch n := expr.(type) {
	case *hclsyntax.ParenthesesExpr:
		return n.Expression, path, true
	case *hclsyntax.ObjectConsExpr:
		for _, item := range n.Items {
			key, ok := literal(item.KeyExpr)
			if !ok {
				return nil, "", false // it may be any of them
			}
			if path == key {
				return item.ValueExpr, "", true
			}
			if strings.HasPrefix(path, key+".") || strings.HasPrefix(path, key+"[") {
				return item.ValueExpr, strings.TrimPrefix(path[len(key):], "."), true
			}
		}
	case *hclsyntax.TupleConsExpr:
		end := strings.IndexByte(path, ']')
		if path[0] != '[' || end < 0 {
			break
		}
		if i, err := strconv.Atoi(path[1:end]); err == nil && i < len(n.Exprs) {
			return n.Exprs[i], strings.TrimPrefix(path[end+1:], "."), true
		}
	}
	return nil, "", false
}

// isReference reports whether an expression is nothing but one.
func isReference(expr hcl.Expression) bool {
	_, ok := expr.(*hclsyntax.ScopeTraversalExpr)
	return ok
}

// pathOf writes the steps of a reference from one on, and what is behind them. An element of any
// key ends it: what follows would not be a path.
func pathOf(t hcl.Traversal, from int, behind string) string {
	path := ""
	for i := from; i < len(t); i++ {
		name := nameAt(t, i)
		if name == "" {
			return path
		}
		path = statefile.Join(path, name)
	}
	switch {
	case path == "" || behind == "":
		return path + behind
	case behind[0] == '[':
		return path + behind
	}
	return path + "." + behind
}

func (sc *scope) followRef(t *trail, e each, r hcl.Traversal, behind string) {
	root, first := r.RootName(), nameAt(r, 1)
	if it, bound := e.iterators[root]; bound {
		outer := e
		outer.iterators = without(e.iterators, root)
		sc.follow(t, outer, it.over, "")
		return
	}
	switch root {
	case "var":
		sc.followVariable(t, first, pathOf(r, 2, behind))
	case "local":
		a := sc.module.locals[first]
		if a != nil && t.once(sc.at+" local."+first+" "+pathOf(r, 2, behind)) {
			sc.follow(t, each{}, a, pathOf(r, 2, behind))
		}
	case "module":
		sc.followModule(t, r, behind)
	case "each":
		// The key is the same wherever the address is.
		if first == "value" && e.repeated != nil && e.repeated.forEach != nil {
			sc.follow(t, each{}, e.repeated.forEach, statefile.Join(e.path, pathOf(r, 2, behind)))
		}
	case "count", "path", "terraform", "tofu", "self":
	case "data":
		sc.followResource(t, "data."+first+"."+nameAt(r, 2), r, 3, behind)
	default:
		sc.followResource(t, root+"."+first, r, 2, behind)
	}
}

// once reports whether something was not followed before.
func (t *trail) once(what string) bool {
	was := t.seen[what]
	t.seen[what] = true
	return !was
}

func without(m map[string]iteration, name string) map[string]iteration {
	out := map[string]iteration{}
	for k, v := range m {
		if k != name {
			out[k] = v
		}
	}
	return out
}

func (sc *scope) followVariable(t *trail, name, path string) {
	v := sc.module.variables[name]
	if sc.caller == nil {
		t.roots[parity.Root{Kind: parity.RootVariable, Name: name, Path: path}] = true
		return
	}
	if !t.once(sc.at + " var." + name + " " + path) {
		return
	}
	if a := sc.call.arguments[name]; a != nil {
		sc.caller.follow(t, sc.each, a, path)
	} else if v != nil && v.fallback != nil {
		t.texts[v.fallback.text] = true
	}
}

// followResource ends at an attribute of a resource or a data source, or at all of it.
func (sc *scope) followResource(t *trail, name string, r hcl.Traversal, next int, behind string) {
	if sc.at != "" {
		name = sc.at + "." + name
	}
	if next < len(r) {
		switch s := r[next].(type) {
		case hcl.TraverseSplat:
			next++
		case hcl.TraverseIndex:
			if s.Key.IsKnown() && !s.Key.IsNull() && s.Key.Type() == cty.Number {
				name += "[" + s.Key.AsBigFloat().Text('f', 0) + "]"
			} else if nameAt(r, next) != "" {
				name += quotedKey(nameAt(r, next))
			}
			next++
		}
	}
	path := pathOf(r, next, behind)
	if next >= len(r) {
		path = ""
	}
	t.roots[parity.Root{Kind: parity.RootResource, Name: name, Path: path}] = true
}

// followModule goes into the outputs of a called module.
func (sc *scope) followModule(t *trail, r hcl.Traversal, behind string) {
	name := nameAt(r, 1)
	c := sc.module.calls[name]
	if c == nil {
		return
	}
	next, keys := 2, []string{""}
	if c.count != nil || c.forEach != nil {
		next = 3
		if keys = sc.keysIn(r, name, c); keys == nil {
			t.opaque("module." + name)
			return
		}
		if len(r) <= 2 || isSplat(r[2]) {
			for _, a := range c.attributes() {
				sc.follow(t, each{}, a, "")
			}
		}
	}
	output := nameAt(r, next)
	for _, key := range keys {
		child := sc.child(name, key)
		if child == nil { // its code is elsewhere: it may follow from anything that it is given
			t.opaque("module." + name)
			for _, n := range sortedNames(c.arguments) {
				sc.follow(t, each{}, c.arguments[n], "")
			}
			return
		}
		for _, n := range sortedNames(child.module.outputs) {
			if (output == "" || n == output) && t.once(child.at+" output "+n+" "+pathOf(r, next+1, behind)) {
				child.follow(t, each{}, child.module.outputs[n], pathOf(r, next+1, behind))
			}
		}
	}
}

// keysIn are the keys of a module that a reference means; nil when they cannot be said.
func (sc *scope) keysIn(r hcl.Traversal, name string, c *call) []string {
	if len(r) > 2 {
		switch s := r[2].(type) {
		case hcl.TraverseIndex:
			if s.Key.Type() == cty.Number && s.Key.IsKnown() {
				return []string{"[" + s.Key.AsBigFloat().Text('f', 0) + "]"}
			}
			if k := nameAt(r, 2); k != "" {
				return []string{quotedKey(k)}
			}
		case hcl.TraverseAttr: // module.NAME.KEY of an object
			return []string{quotedKey(s.Name)}
		}
	}
	keys, known := sc.keys(each{}, &c.repeat)
	if !known {
		return sc.stack.moduleKeys(sc.at, name)
	}
	return keys
}

func isSplat(s hcl.Traverser) bool {
	_, ok := s.(hcl.TraverseSplat)
	return ok
}

// sensitive reports whether any part of a value is.
func sensitive(v cty.Value) bool { return v.HasMarkDeep(config.SensitiveMark) }
