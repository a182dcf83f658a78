package engine

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	hcljson "github.com/hashicorp/hcl/v2/json"
	"github.com/zclconf/go-cty/cty"
)

// module is what one directory says about providers, modules and the backend: all that
// init depends on, and all that decides whether a provider can be kept.
type module struct {
	required map[string]requirement // by local name
	blocks   []providerBlock
	uses     map[string]bool // local names of providers that resources imply
	calls    []call
	backends []string // files with a backend block
	clouds   []string // files with a cloud block

	// inputs is the text of everything that init depends on.
	inputs []string
	// dynamic: something of that is not a literal, so only the engine knows.
	dynamic bool
	// unclear: a provider configuration is chosen in a way that cannot be seen here.
	unclear bool
}

type requirement struct {
	source     string // "" is hashicorp/NAME
	constraint string
	aliases    bool // configuration_aliases
}

type providerBlock struct {
	name  string
	alias bool
}

type call struct {
	name, source string
}

// local reports whether the called module is a directory beside the caller.
func (c call) local() bool {
	return strings.HasPrefix(c.source, "./") || strings.HasPrefix(c.source, "../")
}

// moduleFile reports whether engines read the file as a part of a module.
func moduleFile(name string) bool {
	if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || name == overrideFile {
		return false
	}
	for _, suffix := range []string{".tf", ".tf.json", ".tofu", ".tofu.json"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// readModule reads a directory. What cannot be parsed makes it dynamic and unclear: the
// engine will say what is wrong with it.
func readModule(dir string) (*module, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	m := &module{required: map[string]requirement{}, uses: map[string]bool{}}
	for _, e := range entries {
		if e.IsDir() || !moduleFile(e.Name()) {
			continue
		}
		src, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		var f *hcl.File
		var diags hcl.Diagnostics
		if strings.HasSuffix(e.Name(), ".json") {
			f, diags = hcljson.Parse(src, e.Name())
			m.input("file", e.Name(), digest(src)) // small, generated files: as a whole
		} else {
			f, diags = hclsyntax.ParseConfig(src, e.Name(), hcl.InitialPos)
		}
		if diags.HasErrors() || f == nil || f.Body == nil {
			m.dynamic, m.unclear = true, true
			continue
		}
		m.read(e.Name(), src, f.Body)
	}
	for name := range m.uses {
		if _, ok := m.required[name]; !ok {
			m.input("uses", name) // init finds a provider for the bare name
		}
	}
	return m, nil
}

func (m *module) input(words ...string) { m.inputs = append(m.inputs, strings.Join(words, "\x00")) }

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

var rootSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "terraform"}, {Type: "provider", LabelNames: []string{"name"}}, {Type: "module", LabelNames: []string{"name"}},
	{Type: "resource", LabelNames: []string{"type", "name"}}, {Type: "data", LabelNames: []string{"type", "name"}},
	{Type: "ephemeral", LabelNames: []string{"type", "name"}}, {Type: "check", LabelNames: []string{"name"}},
	{Type: "import"}, {Type: "removed"}, {Type: "moved"},
	{Type: "variable", LabelNames: []string{"name"}}, {Type: "output", LabelNames: []string{"name"}}, {Type: "locals"},
}}

var checkSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{{Type: "data", LabelNames: []string{"type", "name"}}}}

var terraformSchema = &hcl.BodySchema{Blocks: []hcl.BlockHeaderSchema{
	{Type: "required_providers"}, {Type: "backend", LabelNames: []string{"type"}}, {Type: "cloud"},
}}

func (m *module) read(file string, src []byte, body hcl.Body) {
	content, _, diags := body.PartialContent(rootSchema)
	if diags.HasErrors() {
		m.dynamic, m.unclear = true, true
	}
	if native, ok := body.(*hclsyntax.Body); ok {
		for _, b := range native.Blocks {
			known := slices.ContainsFunc(rootSchema.Blocks, func(s hcl.BlockHeaderSchema) bool { return s.Type == b.Type })
			switch {
			case b.Type == "terraform":
				m.input("terraform", string(b.Range().SliceBytes(src)))
			case !known:
				// A kind of block from after this was written: all of it may matter.
				m.input("block", string(b.Range().SliceBytes(src)))
				m.unclear = true
			}
		}
	}
	for _, b := range content.Blocks {
		switch b.Type {
		case "terraform":
			m.terraform(file, b.Body)
		case "provider":
			m.provider(b)
		case "module":
			m.call(b)
		case "resource", "data", "ephemeral":
			m.resource(b)
		case "check":
			inner, _, _ := b.Body.PartialContent(checkSchema)
			for _, d := range inner.Blocks {
				m.resource(d)
			}
		}
	}
}

func (m *module) terraform(file string, body hcl.Body) {
	content, _, _ := body.PartialContent(terraformSchema)
	for _, b := range content.Blocks {
		switch b.Type {
		case "required_providers":
			attrs, diags := b.Body.JustAttributes()
			if diags.HasErrors() {
				m.dynamic, m.unclear = true, true
			}
			for name, a := range attrs {
				m.require(name, a.Expr)
			}
		case "backend":
			m.backends = append(m.backends, file)
			if native, ok := b.Body.(*hclsyntax.Body); ok && refers(native) {
				m.dynamic = true
			}
		case "cloud":
			m.clouds = append(m.clouds, file)
		}
	}
}

// refers reports whether an attribute refers to something.
func refers(b *hclsyntax.Body) bool {
	for _, a := range b.Attributes {
		if len(a.Expr.Variables()) > 0 {
			return true
		}
	}
	return slices.ContainsFunc(b.Blocks, func(b *hclsyntax.Block) bool { return refers(b.Body) })
}

// require reads { source = "…", version = "…", configuration_aliases = […] }, or the old
// form "~> 1.0".
func (m *module) require(name string, expr hcl.Expression) {
	var r requirement
	if text, ok := literal(expr); ok {
		r.constraint = text
	} else if pairs, diags := hcl.ExprMap(expr); diags.HasErrors() {
		m.dynamic, m.unclear = true, true
	} else {
		for _, p := range pairs {
			key, ok := literal(p.Key)
			if !ok {
				key = hcl.ExprAsKeyword(p.Key)
			}
			value, isText := literal(p.Value)
			switch key {
			case "source", "version":
				if !isText {
					m.dynamic, m.unclear = true, true
				}
				if key == "source" {
					r.source = value
				} else {
					r.constraint = value
				}
			case "configuration_aliases":
				r.aliases = true
			}
		}
	}
	if _, twice := m.required[name]; twice {
		m.unclear = true
	}
	m.required[name] = r
}

var providerSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "alias"}, {Name: "version"}, {Name: "for_each"}}}

func (m *module) provider(b *hcl.Block) {
	content, _, _ := b.Body.PartialContent(providerSchema)
	p := providerBlock{name: b.Labels[0]}
	_, alias := content.Attributes["alias"]
	_, each := content.Attributes["for_each"]
	p.alias = alias || each
	m.blocks = append(m.blocks, p)
	version := ""
	if a, ok := content.Attributes["version"]; ok {
		text, isText := literal(a.Expr)
		m.dynamic = m.dynamic || !isText
		version = text
	}
	m.use(b.Labels[0])
	m.input("provider", b.Labels[0], version)
}

var callSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "source"}, {Name: "version"}}}

func (m *module) call(b *hcl.Block) {
	content, _, _ := b.Body.PartialContent(callSchema)
	c := call{name: b.Labels[0]}
	version := ""
	for name, to := range map[string]*string{"source": &c.source, "version": &version} {
		if a, ok := content.Attributes[name]; ok {
			text, isText := literal(a.Expr)
			m.dynamic = m.dynamic || !isText
			*to = text
		}
	}
	m.calls = append(m.calls, c)
	m.input("module", c.name, c.source, version)
}

var resourceSchema = &hcl.BodySchema{Attributes: []hcl.AttributeSchema{{Name: "provider"}}}

func (m *module) resource(b *hcl.Block) {
	content, _, _ := b.Body.PartialContent(resourceSchema)
	a, ok := content.Attributes["provider"]
	if !ok {
		name, _, _ := strings.Cut(b.Labels[0], "_")
		m.use(name)
		return
	}
	// provider = aws.eu, in JSON "aws.eu"; in JSON of old times "aws".
	t, diags := hcl.AbsTraversalForExpr(a.Expr)
	if diags.HasErrors() {
		m.unclear = true
		for _, t := range a.Expr.Variables() {
			m.use(t.RootName())
		}
		return
	}
	m.use(t.RootName())
}

func (m *module) use(name string) { m.uses[name] = true }

// literal is the value of a string that refers to nothing.
func literal(e hcl.Expression) (string, bool) {
	if len(e.Variables()) > 0 {
		return "", false
	}
	v, diags := e.Value(nil)
	if diags.HasErrors() || v.IsNull() || !v.IsKnown() || v.Type() != cty.String {
		return "", false
	}
	return v.AsString(), true
}
