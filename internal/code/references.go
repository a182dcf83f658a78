package code

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/config"
)

// references are what an expression refers to, with all the steps that can be seen: through
// splats, elements and for expressions as well. A step over every element is a
// hcl.TraverseSplat.
func references(expr hcl.Expression) []hcl.Traversal {
	native, ok := expr.(hclsyntax.Expression)
	if !ok {
		return expr.Variables()
	}
	c := &collector{skip: map[hclsyntax.Node]bool{}}
	_ = hclsyntax.Walk(native, c)
	return c.found
}

// collector walks an expression. Outer nodes come first.
type collector struct {
	found []hcl.Traversal
	skip  map[hclsyntax.Node]bool // parts of what was found already
	loops []*hclsyntax.ForExpr
	bound []bindings
}

// bindings are the names that a for expression gives: what they stand for, nil for
// nothing that can be said.
type bindings map[string]hcl.Traversal

func (c *collector) Enter(node hclsyntax.Node) hcl.Diagnostics {
	switch n := node.(type) {
	case *hclsyntax.ForExpr:
		c.loops = append(c.loops, n)
		// What is used of a resource's instances is found where it is used. Besides, it
		// matters which there are.
		if t, ok := c.reduce(n.CollExpr, false); ok && isResource(t) {
			c.found = append(c.found, append(t, hcl.TraverseSplat{}, hcl.TraverseAttr{Name: presence}))
			c.reduce(n.CollExpr, true)
		}
	case hclsyntax.ChildScope:
		names := bindings{}
		for name := range n.LocalNames {
			names[name] = nil
		}
		if len(c.loops) > 0 {
			loop := c.loops[len(c.loops)-1]
			if t, ok := c.reduce(loop.CollExpr, false); ok {
				names[loop.ValVar] = append(t, hcl.TraverseSplat{})
			}
		}
		c.bound = append(c.bound, names)
	case *hclsyntax.ScopeTraversalExpr, *hclsyntax.RelativeTraversalExpr, *hclsyntax.IndexExpr, *hclsyntax.SplatExpr:
		if c.skip[node] {
			break
		}
		if t, ok := c.reduce(n.(hclsyntax.Expression), true); ok && t != nil {
			c.found = append(c.found, t)
		}
	}
	return nil
}

func (c *collector) Exit(node hclsyntax.Node) hcl.Diagnostics {
	switch node.(type) {
	case *hclsyntax.ForExpr:
		c.loops = c.loops[:len(c.loops)-1]
	case hclsyntax.ChildScope:
		c.bound = c.bound[:len(c.bound)-1]
	}
	return nil
}

// reduce writes an expression as one reference; false when it is more than that. nil stands for a
// name of a for expression that nothing can be said of. mark: its parts are not looked at
// again.
func (c *collector) reduce(expr hclsyntax.Expression, mark bool) (hcl.Traversal, bool) {
	var t hcl.Traversal
	ok := false
	switch n := expr.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		t, ok = c.resolve(n.Traversal), true
	case *hclsyntax.RelativeTraversalExpr:
		if t, ok = c.reduce(n.Source, mark); ok && t != nil {
			t = append(t, n.Traversal...)
		}
	case *hclsyntax.IndexExpr:
		if t, ok = c.reduce(n.Collection, mark); ok && t != nil {
			t = append(t, step(n.Key))
		}
	case *hclsyntax.SplatExpr:
		if t, ok = c.reduce(n.Source, mark); ok && t != nil {
			t = append(t, hcl.TraverseSplat{})
			if each, is := n.Each.(*hclsyntax.RelativeTraversalExpr); is {
				if _, is := each.Source.(*hclsyntax.AnonSymbolExpr); is {
					t = append(t, each.Traversal...)
					c.skip[each] = true
				}
			}
		}
	case *hclsyntax.ParenthesesExpr:
		t, ok = c.reduce(n.Expression, mark)
	}
	if ok && mark {
		c.skip[expr] = true
	}
	return t, ok
}

// presence is the name of no attribute: only whether a resource is there matters.
const presence = "#"

// isResource reports whether a reference is to a resource or a data source.
func isResource(t hcl.Traversal) bool {
	if len(t) < 2 || t.IsRelative() {
		return false
	}
	switch t.RootName() {
	case "var", "local", "module", "each", "count", "path", "terraform", "tofu", "self":
		return false
	}
	return true
}

// resolve puts what a for expression's name stands for in its place.
func (c *collector) resolve(t hcl.Traversal) hcl.Traversal {
	for i := len(c.bound) - 1; i >= 0; i-- {
		if stands, ok := c.bound[i][t.RootName()]; ok {
			if stands == nil {
				return nil
			}
			return append(append(hcl.Traversal{}, stands...), t[1:]...)
		}
	}
	return append(hcl.Traversal{}, t...)
}

// step is an element by its key where that is written, else any of them.
func step(key hclsyntax.Expression) hcl.Traverser {
	if len(key.Variables()) == 0 {
		if v, diags := config.Evaluate(key, nil); !diags.HasErrors() && v.IsKnown() && !v.IsNull() && (v.Type() == cty.String || v.Type() == cty.Number) {
			return hcl.TraverseIndex{Key: v}
		}
	}
	return hcl.TraverseSplat{}
}
