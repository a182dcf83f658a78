package source

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// form is how a file is looked through; it is part of the key that the result is
// remembered under.
type form byte

const (
	nativeForm   form = 'h' // .tf, .tofu
	jsonForm     form = 'j' // .tf.json, .tofu.json
	templateForm form = 't' // the file of templatefile
	yamlForm     form = 'y' // Ansible's files
	playForm     form = 'p' // Ansible's templates, for whether they are about other hosts
)

const (
	// maxParse bounds what is looked through; no configuration file is that large.
	maxParse = 2 << 20
	// maxReads bounds what one file may contribute.
	maxReads = 2000
	maxName  = 128
)

// extract looks through a file. It never fails: what is not understood contributes
// what was understood, and the engine will say what is wrong.
func extract(f form, src []byte) parsed {
	if len(src) > maxParse {
		return tooLarge
	}
	x := &extractor{}
	x.others = (f == yamlForm || f == playForm) && otherHosts(src)
	if !worth(f, src) {
		return x.parsed
	}
	if tooDeep(src) {
		x.trouble = "it is nested too deeply"
		return x.parsed
	}
	switch f {
	case nativeForm:
		x.native(src)
	case jsonForm:
		x.json(src)
	case templateForm:
		if e, _ := hclsyntax.ParseTemplate(src, "", hcl.InitialPos); e != nil {
			x.functionsIn(e, true)
		}
	case yamlForm:
		x.yaml(src)
	}
	return x.parsed
}

// tooLarge is what is known of a file that is not looked through.
var tooLarge = parsed{trouble: "it is larger than 2 MiB", others: true}

// worth reports whether a file has a word that could contribute. It spares parsing the
// larger part of a repository.
func worth(f form, src []byte) bool {
	words := []string{"module", "file", "locals", "default", "path.", "../"}
	switch f {
	case templateForm:
		words = []string{"file"}
	case playForm:
		return false
	case yamlForm:
		return bytes.IndexByte(src, '/') >= 0
	}
	return slices.ContainsFunc(words, func(w string) bool { return bytes.Contains(src, []byte(w)) })
}

// tooDeep reports whether parsing could need more stack than there is: parsers go down
// one call per bracket, operator or condition, and a stack overflow cannot be caught.
func tooDeep(src []byte) bool {
	depth, operators, conditions := 0, 0, 0
	for i, c := range src {
		switch c {
		case '(', '[', '{':
			depth++
		case ')', ']', '}':
			depth = max(0, depth-1)
		case '!', '-':
			operators++
		case '?':
			conditions++
		case '%':
			if i+1 < len(src) && src[i+1] == '{' {
				conditions++
			}
		}
		switch c {
		case '!', '-', ' ', '\t', '\n', '\r':
		default:
			operators = 0
		}
		if depth > 500 || operators > 2000 || conditions > 5000 {
			return true
		}
	}
	return false
}

type extractor struct {
	parsed
	seen map[reading]bool
}

func (x *extractor) read(r reading) {
	if len(r.name) > maxName || r.path == "" {
		return
	}
	if x.seen == nil {
		x.seen = map[reading]bool{}
	}
	key := r
	if r.how == readHint {
		key.line = 0
	}
	if x.seen[key] {
		return
	}
	if len(x.reads) >= maxReads {
		x.trouble = "it reads too many files"
		return
	}
	x.seen[key] = true
	x.reads = append(x.reads, r)
}

// hint notes paths in a text that no function reads.
func (x *extractor) hint(template string, line int) {
	for _, h := range hints(template) {
		x.read(reading{how: readHint, path: h, line: line})
	}
}

func (x *extractor) native(src []byte) {
	f, _ := hclsyntax.ParseConfig(src, "", hcl.InitialPos)
	if f == nil {
		return
	}
	body, ok := f.Body.(*hclsyntax.Body)
	if !ok {
		return
	}
	for _, block := range body.Blocks {
		switch block.Type {
		case "module":
			x.module(block)
		case "locals":
			for _, a := range sorted(block.Body.Attributes) {
				values := templates(a.Expr)
				x.locals = appendNamed(x.locals, a.Name, values)
				x.expression(a, followed(values))
			}
		case "variable":
			if a := block.Body.Attributes["default"]; a != nil && len(block.Labels) == 1 {
				x.defaults = appendNamed(x.defaults, block.Labels[0], templates(a.Expr))
			}
		default:
			x.block(block)
		}
	}
}

func sorted(attributes hclsyntax.Attributes) []*hclsyntax.Attribute {
	out := make([]*hclsyntax.Attribute, 0, len(attributes))
	for _, a := range attributes {
		out = append(out, a)
	}
	slices.SortFunc(out, func(a, b *hclsyntax.Attribute) int { return a.SrcRange.Start.Byte - b.SrcRange.Start.Byte })
	return out
}

// appendNamed keeps values that could be paths: something of them is known.
func appendNamed(list []named, name string, values []string) []named {
	if len(name) > maxName || len(list) > maxReads {
		return list
	}
	for _, v := range values {
		if v != unknown && v != "" {
			list = append(list, named{name, v})
		} else if len(values) > 1 {
			list = append(list, named{name, unknown})
		}
	}
	return list
}

// appendArgument keeps unknown values too: what is passed hides a variable's default.
func appendArgument(list []named, name string, values []string) []named {
	if len(name) > maxName || len(list) > maxReads {
		return list
	}
	for _, v := range values {
		list = append(list, named{name, v})
	}
	return list
}

// notArguments are the attributes of a module call that are no variables of the module.
var notArguments = []string{"source", "version", "count", "for_each", "providers", "depends_on", "enabled"}

func (x *extractor) module(block *hclsyntax.Block) {
	attributes := sorted(block.Body.Attributes)
	var args []named
	for _, a := range attributes {
		values := templates(a.Expr)
		if !slices.Contains(notArguments, a.Name) {
			args = appendArgument(args, a.Name, values)
		}
		if a.Name != "source" {
			x.expression(a, followed(values))
		}
	}
	if a := block.Body.Attributes["source"]; a != nil {
		var versions []string
		if v := block.Body.Attributes["version"]; v != nil {
			versions = templates(v.Expr)
		}
		for _, source := range templates(a.Expr) {
			x.moduleSource(source, versions, a.SrcRange.Start.Line, args)
		}
	}
	for _, b := range block.Body.Blocks {
		x.block(b)
	}
}

// moduleSource notes a call whose source is, or may be, local, or is in a registry.
func (x *extractor) moduleSource(source string, versions []string, line int, args []named) {
	if _, _, _, ok := RegistryAddress(source); ok && len(x.registry) < maxReads {
		if len(versions) == 0 {
			versions = []string{""}
		}
		for _, v := range versions {
			x.registry = append(x.registry, registered{source: source, version: v, line: line})
		}
		return
	}
	if isLocal(source) || strings.ContainsAny(firstPart(source), allMarks) {
		x.calls = append(x.calls, moduleCall{source: source, line: line, args: args})
	}
}

// isLocal reports whether a module's source is a path, as the engines decide it.
func isLocal(source string) bool {
	return strings.HasPrefix(source, "./") || strings.HasPrefix(source, "../") || source == "." || source == ".."
}

func firstPart(s string) string {
	first, _, _ := strings.Cut(s, "/")
	return first
}

// block looks through any other block.
func (x *extractor) block(block *hclsyntax.Block) {
	if block.Type == "backend" || block.Type == "required_providers" {
		return // where state is, not what is read
	}
	if block.Type == "provisioner" && len(block.Labels) == 1 && block.Labels[0] == "file" {
		if a := block.Body.Attributes["source"]; a != nil {
			for _, t := range templates(a.Expr) {
				x.read(reading{how: readFunction, path: t, name: "provisioner file", line: a.SrcRange.Start.Line})
			}
		}
	}
	x.body(block.Body)
}

func (x *extractor) body(body *hclsyntax.Body) {
	for _, a := range sorted(body.Attributes) {
		x.expression(a, false)
	}
	for _, b := range body.Blocks {
		x.block(b)
	}
}

// readers are the functions that read the file their first argument names.
var readers = []string{"file", "fileexists", "filebase64", "filebase64sha256", "filebase64sha512", "filemd5", "filesha1", "filesha256", "filesha512"}

// followed reports whether a value is known well enough to be followed to where it is
// used: then it is that place which says whether it is a path.
func followed(values []string) bool { return !slices.Contains(values, unknown) }

// pathLike are parts of the names of attributes that hold paths.
var pathLike = []string{"path", "dir", "file", "folder", "source", "program", "command", "script", "template"}

// expression looks for functions that read, and for paths, anywhere in the value of an
// attribute. With quiet only functions count.
func (x *extractor) expression(a *hclsyntax.Attribute, quiet bool) {
	w := &expressionWalker{x: x, pathLike: slices.ContainsFunc(pathLike, func(part string) bool { return strings.Contains(a.Name, part) })}
	w.walk(a.Expr, quiet)
}

// functionsIn is expression for what is not the value of an attribute.
func (x *extractor) functionsIn(e hclsyntax.Expression, quiet bool) {
	(&expressionWalker{x: x}).walk(e, quiet)
}

type expressionWalker struct {
	x        *extractor
	pathLike bool
	// quiet counts the expressions around this one whose text was already looked at.
	quiet int
	stack []bool
}

func (w *expressionWalker) walk(e hclsyntax.Expression, quiet bool) {
	if quiet {
		w.quiet++
	}
	// What hclsyntax.Walk returns are the walker's own diagnostics, and it has none.
	_ = hclsyntax.Walk(e, w)
}

func (w *expressionWalker) Enter(node hclsyntax.Node) hcl.Diagnostics {
	looked := false
	switch e := node.(type) {
	case *hclsyntax.FunctionCallExpr:
		looked = w.function(e)
	case *hclsyntax.TemplateExpr:
		if w.quiet == 0 {
			w.hint(e)
			looked = true
		}
	case *hclsyntax.ScopeTraversalExpr:
		if root := e.Traversal.RootName(); w.quiet == 0 && root == "local" {
			w.hint(e)
		} else if mark := reference(e); w.quiet == 0 && root == "var" && w.pathLike && mark != "" {
			w.x.read(reading{how: readHint, path: mark, line: e.Range().Start.Line})
		}
	}
	w.stack = append(w.stack, looked)
	if looked {
		w.quiet++
	}
	return nil
}

func (w *expressionWalker) Exit(hclsyntax.Node) hcl.Diagnostics {
	last := len(w.stack) - 1
	if w.stack[last] {
		w.quiet--
	}
	w.stack = w.stack[:last]
	return nil
}

func (w *expressionWalker) hint(e hclsyntax.Expression) {
	for _, t := range templates(e) {
		w.x.hint(t, e.Range().Start.Line)
	}
}

// function notes what a call reads. It returns whether the arguments' text needs no
// further look; calls among them get one in any case.
func (w *expressionWalker) function(e *hclsyntax.FunctionCallExpr) bool {
	name, line := function(e), e.NameRange.Start.Line
	switch {
	case slices.Contains(readers, name) && len(e.Args) > 0:
		for _, t := range templates(e.Args[0]) {
			w.x.read(reading{how: readFunction, path: t, name: name, line: line})
		}
		return true
	case name == "templatefile" && len(e.Args) > 0:
		for _, t := range templates(e.Args[0]) {
			w.x.read(reading{how: readTemplate, path: t, name: name, line: line})
		}
		return false // its second argument is any value
	case name == "fileset" && len(e.Args) > 1:
		for _, t := range templates(e.Args[0]) {
			for _, pattern := range templates(e.Args[1]) {
				w.x.read(reading{how: readSet, path: t, pattern: pattern, name: name, line: line})
			}
		}
		return true
	case w.quiet == 0 && (name == "join" || name == "format" || name == "abspath"):
		w.hint(e)
		return true
	}
	return false
}

// attribute returns the name of step i of a traversal.
func attribute(e *hclsyntax.ScopeTraversalExpr, i int) (string, bool) {
	switch step := e.Traversal[i].(type) {
	case hcl.TraverseAttr:
		return step.Name, len(step.Name) <= maxName
	case hcl.TraverseIndex: // local["name"]
		if step.Key.Type().FriendlyName() == "string" && step.Key.IsKnown() && !step.Key.IsNull() {
			name := step.Key.AsString()
			return name, len(name) <= maxName && !strings.ContainsAny(name, allMarks)
		}
	}
	return "", false
}

// yaml notes the words of a file that look like paths with a folder in them.
func (x *extractor) yaml(src []byte) {
	for i, line := range bytes.Split(src, []byte("\n")) {
		if bytes.IndexByte(line, '/') < 0 {
			continue
		}
		for _, w := range strings.FieldsFunc(string(line), func(c rune) bool { return strings.ContainsRune(delimiters, c) }) {
			w = strings.TrimPrefix(literal(w), "./")
			if strings.Contains(w, "/") && !strings.HasPrefix(w, "/") && len(w) < 500 && !strings.ContainsAny(w, allMarks) && path.Clean(w) == strings.TrimSuffix(w, "/") {
				x.read(reading{how: readHint, path: strings.TrimSuffix(w, "/"), line: i + 1})
			}
		}
	}
}
