package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// use is a reference to an output of another stack, or to all of them.
type use struct {
	stack  string
	output string // "" for the whole object
	rng    hcl.Range
}

// objectAttrs are the attributes of the roots whose attributes are always the same.
var objectAttrs = map[string][]string{
	"environment": {"name", "variables"},
	"release":     {"commit", "number"},
	"sandbox":     {"name", "owner"},
	"resource":    {"address", "type", "name", "key", "module"},
}

// strangers are roots that people bring along from other languages.
var strangers = map[string]string{
	"var":    "Variables of an environment are environment.variables.NAME.",
	"local":  "There are no local values.",
	"env":    "Did you mean environment.name? Environment variables of the machine are not visible.",
	"data":   "Data sources belong in the root module; give their values out as outputs: stack.NAME.OUTPUT.",
	"module": "Use an output of a stack: stack.NAME.OUTPUT.",
	"path":   "Paths are relative to terrace.hcl.", "each": "There is no each here.", "count": "There is no count here.",
	"secret":  "Secrets are never visible in expressions: list their names in secrets, and runs receive them as environment variables.",
	"secrets": "Secrets are never visible in expressions: list their names in secrets, and runs receive them as environment variables.",
	"self":    "It is the resource that an inventory block of ansible makes a host of.", "resource": "It is the resource that an inventory block of ansible makes a host of.",
	"outputs": "Did you mean output.NAME (this stack's own) or stack.NAME.OUTPUT?",
	"stacks":  "Did you mean stack.NAME.OUTPUT?",
	"images":  "Did you mean image.NAME.id?",
}

// references checks what an expression refers to, as far as that can be known without
// evaluating it, and returns the outputs of other stacks that it uses.
func (p *problems) references(expr hclsyntax.Expression, attr string, sees []string) []use {
	var uses []use
	before := len(p.diags)
	defer func() {
		if len(p.diags) > before {
			if p.bad == nil {
				p.bad = map[hclsyntax.Expression]bool{}
			}
			p.bad[expr] = true
		}
	}()
	for _, t := range expr.Variables() {
		root := t.RootName()
		if !slices.Contains(sees, root) {
			p.stranger(t, attr, sees)
			continue
		}
		if attrs := objectAttrs[root]; attrs != nil {
			p.known(t, attrs)
			continue
		}
		if root == "stack" {
			if u, ok := p.stackUse(t); ok {
				uses = append(uses, u)
			}
		}
		if root == "image" {
			p.imageUse(t)
		}
	}
	return uses
}

func (p *problems) stranger(t hcl.Traversal, attr string, sees []string) {
	root := t.RootName()
	rng := t.SourceRange()
	switch {
	case root == "output" && slices.Contains(sees, "stack"):
		p.error(rng, "An own output before the apply",
			fmt.Sprintf("output.%s exists only once the stack is applied, and %s is evaluated before. Use it in ansible, verify or before_change.", nameAt(t, 1), attr))
	case slices.Contains(seesAfter, root):
		p.error(rng, fmt.Sprintf("%s cannot refer to %s", attr, root), fmt.Sprintf("It is needed before %s is known. It sees %s.", root, listed(sees, 9)))
	default:
		hint := strangers[root]
		if hint == "" {
			hint = strings.TrimSpace(didYouMean(root, sees))
		}
		p.error(rng, fmt.Sprintf("Unknown name %q", root), strings.TrimSpace(fmt.Sprintf("%s sees %s. %s", attr, listed(sees, 9), hint)))
	}
}

func (p *problems) known(t hcl.Traversal, attrs []string) {
	if len(t) < 2 {
		return
	}
	name := nameAt(t, 1)
	if name != "" && !slices.Contains(attrs, name) {
		hint := didYouMean(name, attrs)
		if t.RootName() == "environment" && hint == "" {
			hint = fmt.Sprintf(" A variable is environment.variables.%s.", name)
		}
		p.error(t.SourceRange(), fmt.Sprintf("%s has no %q", t.RootName(), name), fmt.Sprintf("It has %s.%s", listed(attrs, 9), hint))
	}
}

func (p *problems) stackUse(t hcl.Traversal) (use, bool) {
	name := nameAt(t, 1)
	if name == "" {
		p.error(t.SourceRange(), "A stack has to be named literally",
			"Write stack.NAME.OUTPUT (or stack[\"NAME\"].OUTPUT), so that the order of stacks is known before anything is evaluated.")
		return use{}, false
	}
	return use{stack: name, output: nameAt(t, 2), rng: t.SourceRange()}, true
}

// nameAt returns the name that step i of a traversal selects, "" when there is none.
func nameAt(t hcl.Traversal, i int) string {
	if i >= len(t) {
		return ""
	}
	switch s := t[i].(type) {
	case hcl.TraverseAttr:
		return s.Name
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString()
		}
	}
	return ""
}

// outputNames returns the names in output.NAME in an expression, with their places.
func outputNames(expr hclsyntax.Expression) []item {
	var out []item
	for _, t := range expr.Variables() {
		if t.RootName() == "output" && nameAt(t, 1) != "" {
			out = append(out, item{nameAt(t, 1), t.SourceRange()})
		}
	}
	return out
}

// explain makes HCL's own evaluation diagnostics say more: what there is instead of
// what is missing, and why a function is not there.
func explain(diags hcl.Diagnostics, expr hclsyntax.Expression, ctx *hcl.EvalContext) hcl.Diagnostics {
	out := make(hcl.Diagnostics, 0, len(diags))
	for _, d := range diags {
		c := *d
		c.EvalContext, c.Expression = nil, nil // they keep values alive that nobody shows
		switch d.Summary {
		case "Unsupported attribute":
			explainAttribute(&c, traversalAt(expr, d.Subject), ctx)
		case "Call to unknown function":
			if call, ok := d.Extra.(hclsyntax.FunctionCallUnknownDiagExtra); ok {
				name := call.CalledFunctionName()
				c.Detail = fmt.Sprintf("There is no function %q.%s", name, didYouMean(name, functionNames()))
				if why := missingFunctions[name]; why != "" {
					c.Detail = fmt.Sprintf("There is no function %q. %s", name, why)
				}
			}
		}
		out = append(out, &c)
	}
	return out
}

// explainAttribute lists what a variable of the environment, or an output, could have
// been.
func explainAttribute(d *hcl.Diagnostic, t hcl.Traversal, ctx *hcl.EvalContext) {
	if t == nil || ctx == nil {
		return
	}
	if t.RootName() == "self" {
		explainSelf(d, t, ctx)
		return
	}
	depth := map[string]int{"environment": 2, "stack": 2, "output": 1}[t.RootName()]
	name := nameAt(t, depth)
	if depth == 0 || name == "" {
		return
	}
	parent, diags := t[:depth].TraverseAbs(ctx)
	if diags.HasErrors() || !parent.Type().IsObjectType() || parent.Type().HasAttribute(name) {
		return
	}
	names := sortedKeys(parent.Type().AttributeTypes())
	d.Subject = t.SourceRange().Ptr()
	switch t.RootName() {
	case "environment":
		d.Summary = fmt.Sprintf("No variable %q", name)
		d.Detail = "The environment has no such variable."
	case "stack":
		d.Summary = fmt.Sprintf("Stack %q has no output %q", nameAt(t, 1), name)
		d.Detail = "Its state has no such output."
	default:
		d.Summary = fmt.Sprintf("The stack has no output %q", name)
		d.Detail = "Its state has no such output."
	}
	d.Detail += didYouMean(name, names)
	if len(names) > 0 {
		d.Detail += fmt.Sprintf(" It has %s.", listed(names, 12))
	}
}

// explainSelf lists the attributes that a resource has, or an object in it.
func explainSelf(d *hcl.Diagnostic, t hcl.Traversal, ctx *hcl.EvalContext) {
	for depth := 1; depth < len(t); depth++ {
		name := nameAt(t, depth)
		parent, diags := t[:depth].TraverseAbs(ctx)
		if diags.HasErrors() || name == "" || !parent.Type().IsObjectType() {
			return
		}
		if parent.Type().HasAttribute(name) {
			continue
		}
		names := sortedKeys(parent.Type().AttributeTypes())
		d.Subject = t.SourceRange().Ptr()
		d.Summary = fmt.Sprintf("%s has no %q", traversalText(t[:depth]), name)
		d.Detail = fmt.Sprintf("Where only some resources have it, write try(%s, null).%s It has %s.", traversalText(t), didYouMean(name, names), orNone(listed(names, 12)))
		return
	}
}

func traversalAt(expr hclsyntax.Expression, rng *hcl.Range) hcl.Traversal {
	if rng == nil {
		return nil
	}
	for _, t := range expr.Variables() {
		if t.SourceRange().Overlaps(*rng) {
			return t
		}
	}
	return nil
}
