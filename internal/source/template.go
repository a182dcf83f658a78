package source

import (
	"path"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// A template is the text of a path as far as it is known from one file: literal text
// with marks for what other files or the plan decide. Marks are control characters,
// which literal text then does not have.
const (
	markModule   = "\x01" // path.module
	markRoot     = "\x02" // path.root, path.cwd
	markLocal    = '\x03' // \x03NAME\x03: local.NAME
	markVariable = '\x04' // \x04NAME\x04: var.NAME
	unknown      = "\x05" // known at plan or apply
	markElement  = "\x07" // an element of something that is gone through: each.value, the k of a for
	markFolder   = '\x06' // \x06DIR\x06: a folder of the repository; path.module and path.root become it
	allMarks     = "\x00" + markModule + markRoot + "\x03\x04" + unknown + "\x06" + markElement + "\b"
	maxTemplate  = 1 << 10                         // bytes of a template
	maxTemplates = 8                               // that one expression may have, one for each way a condition goes
	delimiters   = " \t\r\n\"'`;|&<>()$,:=#[]{}*?" // what ends a path inside a longer text
)

var onlyUnknown = []string{unknown}

// literal makes literal text safe to be part of a template.
func literal(s string) string {
	if strings.ContainsAny(s, allMarks) {
		s = strings.Map(func(r rune) rune {
			if r <= '\b' {
				return rune(unknown[0])
			}
			return r
		}, s)
	}
	return s
}

// bounded replaces what is too long to be a path by what is known of it.
func bounded(s string) string {
	if len(s) <= maxTemplate {
		return s
	}
	// A mark is not cut in two: what comes after an odd one is dropped.
	s = s[:maxTemplate]
	for _, mark := range []rune{markLocal, markVariable, markFolder} {
		if strings.Count(s, string(mark))%2 == 1 {
			s = s[:strings.LastIndex(s, string(mark))]
		}
	}
	return s + unknown
}

// combine appends each of next to each of heads.
func combine(heads, next []string) []string {
	if len(heads)*len(next) > maxTemplates {
		next = onlyUnknown
	}
	out := make([]string, 0, len(heads)*len(next))
	for _, h := range heads {
		for _, n := range next {
			out = append(out, bounded(h+n))
		}
	}
	return out
}

// templates returns what an expression may give, as templates: several when a
// condition decides.
func templates(e hclsyntax.Expression) []string {
	switch e := e.(type) {
	case *hclsyntax.TemplateExpr:
		out := []string{""}
		for _, part := range e.Parts {
			out = combine(out, templates(part))
		}
		return out
	case *hclsyntax.TemplateWrapExpr:
		return templates(e.Wrapped)
	case *hclsyntax.ParenthesesExpr:
		return templates(e.Expression)
	case *hclsyntax.LiteralValueExpr:
		if v, err := convert.Convert(e.Val, cty.String); err == nil && v.IsKnown() && !v.IsNull() {
			return []string{bounded(literal(v.AsString()))}
		}
	case *hclsyntax.ConditionalExpr:
		return either([]hclsyntax.Expression{e.TrueResult, e.FalseResult})
	case *hclsyntax.ScopeTraversalExpr:
		if mark := reference(e); mark != "" {
			return []string{mark}
		}
	case *hclsyntax.FunctionCallExpr:
		return composed(e)
	}
	return onlyUnknown
}

func either(exprs []hclsyntax.Expression) []string {
	var out []string
	for _, e := range exprs {
		out = append(out, templates(e)...)
	}
	if len(out) == 0 || len(out) > maxTemplates {
		return onlyUnknown
	}
	return out
}

// reference returns the mark for path.X, local.X and var.X, "" for anything else.
func reference(e *hclsyntax.ScopeTraversalExpr) string {
	switch root := e.Traversal.RootName(); {
	case root == "each", len(e.Traversal) == 1: // the only names of one step are those of for expressions
		return markElement
	case len(e.Traversal) != 2:
		return ""
	}
	name, ok := attribute(e, 1)
	if !ok {
		return ""
	}
	switch e.Traversal.RootName() {
	case "path":
		switch name {
		case "module":
			return markModule
		case "root", "cwd":
			return markRoot
		}
	case "local":
		return string(markLocal) + name + string(markLocal)
	case "var":
		return string(markVariable) + name + string(markVariable)
	}
	return ""
}

// composed knows the functions that paths are put together with.
func composed(e *hclsyntax.FunctionCallExpr) []string {
	args := e.Args
	switch name := function(e); {
	case e.ExpandFinal:
	case len(args) == 1 && (name == "abspath" || name == "pathexpand" || name == "trimspace" || name == "tostring"):
		return templates(args[0])
	case len(args) == 1 && name == "dirname":
		return each(templates(args[0]), func(s string) string {
			if i := strings.LastIndexByte(s, '/'); i > 0 && !strings.ContainsAny(s[i:], allMarks) {
				return s[:i]
			}
			return unknown
		})
	case len(args) == 1 && name == "basename":
		return each(templates(args[0]), func(s string) string {
			if s = s[strings.LastIndexByte(s, '/')+1:]; s != "" && !strings.ContainsAny(s, allMarks) {
				return s
			}
			return unknown
		})
	case name == "coalesce" || name == "try":
		return either(args)
	case len(args) >= 2 && name == "join":
		var parts []hclsyntax.Expression
		for _, a := range args[1:] {
			tuple, ok := a.(*hclsyntax.TupleConsExpr)
			if !ok {
				return onlyUnknown
			}
			parts = append(parts, tuple.Exprs...)
		}
		separator, out := templates(args[0]), []string{""}
		for i, p := range parts {
			if i > 0 {
				out = combine(out, separator)
			}
			out = combine(out, templates(p))
		}
		return out
	case len(args) >= 1 && name == "format":
		return format(args)
	}
	return onlyUnknown
}

func each(in []string, f func(string) string) []string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = f(s)
	}
	return out
}

// format knows %s, %d, %v and %%, one argument each.
func format(args []hclsyntax.Expression) []string {
	spec := templates(args[0])
	if len(spec) != 1 || strings.ContainsAny(spec[0], allMarks) {
		return onlyUnknown
	}
	out, next := []string{""}, 1
	for rest := spec[0]; ; {
		text, verb, found := strings.Cut(rest, "%")
		out = combine(out, []string{text})
		if !found {
			return out
		}
		if verb == "" {
			return onlyUnknown
		}
		switch verb[0] {
		case '%':
			out = combine(out, []string{"%"})
		case 's', 'd', 'v':
			if next >= len(args) {
				return onlyUnknown
			}
			out = combine(out, templates(args[next]))
			next++
		default:
			return onlyUnknown
		}
		rest = verb[1:]
	}
}

// function is the name of a function without the namespace of the engines' own ones.
func function(e *hclsyntax.FunctionCallExpr) string { return strings.TrimPrefix(e.Name, "core::") }

// substitute replaces local and variable marks by what lookup returns, giving up on
// more than maxTemplates results.
func substitute(template string, mark rune, lookup func(name string) []string) []string {
	out := []string{""}
	for {
		before, rest, found := strings.Cut(template, string(mark))
		out = combine(out, []string{before})
		if !found {
			return out
		}
		name, after, closed := strings.Cut(rest, string(mark))
		if !closed {
			return combine(out, onlyUnknown)
		}
		values := lookup(name)
		if len(values) == 0 {
			values = onlyUnknown
		}
		out = combine(out, values)
		template = after
	}
}

// anchor is the mark of a folder of the repository.
func anchor(dir string) string { return string(markFolder) + dir + string(markFolder) }

// place is where a template leads, seen from a stack.
type place struct {
	// path is in the repository. With exact false it is the folder that everything
	// known leads to, and what follows starts with prefix and ends with suffix.
	path           string
	exact          bool
	prefix, suffix string
	// outside: it leads out of the repository. Nothing else is then set but path.
	outside bool
	// known is false when nothing at all is known.
	known bool
}

// locate resolves a template without local marks. Paths that start nowhere are
// relative to the folder the engine runs in, the stack's own.
func locate(template, stack string) place {
	template = strings.ReplaceAll(template, markRoot, anchor(stack))
	base := stack
	if strings.HasPrefix(template, string(markFolder)) {
		var closed bool
		base, template, closed = strings.Cut(template[1:], string(markFolder))
		if !closed {
			return place{}
		}
	} else if strings.HasPrefix(template, "/") || strings.HasPrefix(template, "~") {
		text, _, _ := strings.Cut(template, unknown)
		return place{path: text, outside: true, known: true}
	} else if end := strings.IndexAny(template, allMarks); end == 0 {
		return place{}
	}
	end := strings.IndexAny(template, allMarks)
	if end < 0 {
		return finish(place{path: base + "/" + template, exact: true, known: true})
	}
	text, tail := template[:end], template[strings.LastIndexAny(template, allMarks)+1:]
	slash := strings.LastIndexByte(text, '/')
	p := place{path: base + "/" + text[:slash+1], prefix: text[slash+1:], suffix: tail, known: true}
	if strings.Contains(tail, "..") {
		p.suffix = ""
	}
	return finish(p)
}

func finish(p place) place {
	p.path = path.Clean(p.path)
	if p.path == ".." || strings.HasPrefix(p.path, "../") {
		p.outside = true
	}
	return p
}

// hints finds paths inside a longer text: what starts with path.module or path.root,
// and what starts with "../" at the beginning of a word. They count when something of
// that name is in the repository.
func hints(template string) []string {
	var out []string
	if strings.HasPrefix(template, markModule+"/") || strings.HasPrefix(template, markRoot+"/") || strings.HasPrefix(template, "../") {
		out = append(out, template) // the name of a file may have spaces
	}
	word := func(c rune) bool { return strings.ContainsRune(delimiters, c) }
	for _, w := range strings.FieldsFunc(template, word) {
		if len(out) > 0 && w == out[0] {
			continue
		}
		start := strings.LastIndexAny(w, markModule+markRoot)
		switch {
		case start >= 0 && strings.HasPrefix(w[start+1:], "/"):
			out = append(out, w[start:])
		case start < 0 && strings.HasPrefix(w, "../"):
			out = append(out, w)
		case start < 0 && strings.HasPrefix(w, string(markLocal)):
			out = append(out, w)
		case start < 0 && strings.HasPrefix(w, string(markVariable)) && strings.Contains(w, string(markVariable)+"/"):
			out = append(out, w)
		}
	}
	return out
}

// quote shows text of a repository in a message.
func quote(s string) string { return strconv.Quote(s) }
