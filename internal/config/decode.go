package config

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// body is the content of a block that its schema allows.
type body struct {
	schema *blockSchema
	header hcl.Range // of the block, for problems with what is missing
	attrs  map[string]*hclsyntax.Attribute
	blocks map[string][]*hclsyntax.Block
	source []byte // the whole file
}

// has reports whether the argument is written.
func (b body) has(name string) bool { return b.attrs[name] != nil }

// expr returns the expression of an argument, nil when it is not written.
func (b body) expr(name string) hclsyntax.Expression {
	if a := b.attrs[name]; a != nil {
		return a.Expr
	}
	return nil
}

// rangeOf is where the value of an argument is, or the block's header.
func (b body) rangeOf(name string) hcl.Range {
	if a := b.attrs[name]; a != nil {
		return a.Expr.Range()
	}
	return b.header
}

// read sorts a body by its schema and reports what does not belong in it.
func (p *problems) read(raw *hclsyntax.Body, schema *blockSchema, header hcl.Range) body {
	if schema.Type == "" {
		p.top = schema
	}
	b := body{schema: schema, header: header, attrs: map[string]*hclsyntax.Attribute{}, blocks: map[string][]*hclsyntax.Block{}, source: p.source}
	attrs := slices.SortedFunc(maps.Values(raw.Attributes), func(a, c *hclsyntax.Attribute) int {
		return cmp.Compare(a.SrcRange.Start.Byte, c.SrcRange.Start.Byte)
	})
	for _, a := range attrs {
		if schema.attr(a.Name) == nil {
			p.unknownAttr(a, schema)
			continue
		}
		b.attrs[a.Name] = a
	}
	for _, block := range raw.Blocks {
		s := schema.block(block.Type)
		if s == nil {
			p.unknownBlock(block, schema)
			continue
		}
		if !p.labels(block, s) {
			continue
		}
		if first := b.blocks[block.Type]; len(first) > 0 && !s.Many {
			p.error(block.DefRange(), fmt.Sprintf("Two %s blocks", block.Type),
				fmt.Sprintf("There may be one %s block%s; the first is at %s:%d. Merge them.", block.Type, in(schema), block.TypeRange.Filename, first[0].TypeRange.Start.Line))
			continue
		}
		b.blocks[block.Type] = append(b.blocks[block.Type], block)
	}
	for _, a := range schema.Attrs {
		if a.Required && !b.has(a.Name) {
			p.error(header, fmt.Sprintf("Missing argument %q", a.Name),
				fmt.Sprintf("%s block needs %s = … %s", article2(schema.Type), a.Name, a.Doc))
		}
	}
	return b
}

// in says where something is for a message, "" for the file itself.
func in(s *blockSchema) string {
	if s.Type == "" {
		return ""
	}
	return " in " + article(s.Type) + " block"
}

func article(word string) string {
	if strings.ContainsRune("aeiou", rune(word[0])) && word != "user" {
		return "an " + word
	}
	return "a " + word
}

func (b *blockSchema) attrNames() []string {
	names := make([]string, len(b.Attrs))
	for i, a := range b.Attrs {
		names[i] = a.Name
	}
	return names
}

func (b *blockSchema) blockNames() []string {
	names := make([]string, len(b.Blocks))
	for i, inner := range b.Blocks {
		names[i] = inner.Type
	}
	return names
}

func (p *problems) unknownAttr(a *hclsyntax.Attribute, s *blockSchema) {
	summary := fmt.Sprintf("Unknown argument %q", a.Name)
	detail := fmt.Sprintf("There is no argument %q%s.", a.Name, in(s))
	switch {
	case s.Type == "":
		detail = fmt.Sprintf("Only blocks may stand at the top of the file: %s.", listed(s.blockNames(), 12))
		if home := p.homeOf(a.Name); home != "" {
			detail += fmt.Sprintf(" %q belongs in %s block.", a.Name, article(home))
		}
	case s.block(a.Name) != nil:
		detail = fmt.Sprintf("%q is a block: write %s { … } without the equals sign.", a.Name, a.Name)
	default:
		hint := didYouMean(a.Name, slices.Concat(s.attrNames(), s.blockNames()))
		if hint == "" {
			if home := p.homeOf(a.Name); home != "" {
				hint = fmt.Sprintf(" It belongs in %s block.", article(home))
			} else if other := p.otherFile(a.Name); other != "" {
				hint = " " + other
			} else {
				hint = " There are: " + strings.Join(s.attrNames(), ", ") + "."
			}
		}
		detail += hint
	}
	p.error(a.NameRange, summary, detail)
}

func (p *problems) unknownBlock(b *hclsyntax.Block, s *blockSchema) {
	summary := fmt.Sprintf("Unknown block %q", b.Type)
	var detail string
	switch {
	case s.attr(b.Type) != nil:
		detail = fmt.Sprintf("%q is an argument: write %s = …", b.Type, b.Type)
	default:
		detail = fmt.Sprintf("There is no block %q%s.", b.Type, in(s))
		if s.Type == "" {
			detail = fmt.Sprintf("There is no block %q; there are %s.", b.Type, listed(s.blockNames(), 12))
		}
		if hint := didYouMean(b.Type, s.blockNames()); hint != "" {
			detail += hint
		} else if home := p.homeOf(b.Type); home != "" {
			detail += fmt.Sprintf(" It belongs in %s block.", article(home))
		} else if other := p.otherFile(b.Type); other != "" {
			detail += " " + other
		} else if slices.Contains([]string{"variable", "resource", "module", "locals", "output", "data", "provider", "terraform"}, b.Type) {
			detail += " Resources and variables belong in the root module of a stack."
		}
	}
	p.error(b.DefRange(), summary, detail)
}

// homeOf names the kind of block that an argument or a block belongs in.
func (p *problems) homeOf(name string) string { return p.top.homeOf(name) }

func (b *blockSchema) homeOf(name string) string {
	for _, inner := range b.Blocks {
		if inner.attr(name) != nil || inner.block(name) != nil {
			return inner.Type
		}
		if home := inner.homeOf(name); home != "" {
			return home
		}
	}
	return ""
}

// otherFile says that a name belongs in the other of the two files, "" when it does not.
func (p *problems) otherFile(name string) string {
	switch {
	case p.top == guardrailsSchema && (fileSchema.homeOf(name) != "" || fileSchema.block(name) != nil):
		return "The repository decides it, in " + FileName + "."
	case p.top == fileSchema && (guardrailsSchema.homeOf(name) != "" || guardrailsSchema.block(name) != nil):
		return "It belongs in the guardrails, which are kept on the server: terrace guardrails set FILE."
	}
	return ""
}

func (p *problems) labels(b *hclsyntax.Block, s *blockSchema) bool {
	switch {
	case s.Label == "" && len(b.Labels) > 0:
		p.error(b.LabelRanges[0], fmt.Sprintf("A label too many on %q", b.Type), fmt.Sprintf("%s block has no name: write %s { … }", article2(b.Type), b.Type))
		return false
	case s.Label != "" && len(b.Labels) != 1:
		example := cmp.Or(s.As, "NAME")
		if s.Labels != nil {
			example = s.Labels[0]
		}
		p.error(b.DefRange(), fmt.Sprintf("%s %q block needs one label", strings.Fields(article2(b.Type))[0], b.Type), fmt.Sprintf("The label names %s: write %s %q { … }", s.Label, b.Type, example))
		return false
	case s.Labels != nil && !slices.Contains(s.Labels, b.Labels[0]):
		p.error(b.LabelRanges[0], fmt.Sprintf("Unknown kind of %s %q", b.Type, b.Labels[0]),
			fmt.Sprintf("There are %s.%s", quoted(s.Labels, 9), didYouMean(b.Labels[0], s.Labels)))
		return false
	}
	return true
}

func article2(word string) string { s := article(word); return strings.ToUpper(s[:1]) + s[1:] }

// plain evaluates an argument that may not refer to anything.
func (p *problems) plain(b body, name string, want cty.Type, ctx *hcl.EvalContext) (cty.Value, bool) {
	expr := b.expr(name)
	if expr == nil {
		return cty.NilVal, false
	}
	if refs := expr.Variables(); len(refs) > 0 {
		p.error(refs[0].SourceRange(), fmt.Sprintf("%q has to be a plain value", name),
			fmt.Sprintf("It is read before anything is evaluated, so it cannot refer to %s.", refs[0].RootName()))
		return cty.NilVal, false
	}
	v, diags := evaluate(expr, ctx)
	if diags.HasErrors() {
		p.diags = append(p.diags, diags...)
		return cty.NilVal, false
	}
	return p.convert(v, want, expr.Range(), name, b.schema.attr(name))
}

// convert checks the type of a value and refuses null and unknown ones.
func (p *problems) convert(v cty.Value, want cty.Type, rng hcl.Range, name string, schema *attrSchema) (cty.Value, bool) {
	got, err := convert.Convert(v, want)
	if err != nil || got.IsNull() || !got.IsWhollyKnown() {
		why := "It is null."
		if err != nil {
			why = fmt.Sprintf("This is %s.", friendlyType(v.Type()))
		}
		example := ""
		if schema.Default != "" && strings.ContainsAny(schema.Default, `"[0123456789`) {
			example = " For example: " + name + " = " + schema.Default
		}
		p.error(rng, fmt.Sprintf("%q has the wrong type", name), fmt.Sprintf("%s is needed. %s%s", schema.kind(), why, example))
		return cty.NilVal, false
	}
	return got, true
}

// kind is the type of an argument for a message.
func (a *attrSchema) kind() string {
	if a.Type == "bool" {
		return "True or false"
	}
	s := article(a.Type)
	return strings.ToUpper(s[:1]) + s[1:]
}

func friendlyType(t cty.Type) string {
	switch {
	case t == cty.DynamicPseudoType:
		return "null"
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		return "a list"
	case t.IsObjectType() || t.IsMapType():
		return "an object"
	default:
		return article(t.FriendlyName())
	}
}

// text reads a string argument; fallback when it is not written or wrong.
func (p *problems) text(b body, name, fallback string, ctx *hcl.EvalContext) string {
	v, ok := p.plain(b, name, cty.String, ctx)
	if !ok {
		return fallback
	}
	s := v.AsString()
	if values := b.schema.attr(name).Values; values != nil && !slices.Contains(values, s) {
		p.error(b.rangeOf(name), fmt.Sprintf("Unknown %s %q", name, s),
			fmt.Sprintf("%s is one of %s.%s", name, quoted(values, 9), didYouMean(s, values)))
		return fallback
	}
	return s
}

func (p *problems) boolean(b body, name string, ctx *hcl.EvalContext) bool {
	v, ok := p.plain(b, name, cty.Bool, ctx)
	return ok && v.True()
}

// whole reads a whole number of at least low. ok is false when it is not written or wrong.
func (p *problems) whole(b body, name string, low int, ctx *hcl.EvalContext) (n int, ok bool) {
	v, ok := p.plain(b, name, cty.Number, ctx)
	if !ok {
		return 0, false
	}
	const high = 1_000_000
	f := v.AsBigFloat()
	i, _ := f.Int64()
	if !f.IsInt() || i < int64(low) || i > high {
		p.error(b.rangeOf(name), fmt.Sprintf("%q is out of range", name), fmt.Sprintf("A whole number from %d to %d is needed.", low, high))
		return 0, false
	}
	return int(i), true
}

// duration reads a Go duration.
func (p *problems) duration(b body, name string, fallback time.Duration, ctx *hcl.EvalContext) time.Duration {
	v, ok := p.plain(b, name, cty.String, ctx)
	if !ok {
		return fallback
	}
	s := v.AsString()
	d, err := time.ParseDuration(s)
	switch {
	case err != nil:
		hint := ""
		if days, found := strings.CutSuffix(s, "d"); found && isDigits(days) {
			hint = " There are no days, since a day can have 23 or 25 hours: write hours."
		} else if isDigits(s) {
			hint = fmt.Sprintf(" A unit is missing: %q or %q?", s+"s", s+"m")
		}
		p.error(b.rangeOf(name), fmt.Sprintf("%q is not a duration", s), "A duration is a number with a unit (s, m or h), for example \"90s\", \"10m\" or \"1h30m\"."+hint)
		return fallback
	case d < 0:
		p.error(b.rangeOf(name), "A negative duration", fmt.Sprintf("%s cannot be %s: time does not run backwards.", name, s))
		return fallback
	}
	return d
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// item is one string of a list with its place in the file.
type item struct {
	text string
	rng  hcl.Range
}

func texts(items []item) []string {
	out := make([]string, len(items))
	for i, it := range items {
		out[i] = it.text
	}
	return out
}

// list reads a list of strings that refers to nothing. A value that occurs twice is a
// problem.
func (p *problems) list(b body, name string, ctx *hcl.EvalContext) []item {
	v, ok := p.plain(b, name, cty.List(cty.String), ctx)
	if !ok {
		return nil
	}
	items := itemsOf(v, b.expr(name))
	seen := map[string]bool{}
	for _, it := range items {
		if seen[it.text] {
			p.error(it.rng, fmt.Sprintf("%q is listed twice", it.text), fmt.Sprintf("Remove one of them from %s.", name))
		}
		seen[it.text] = true
	}
	return items
}

// element is the expression of an element of a list, or the list where it is not
// written out.
func element(list hclsyntax.Expression, i int) hclsyntax.Expression {
	if tuple, ok := list.(*hclsyntax.TupleConsExpr); ok && i < len(tuple.Exprs) {
		return tuple.Exprs[i]
	}
	return list
}

// attribute is the expression of an attribute of an object, or the object where it is
// not written out.
func attribute(object hclsyntax.Expression, name string) hclsyntax.Expression {
	if o, ok := object.(*hclsyntax.ObjectConsExpr); ok {
		for _, it := range o.Items {
			if key, diags := evaluate(it.KeyExpr, nil); !diags.HasErrors() && key.Type() == cty.String && key.IsKnown() && !key.IsNull() && key.AsString() == name {
				return it.ValueExpr
			}
		}
	}
	return object
}

// itemsOf pairs a known list of strings with the places of its elements. A null
// element is an empty string, which no list accepts.
func itemsOf(v cty.Value, expr hclsyntax.Expression) []item {
	items := make([]item, 0, v.LengthInt())
	for i, e := range v.AsValueSlice() {
		it := item{rng: element(expr, i).Range()}
		if !e.IsNull() {
			it.text = e.AsString()
		}
		items = append(items, it)
	}
	return items
}
