package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/zclconf/go-cty/cty"
)

// module is what Terrace needs to know of a root module: variables, outputs, backend.
// It is shared by all folders with the same content, so the places in it have file
// names without a folder.
type module struct {
	variables map[string]*variable
	names     []string       // of variables, sorted
	outputs   []string       // sorted
	backend   *moduleBackend // nil without one
	// broken says why the module could not be understood. Nothing is checked against
	// it then: the engine will say what is wrong, and it is the one to be right.
	broken hcl.Diagnostics
}

func (m *module) hasOutput(name string) bool {
	_, ok := slices.BinarySearch(m.outputs, name)
	return ok
}

type variable struct {
	typ      cty.Type // cty.DynamicPseudoType when it takes anything
	defaults *typeexpr.Defaults
	required bool
	nullable bool
	// sensitive is what the code says, and unknown counts as yes.
	sensitive bool
	rng       hcl.Range // of its header
}

// varFile is a parsed .tfvars file.
type varFile struct {
	values map[string]cty.Value
	places map[string]hcl.Range
	diags  hcl.Diagnostics
}

// ModuleCache keeps what was parsed, by content, so that only what changed is parsed
// again. It is bounded and safe for concurrent use.
type ModuleCache struct {
	mu sync.Mutex
	// Two generations: when the young one is full it becomes the old one, so what is
	// in use stays and what is not goes, without bookkeeping on each hit.
	young, old map[string]any
}

const cacheGeneration = 40_000

// NewModuleCache returns an empty cache.
func NewModuleCache() *ModuleCache { return &ModuleCache{young: map[string]any{}} }

func (c *ModuleCache) get(key string) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.young[key]; ok {
		return v
	}
	v, ok := c.old[key]
	if !ok {
		return nil
	}
	c.keep(key, v)
	return v
}

func (c *ModuleCache) put(key string, v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keep(key, v)
}

func (c *ModuleCache) keep(key string, v any) {
	if len(c.young) >= cacheGeneration {
		c.young, c.old = map[string]any{}, c.young
	}
	c.young[key] = v
}

// source is a file of a module.
type source struct {
	name string // without folder
	src  []byte
}

// reader reads files of a tree through a cache.
type reader struct {
	tree  Tree
	ids   blobIDs // nil when the tree has none
	cache *ModuleCache
}

func newReader(tree Tree, cache *ModuleCache) *reader {
	ids, _ := tree.(blobIDs)
	return &reader{tree: tree, ids: ids, cache: cache}
}

// identify returns what identifies a file's content, and the content where it had to
// be read for that.
func (r *reader) identify(name string) (id string, src []byte, err error) {
	if r.ids != nil {
		if id := r.ids.BlobID(name); id != "" {
			return id, nil, nil
		}
	}
	src, err = r.tree.ReadFile(name)
	if err != nil {
		return "", nil, err
	}
	sum := sha256.Sum256(src)
	return hex.EncodeToString(sum[:]), src, nil
}

// lookup returns the module of a folder when it is cached. Otherwise the key under
// which to keep it, and its files.
func (r *reader) lookup(dir string, names []string) (*module, string, []source, error) {
	var key strings.Builder
	key.WriteString("module")
	sources := make([]source, len(names))
	for i, name := range names {
		id, src, err := r.identify(path.Join(dir, name))
		if err != nil {
			return nil, "", nil, err
		}
		sources[i] = source{name, src}
		key.WriteString("\x00" + name + "\x00" + id)
	}
	if m, ok := r.cache.get(key.String()).(*module); ok {
		return m, "", nil, nil
	}
	for i, s := range sources {
		if s.src != nil {
			continue
		}
		src, err := r.tree.ReadFile(path.Join(dir, s.name))
		if err != nil {
			return nil, "", nil, err
		}
		sources[i].src = src
	}
	return nil, key.String(), sources, nil
}

func (r *reader) varFile(name string) (*varFile, error) {
	id, src, err := r.identify(name)
	if err != nil {
		return nil, err
	}
	// The name is part of the key because places in the file carry it.
	key := "tfvars\x00" + name + "\x00" + id
	if f, ok := r.cache.get(key).(*varFile); ok {
		return f, nil
	}
	if src == nil {
		if src, err = r.tree.ReadFile(name); err != nil {
			return nil, err
		}
	}
	f := parseVarFile(name, src)
	r.cache.put(key, f)
	return f, nil
}

func parseVarFile(name string, src []byte) *varFile {
	f := &varFile{values: map[string]cty.Value{}, places: map[string]hcl.Range{}}
	file, diags := parse(name, src)
	f.diags = diags
	if file == nil {
		return f
	}
	attrs, diags := file.Body.JustAttributes()
	f.diags = append(f.diags, diags...)
	for _, a := range attrs {
		v, diags := evaluate(a.Expr, nil)
		f.diags = append(f.diags, diags...)
		f.values[a.Name], f.places[a.Name] = v, a.Expr.Range()
	}
	return f
}

var moduleSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "variable", LabelNames: []string{"name"}}, {Type: "output", LabelNames: []string{"name"}}, {Type: "terraform"}}}
var variableSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "type"}, {Name: "default"}, {Name: "nullable"}, {Name: "sensitive"}}}

// parseModule reads the variables and outputs of a root module. Override files come
// last and change what they name.
func parseModule(sources []source) *module {
	m := &module{variables: map[string]*variable{}}
	slices.SortStableFunc(sources, func(a, b source) int {
		return compareBool(isOverride(a.name), isOverride(b.name))
	})
	for _, s := range sources {
		file, diags := parse(s.name, s.src)
		if diags.HasErrors() {
			m.broken = append(m.broken, diags...)
			continue
		}
		content, _, diags := file.Body.PartialContent(moduleSchema)
		if diags.HasErrors() {
			m.broken = append(m.broken, diags...)
		}
		for _, block := range content.Blocks {
			if block.Type == "terraform" {
				m.readBackend(block, s.src)
				continue
			}
			switch name := block.Labels[0]; block.Type {
			case "output":
				if !slices.Contains(m.outputs, name) {
					m.outputs = append(m.outputs, name)
				}
			case "variable":
				m.broken = append(m.broken, m.declare(name, block)...)
			}
		}
	}
	for name := range m.variables {
		m.names = append(m.names, name)
	}
	slices.Sort(m.names)
	slices.Sort(m.outputs)
	return m
}

func (m *module) declare(name string, block *hcl.Block) hcl.Diagnostics {
	content, _, diags := block.Body.PartialContent(variableSchema)
	if diags.HasErrors() {
		return diags
	}
	v := m.variables[name]
	if v == nil {
		v = &variable{typ: cty.DynamicPseudoType, required: true, nullable: true, rng: block.DefRange}
		m.variables[name] = v
	}
	if a := content.Attributes["type"]; a != nil {
		typ, defaults, diags := typeConstraint(a.Expr)
		if diags.HasErrors() {
			return diags
		}
		v.typ, v.defaults = typ, defaults
	}
	if content.Attributes["default"] != nil {
		v.required = false
	}
	if a := content.Attributes["nullable"]; a != nil {
		if b, diags := evaluate(a.Expr, nil); !diags.HasErrors() && b.Type() == cty.Bool && b.IsKnown() && !b.IsNull() {
			v.nullable = b.True()
		}
	}
	if a := content.Attributes["sensitive"]; a != nil {
		b, diags := evaluate(a.Expr, nil)
		v.sensitive = diags.HasErrors() || b.Type() != cty.Bool || !b.IsKnown() || b.IsNull() || b.True()
	}
	return nil
}

// typeConstraint reads a type, also in the quoted form of old modules.
func typeConstraint(expr hcl.Expression) (t cty.Type, defaults *typeexpr.Defaults, diags hcl.Diagnostics) {
	if r := expr.Range(); r.End.Byte-r.Start.Byte > harmlessSize {
		// In JSON the type is HCL inside a string, which parse has not looked into.
		return cty.DynamicPseudoType, nil, nil
	}
	defer func() {
		if r := recover(); r != nil {
			t, defaults = cty.DynamicPseudoType, nil
			diags = hcl.Diagnostics{diagnostic(hcl.DiagError, expr.Range(), "The type cannot be read", fmt.Sprint(r))}
		}
	}()
	if v, d := expr.Value(nil); !d.HasErrors() && v.Type() == cty.String && v.IsKnown() && !v.IsNull() {
		switch v.AsString() {
		case "string":
			return cty.String, nil, nil
		case "list":
			return cty.List(cty.DynamicPseudoType), nil, nil
		case "map":
			return cty.Map(cty.DynamicPseudoType), nil, nil
		}
	}
	switch hcl.ExprAsKeyword(expr) {
	case "list":
		return cty.List(cty.DynamicPseudoType), nil, nil
	case "map":
		return cty.Map(cty.DynamicPseudoType), nil, nil
	}
	return typeexpr.TypeConstraintWithDefaults(expr)
}

func isOverride(name string) bool {
	stem, _ := moduleStem(name, "tofu")
	return stem == "override" || strings.HasSuffix(stem, "_override")
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
