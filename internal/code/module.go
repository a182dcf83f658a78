// Package code reads what the root module of a stack says of its resources: what is written of
// each, what it gives with certain variables, and what it follows from in the end. It evaluates
// as an engine's console does: other resources are what the state says they are. What cannot be
// evaluated here is unknown; nothing is guessed, nothing is run.
//
// module.go parses folders, references.go finds what expressions refer to, scope.go
// evaluates them, follow.go goes back to where a value comes from, and stack.go answers the
// questions of package parity.
package code

import (
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/terrace-cd/terrace/internal/config"
	"github.com/terrace-cd/terrace/internal/core"
)

// Reader reads the modules of a tree, each once. It is for one goroutine at a time.
type Reader struct {
	tree    config.Tree
	files   map[string][]string
	modules map[string]*module
}

// NewReader returns a Reader of the modules that an engine sees.
func NewReader(tree config.Tree, engine string) (*Reader, error) {
	files, err := config.ModuleFiles(tree, engine)
	if err != nil {
		return nil, err
	}
	return &Reader{tree: tree, files: files, modules: map[string]*module{}}, nil
}

// module is a folder of configuration.
type module struct {
	dir       string
	variables map[string]*variable
	locals    map[string]*attribute
	outputs   map[string]*attribute
	blocks    map[string]*block // TYPE.NAME, data.TYPE.NAME
	calls     map[string]*call
	providers map[string]*body // NAME, NAME.ALIAS
}

// attribute is an expression with its text.
type attribute struct {
	expr hcl.Expression
	text string
}

type variable struct {
	constraint *attribute
	fallback   *attribute
	sensitive  bool
}

// block is a resource or a data source.
type block struct {
	repeat
	provider string // as it is written, "" for the one that the type implies
	body     *body
	text     string
}

// repeat is how often something is there.
type repeat struct{ count, forEach, enabled *attribute }

func (r repeat) attributes() (all []*attribute) {
	for _, a := range []*attribute{r.count, r.forEach, r.enabled} {
		if a != nil {
			all = append(all, a)
		}
	}
	return all
}

// body is what is written in a block.
type body struct {
	attributes map[string]*attribute
	nested     []*nested
}

// nested is a block in a block; forEach is not nil for a dynamic one.
type nested struct {
	kind     string
	forEach  *attribute
	iterator string
	body     *body
}

// call is a module block.
type call struct {
	repeat
	dir       string // "" when its code is not in the repository
	arguments map[string]*attribute
	providers map[string]string // what it calls them, to what the caller does
}

// open reads the module in a folder. Invalid when it cannot be read.
func (r *Reader) open(dir string) (*module, error) {
	dir = path.Clean(dir)
	if m, ok := r.modules[dir]; ok {
		return m, nil
	}
	if len(r.files[dir]) == 0 {
		return nil, core.Errorf(core.Invalid, "there is no configuration in %s", dir)
	}
	m := &module{dir: dir, variables: map[string]*variable{}, locals: map[string]*attribute{}, outputs: map[string]*attribute{},
		blocks: map[string]*block{}, calls: map[string]*call{}, providers: map[string]*body{}}
	for _, name := range r.files[dir] {
		name = path.Join(dir, name)
		src, err := r.tree.ReadFile(name)
		if err != nil {
			return nil, core.Errorf(core.Invalid, "%s cannot be read: %w", name, err)
		}
		file, diags := config.ParseFile(name, src)
		if file == nil {
			return nil, core.Errorf(core.Invalid, "%s cannot be parsed: %w", name, diags)
		}
		m.read(file.Body, src)
	}
	r.modules[dir] = m
	return m, nil
}

var rootSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "variable", LabelNames: []string{"name"}}, {Type: "output", LabelNames: []string{"name"}}, {Type: "locals"},
	{Type: "resource", LabelNames: []string{"type", "name"}}, {Type: "data", LabelNames: []string{"type", "name"}},
	{Type: "module", LabelNames: []string{"name"}}, {Type: "provider", LabelNames: []string{"name"}},
}}

func (m *module) read(root hcl.Body, src []byte) {
	content, _, _ := root.PartialContent(rootSchema) // what is wrong with the rest is the engine's business
	for _, b := range content.Blocks {
		inner := readBody(b.Body, src)
		switch b.Type {
		case "variable":
			m.variable(b.Labels[0], inner)
		case "output":
			override(m.outputs, b.Labels[0], inner.attributes["value"])
		case "locals":
			for name, a := range inner.attributes {
				override(m.locals, name, a)
			}
		case "resource":
			m.block(b.Labels[0]+"."+b.Labels[1], inner, src, b)
		case "data":
			m.block("data."+b.Labels[0]+"."+b.Labels[1], inner, src, b)
		case "module":
			m.call(b.Labels[0], inner)
		case "provider":
			name := b.Labels[0]
			if a := inner.attributes["alias"]; a != nil {
				if alias, ok := literal(a.expr); ok {
					name += "." + alias
				}
			}
			m.providers[name] = inner
		}
	}
}

func override(all map[string]*attribute, name string, a *attribute) {
	if a != nil {
		all[name] = a
	}
}

func (m *module) variable(name string, b *body) {
	v := m.variables[name]
	if v == nil {
		v = &variable{}
		m.variables[name] = v
	}
	if a := b.attributes["type"]; a != nil {
		v.constraint = a
	}
	if a := b.attributes["default"]; a != nil {
		v.fallback = a
	}
	if a := b.attributes["sensitive"]; a != nil {
		if value, diags := config.Evaluate(a.expr, nil); !diags.HasErrors() && value.Type() == cty.Bool && value.IsKnown() && !value.IsNull() {
			v.sensitive = value.True()
		}
	}
}

// meta are arguments and blocks that are no attributes of a resource.
var meta = []string{"count", "for_each", "provider", "depends_on", "lifecycle", "provisioner", "connection"}

func (m *module) block(name string, b *body, src []byte, at *hcl.Block) {
	was := m.blocks[name]
	now := &block{body: b, repeat: repeatOf(b)}
	if native, ok := at.Body.(*hclsyntax.Body); ok {
		now.text = string(native.Range().SliceBytes(src))
	} else {
		for _, n := range sortedNames(b.attributes) {
			now.text += n + "=" + b.attributes[n].text + "\n"
		}
	}
	if a := b.attributes["provider"]; a != nil {
		now.provider = strings.Trim(a.text, `"`)
	}
	for _, n := range b.nested {
		if n.kind == "lifecycle" {
			now.enabled = n.body.attributes["enabled"]
		}
	}
	for _, n := range meta {
		delete(b.attributes, n)
	}
	b.nested = slices.DeleteFunc(b.nested, func(n *nested) bool { return slices.Contains(meta, n.kind) })
	if was != nil { // an override file changes what it names
		for n, a := range was.body.attributes {
			if b.attributes[n] == nil {
				b.attributes[n] = a
			}
		}
		for _, n := range was.body.nested {
			if !slices.ContainsFunc(b.nested, func(o *nested) bool { return o.kind == n.kind }) {
				b.nested = append(b.nested, n)
			}
		}
		now.text = was.text + now.text
		now.repeat = now.or(was.repeat)
	}
	m.blocks[name] = now
}

func repeatOf(b *body) repeat {
	return repeat{count: b.attributes["count"], forEach: b.attributes["for_each"], enabled: b.attributes["enabled"]}
}

func (r repeat) or(o repeat) repeat {
	if r.count == nil && r.forEach == nil {
		r.count, r.forEach = o.count, o.forEach
	}
	if r.enabled == nil {
		r.enabled = o.enabled
	}
	return r
}

// notArguments are the attributes of a module block that are no variables of the module.
var notArguments = []string{"source", "version", "count", "for_each", "providers", "depends_on", "enabled"}

func (m *module) call(name string, b *body) {
	c := m.calls[name]
	if c == nil {
		c = &call{arguments: map[string]*attribute{}, providers: map[string]string{}}
		m.calls[name] = c
	}
	c.repeat = repeatOf(b).or(c.repeat)
	if a := b.attributes["source"]; a != nil {
		c.dir = ""
		if source, ok := literal(a.expr); ok && (strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../") || source == "." || source == "..") {
			c.dir = path.Join(m.dir, source)
		}
	}
	if a := b.attributes["providers"]; a != nil {
		pairs, _ := hcl.ExprMap(a.expr)
		for _, p := range pairs {
			c.providers[reference(p.Key)] = reference(p.Value)
		}
	}
	for n, a := range b.attributes {
		if !slices.Contains(notArguments, n) {
			c.arguments[n] = a
		}
	}
}

// reference writes a reference such as aws.west; "" when it is none.
func reference(e hcl.Expression) string {
	t, diags := hcl.AbsTraversalForExpr(e)
	if diags.HasErrors() {
		return ""
	}
	out := t.RootName()
	for _, s := range t[1:] {
		if a, ok := s.(hcl.TraverseAttr); ok {
			out += "." + a.Name
		}
	}
	return out
}

// literal is a text that is written as it is.
func literal(e hcl.Expression) (string, bool) {
	if len(e.Variables()) > 0 {
		return "", false
	}
	v, diags := config.Evaluate(e, nil)
	if diags.HasErrors() || v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
		return "", false
	}
	return v.AsString(), true
}

func readBody(b hcl.Body, src []byte) *body {
	out := &body{attributes: map[string]*attribute{}}
	native, ok := b.(*hclsyntax.Body)
	if !ok { // JSON has blocks as attributes
		attrs, _ := b.JustAttributes()
		for name, a := range attrs {
			out.attributes[name] = &attribute{a.Expr, string(a.Range.SliceBytes(src))}
		}
		return out
	}
	for name, a := range native.Attributes {
		out.attributes[name] = &attribute{a.Expr, string(a.Expr.Range().SliceBytes(src))}
	}
	for _, inner := range native.Blocks {
		n := &nested{kind: inner.Type, body: readBody(inner.Body, src)}
		if inner.Type == "dynamic" && len(inner.Labels) == 1 {
			n = dynamic(inner.Labels[0], n.body)
		}
		if n != nil {
			out.nested = append(out.nested, n)
		}
	}
	return out
}

// dynamic is a block that is there once for each of something.
func dynamic(kind string, b *body) *nested {
	n := &nested{kind: kind, iterator: kind, forEach: b.attributes["for_each"]}
	for _, inner := range b.nested {
		if inner.kind == "content" {
			n.body = inner.body
		}
	}
	if n.body == nil || n.forEach == nil {
		return nil
	}
	if a := b.attributes["iterator"]; a != nil {
		n.iterator = reference(a.expr)
	}
	return n
}

func sortedNames[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for n := range m {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// LockFile is where engines note which providers they installed.
const LockFile = ".terraform.lock.hcl"

// Locked are the versions of providers in the lock file of a folder, by address; nil without
// one.
func (r *Reader) Locked(dir string) map[string]string {
	name := path.Join(dir, LockFile)
	src, err := r.tree.ReadFile(name)
	if err != nil {
		return nil
	}
	file, _ := config.ParseFile(name, src)
	if file == nil {
		return nil
	}
	content, _, _ := file.Body.PartialContent(&hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "provider", LabelNames: []string{"address"}}}})
	out := map[string]string{}
	for _, b := range content.Blocks {
		if a := readBody(b.Body, src).attributes["version"]; a != nil {
			if version, ok := literal(a.expr); ok {
				out[b.Labels[0]] = version
			}
		}
	}
	return out
}
