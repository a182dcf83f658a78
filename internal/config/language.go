package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// What is here lets others read root modules as carefully as this package reads
// terrace.hcl: whoever may write to a repository may write anything into its files.

// ParseFile parses an HCL file, or a JSON one when its name ends in .json. It never panics, and
// refuses what is nested too deeply.
func ParseFile(name string, src []byte) (*hcl.File, hcl.Diagnostics) { return parse(name, src) }

// Evaluate evaluates an expression. It never panics, and refuses loops in loops in loops.
func Evaluate(expr hcl.Expression, ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	return evaluate(expr, ctx)
}

// Functions are those that expressions may call; file reads from the tree, relative to dir.
func Functions(tree Tree, dir string) map[string]function.Function { return functions(tree, dir, nil) }

// TypeConstraint reads the type of a variable, also in the quoted form of old modules.
func TypeConstraint(expr hcl.Expression) (cty.Type, *typeexpr.Defaults, hcl.Diagnostics) {
	return typeConstraint(expr)
}

// ModuleFiles maps the folders of a tree that are modules to the names of the files that
// the engine reads there, in the order in which it does: those that override others last.
func ModuleFiles(tree Tree, engine string) (map[string][]string, error) {
	ix, err := newIndex(tree, engine)
	if err != nil {
		return nil, err
	}
	for dir, names := range ix.modules {
		var first, last []string
		for _, name := range names {
			if isOverride(name) {
				last = append(last, name)
			} else {
				first = append(first, name)
			}
		}
		ix.modules[dir] = append(first, last...)
	}
	return ix.modules, nil
}
