package source

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// Description is what a module's code says of it, for people.
type Description struct {
	Readme    string
	Inputs    []Input
	Outputs   []Output
	Providers []Requirement
	Resources []string // addresses: TYPE.NAME, data.TYPE.NAME
	Calls     []Requirement
	Examples  []Example
	// Trouble are files that could not be read, and why.
	Trouble []string
}

// Input is a variable.
type Input struct {
	Name, Type, Default, About string // Type and Default as they are written
	Required, Sensitive        bool
}

// Output is an output.
type Output struct {
	Name, About string
	Sensitive   bool
}

// Requirement is something from elsewhere that a module uses: a provider or a module.
type Requirement struct{ Name, Source, Version string }

// Example is a folder in examples.
type Example struct{ Name, Readme, Code string }

// Bounds of what is shown.
const (
	maxReadme   = 256 << 10
	maxShown    = 4 << 10
	maxExample  = 32 << 10
	maxExamples = 20
	maxListed   = 1000
)

// Describe reads what a module in a folder of a commit is. What cannot be read is told in
// the result.
func (s *Source) Describe(ctx context.Context, repo, commit, dir string) (Description, error) {
	dir = path.Clean(dir)
	t, err := s.Tree(ctx, repo, commit)
	if err != nil {
		return Description{}, err
	}
	d := &Description{Readme: t.readme(dir)}
	for _, e := range t.configFiles(dir, "tofu") {
		name := e.path
		src, err := t.ReadFile(name)
		if err != nil || len(src) > maxParse || tooDeep(src) {
			d.Trouble = append(d.Trouble, name+" is too large, or nested too deeply, to be described")
			continue
		}
		var f *hcl.File
		var diags hcl.Diagnostics
		if strings.HasSuffix(name, ".json") {
			f, diags = hcljson.Parse(src, name)
		} else {
			f, diags = hclsyntax.ParseConfig(src, name, hcl.InitialPos)
		}
		if diags.HasErrors() {
			d.Trouble = append(d.Trouble, text([]byte(diags[0].Error()), maxShown))
		}
		if f != nil && f.Body != nil {
			d.read(src, f.Body)
		}
	}
	d.sort()
	d.Examples = t.examples(dir)
	return *d, nil
}

var describedSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "terraform"}, {Type: "variable", LabelNames: []string{"name"}}, {Type: "output", LabelNames: []string{"name"}},
	{Type: "module", LabelNames: []string{"name"}}, {Type: "resource", LabelNames: []string{"type", "name"}}, {Type: "data", LabelNames: []string{"type", "name"}},
}}

func (d *Description) read(src []byte, body hcl.Body) {
	content, _, _ := body.PartialContent(describedSchema) // what is not understood is not shown
	for _, b := range content.Blocks {
		switch b.Type {
		case "variable":
			a := attributesOf(b.Body, "type", "default", "description", "sensitive", "nullable")
			in := Input{Name: b.Labels[0], Type: written(src, a["type"]), About: literally(a["description"]), Sensitive: truly(a["sensitive"]), Required: a["default"] == nil}
			if in.Type == "" {
				in.Type = "any"
			}
			if a["default"] != nil {
				in.Default = written(src, a["default"])
			}
			d.Inputs = append(d.Inputs, in)
		case "output":
			a := attributesOf(b.Body, "description", "sensitive")
			d.Outputs = append(d.Outputs, Output{Name: b.Labels[0], About: literally(a["description"]), Sensitive: truly(a["sensitive"])})
		case "module":
			a := attributesOf(b.Body, "source", "version")
			d.Calls = append(d.Calls, Requirement{Name: b.Labels[0], Source: literally(a["source"]), Version: literally(a["version"])})
		case "resource":
			d.Resources = append(d.Resources, b.Labels[0]+"."+b.Labels[1])
		case "data":
			d.Resources = append(d.Resources, "data."+b.Labels[0]+"."+b.Labels[1])
		case "terraform":
			d.required(b.Body)
		}
	}
}

func (d *Description) required(body hcl.Body) {
	content, _, _ := body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "required_providers"}}})
	for _, b := range content.Blocks {
		attributes, _ := b.Body.JustAttributes() // what is not understood is not shown
		for name, a := range attributes {
			r := Requirement{Name: name, Version: literally(a)}
			pairs, _ := hcl.ExprMap(a.Expr)
			for _, p := range pairs {
				key := hcl.ExprAsKeyword(p.Key)
				if key == "" {
					key = literalOf(p.Key)
				}
				switch key {
				case "source":
					r.Source = literalOf(p.Value)
				case "version":
					r.Version = literalOf(p.Value)
				}
			}
			d.Providers = append(d.Providers, r)
		}
	}
}

func (d *Description) sort() {
	slices.SortFunc(d.Inputs, func(a, b Input) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(d.Outputs, func(a, b Output) int { return strings.Compare(a.Name, b.Name) })
	byName := func(a, b Requirement) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(d.Providers, byName)
	slices.SortFunc(d.Calls, byName)
	slices.Sort(d.Resources)
	d.Inputs, d.Outputs = d.Inputs[:min(len(d.Inputs), maxListed)], d.Outputs[:min(len(d.Outputs), maxListed)]
	d.Providers, d.Calls, d.Resources = d.Providers[:min(len(d.Providers), maxListed)], d.Calls[:min(len(d.Calls), maxListed)], d.Resources[:min(len(d.Resources), maxListed)]
}

func attributesOf(body hcl.Body, names ...string) hcl.Attributes {
	schema := &hcl.BodySchema{}
	for _, name := range names {
		schema.Attributes = append(schema.Attributes, hcl.AttributeSchema{Name: name})
	}
	content, _, _ := body.PartialContent(schema) // what is not understood is not shown
	return content.Attributes
}

// written is an attribute's value as it is in the file.
func written(src []byte, a *hcl.Attribute) string {
	if a == nil {
		return ""
	}
	return text(a.Expr.Range().SliceBytes(src), maxShown)
}

func literally(a *hcl.Attribute) string {
	if a == nil {
		return ""
	}
	return literalOf(a.Expr)
}

// literalOf is the value of a string that refers to nothing, "" for everything else.
func literalOf(e hcl.Expression) string {
	v, ok := constant(e)
	if !ok || v.Type() != cty.String {
		return ""
	}
	return text([]byte(v.AsString()), maxShown)
}

func truly(a *hcl.Attribute) bool {
	if a == nil {
		return false
	}
	v, ok := constant(a.Expr)
	return ok && v.Type() == cty.Bool && v.True()
}

// constant is the value of an expression that is plain text or a literal. Nothing else is
// evaluated: loops in loops could take for ever.
func constant(e hcl.Expression) (cty.Value, bool) {
	switch e := e.(type) {
	case *hclsyntax.ObjectConsKeyExpr:
		return constant(e.Wrapped)
	case *hclsyntax.LiteralValueExpr:
	case *hclsyntax.TemplateExpr:
		for _, part := range e.Parts {
			if _, ok := part.(*hclsyntax.LiteralValueExpr); !ok {
				return cty.NilVal, false
			}
		}
	case hclsyntax.Expression:
		return cty.NilVal, false
	}
	// Without a context, text in JSON is text.
	v, diags := e.Value(nil)
	return v, !diags.HasErrors() && v.IsWhollyKnown() && !v.IsNull()
}

// readme is the text of the README in a folder.
func (t *Tree) readme(dir string) string {
	for _, name := range []string{"README.md", "readme.md", "Readme.md", "README", "README.txt"} {
		if src, err := t.ReadFile(path.Join(dir, name)); err == nil {
			return text(src, maxReadme)
		}
	}
	return ""
}

// examples are the folders below examples that have code.
func (t *Tree) examples(dir string) []Example {
	var out []Example
	root := path.Join(dir, "examples")
	for _, e := range t.under(root) {
		name, rest, ok := strings.Cut(strings.TrimPrefix(e.path, root+"/"), "/")
		if !ok || strings.Contains(rest, "/") || !strings.HasSuffix(rest, ".tf") && !strings.HasSuffix(rest, ".tofu") {
			continue
		}
		if len(out) == 0 || out[len(out)-1].Name != name {
			if len(out) == maxExamples {
				return out
			}
			out = append(out, Example{Name: name, Readme: t.readme(path.Join(root, name))})
		}
		example := &out[len(out)-1]
		if src, err := t.ReadFile(e.path); err == nil && len(example.Code)+len(src) <= maxExample {
			if example.Code != "" {
				example.Code += "\n"
			}
			example.Code += "# " + rest + "\n" + text(src, maxExample)
		}
	}
	return out
}
